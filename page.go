package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"starbook/builtins"
)

func (a *app) reportCmd() *cobra.Command {
	var out, sweep string
	cmd := &cobra.Command{
		Use: "report [RUN...]", Short: "Write the report of a run, or a comparison of several",
		Example:           "  starbook report\n  starbook report 3f9a 81c0 -o compared.html\n  starbook report --sweep @latest",
		ValidArgsFunction: a.completeRuns,
		RunE: func(cmd *cobra.Command, args []string) error {
			st, err := a.open(false)
			if err != nil {
				return err
			}
			defer st.Close()
			if sweep != "" {
				runs, err := st.SweepRuns(sweep)
				if err != nil {
					return err
				}
				for _, r := range runs {
					args = append(args, r.ID)
				}
			}
			if len(args) == 0 {
				args = []string{"@latest"}
			}
			if err := writeReport(st, args, out); err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), out)
			return err
		},
	}
	cmd.Flags().StringVarP(&out, "output", "o", "report.html", "where to write it")
	cmd.Flags().StringVar(&sweep, "sweep", "", "compare the trials of a sweep: its id, or @latest")
	return cmd
}

func (a *app) docCmd() *cobra.Command {
	var asJSON bool
	host := &builtins.Host{}
	cmd := &cobra.Command{
		Use: "doc [NAME]", Short: "Explain what a notebook can say: all, a module, or one built-in", Args: cobra.MaximumNArgs(1),
		Example: "  starbook doc\n  starbook doc lora.train",
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			var names []string
			for _, m := range host.Modules() {
				names = append(names, m.Name+"\t"+m.Doc)
				for _, f := range m.Funcs {
					first, _, _ := strings.Cut(f.Doc, "\n")
					names = append(names, f.Name+"\t"+first)
				}
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if asJSON {
				return writeJSON(cmd.OutOrStdout(), host.Modules())
			}
			text, err := host.Manual(strings.Join(args, ""))
			if err != nil {
				return err
			}
			_, err = fmt.Fprint(cmd.OutOrStdout(), text)
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}
