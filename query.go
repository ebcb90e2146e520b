package main

import (
	"encoding/csv"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
)

func (a *app) sqlCmd() *cobra.Command {
	var asJSON, asCSV bool
	cmd := &cobra.Command{
		Use:   "sql QUERY",
		Short: "Ask the store in SQL (read only; the schema is documented in it: select sql from sqlite_schema)",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			st, err := a.open(false)
			if err != nil {
				return err
			}
			defer st.Close()
			rows, err := st.Query(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			switch {
			case asJSON:
				return writeJSON(cmd.OutOrStdout(), rows)
			case asCSV:
				w := csv.NewWriter(cmd.OutOrStdout())
				w.Write(rows.Columns)
				for _, r := range rows.Rows {
					w.Write(texts(r))
				}
				w.Flush()
				return w.Error()
			}
			t := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			for _, r := range append([][]string{rows.Columns}, allTexts(rows.Rows)...) {
				fmt.Fprintln(t, strings.Join(r, "\t"))
			}
			return t.Flush()
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().BoolVar(&asCSV, "csv", false, "print CSV")
	cmd.MarkFlagsMutuallyExclusive("json", "csv")
	return cmd
}

func allTexts(rows [][]any) [][]string {
	out := make([][]string, len(rows))
	for i, r := range rows {
		out[i] = texts(r)
	}
	return out
}

func texts(row []any) []string {
	out := make([]string, len(row))
	for i, v := range row {
		switch v := v.(type) {
		case nil:
		case []byte:
			out[i] = fmt.Sprintf("x'%x'", v)
		default:
			out[i] = fmt.Sprint(v)
		}
	}
	return out
}
