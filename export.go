package main

import (
	"encoding/csv"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"starbook/reports"
	"starbook/runtime/store"
)

// exporter writes runs in a format: a directory, whose name it is given, or a file, which is written whole or not at all.
type exporter struct {
	name, doc string
	file      func(io.Writer, *store.Store, []string) error
	dir       func(string, *store.Store, []string) error
}

var exporters = []exporter{
	{name: "csv", doc: "every point of every metric, a row each", file: exportCSV},
	{name: "json", doc: "all that the rows say: runs, steps, curves, graded answers, events", file: exportJSON},
	{name: "ipynb", doc: "one run as a Jupyter notebook (nbformat 4.5) with its outputs", file: exportNotebook},
	{name: "mlflow", doc: "a directory mlruns, for mlflow migrate-filestore or an MLflow that still reads such", dir: exportMLflow},
	{name: "tensorboard", doc: "event files, a directory for each step that has curves", dir: exportTensorBoard},
	{name: "bundle", doc: "everything with its bytes, for starbook import", file: exportBundle},
}

func (a *app) exportCmd() *cobra.Command {
	var format, out string
	var formats []string
	long := "Formats:\n"
	for _, x := range exporters {
		formats = append(formats, x.name)
		long += fmt.Sprintf("  %-12s %s\n", x.name, x.doc)
	}
	cmd := &cobra.Command{
		Use: "export RUN...", Short: "Write runs for other tools, or as a bundle for another store", Args: cobra.MinimumNArgs(1),
		Long:              long,
		Example:           "  starbook export @latest --format ipynb -o run.ipynb\n  starbook export 3f9a 81c0 --format bundle -o two.starbook",
		ValidArgsFunction: a.completeRuns,
		RunE: func(_ *cobra.Command, args []string) error {
			i := slices.Index(formats, format)
			if i < 0 {
				return fmt.Errorf("%w: --format %s: there are %s", errUsage, format, strings.Join(formats, ", "))
			}
			if out == "" {
				return fmt.Errorf("%w: say where to with -o", errUsage)
			}
			st, err := a.open(false)
			if err != nil {
				return err
			}
			defer st.Close()
			ids := make([]string, len(args))
			for i, ref := range args {
				r, err := st.Run(ref)
				if err != nil {
					return err
				}
				ids[i] = r.ID
			}
			x := exporters[i]
			if x.dir != nil {
				return x.dir(out, st, ids)
			}
			return writeWhole(out, func(w io.Writer) error { return x.file(w, st, ids) })
		},
	}
	cmd.Flags().StringVar(&format, "format", "json", strings.Join(formats, ", "))
	cmd.Flags().StringVarP(&out, "output", "o", "", "file or directory to write")
	return cmd
}

func exportJSON(w io.Writer, st *store.Store, runs []string) error {
	b, err := st.Bundle(runs)
	if err != nil {
		return err
	}
	return writeJSON(w, b)
}

func exportNotebook(w io.Writer, st *store.Store, runs []string) error {
	if len(runs) != 1 {
		return fmt.Errorf("%w: a notebook is of one run", errUsage)
	}
	return reports.Notebook(w, st, runs[0])
}

// exportCSV writes NaN and infinities as Go does: NaN, +Inf, -Inf.
func exportCSV(w io.Writer, st *store.Store, runs []string) error {
	b, err := st.Bundle(runs)
	if err != nil {
		return err
	}
	steps := map[string]store.BundledStep{}
	for _, s := range b.Steps {
		steps[s.Key.String()] = s
	}
	out := csv.NewWriter(w)
	if err := out.Write([]string{"run", "notebook", "step", "step_name", "line", "metric", "x", "value"}); err != nil {
		return err
	}
	for _, r := range b.Runs {
		for _, u := range r.Uses {
			s := steps[u.Key.String()]
			for _, name := range keys(s.Curves) {
				for _, p := range s.Curves[name] {
					row := []string{
						r.ID, r.Notebook, u.Key.String(), u.Name, strconv.Itoa(u.Line), name,
						strconv.FormatInt(p.X, 10), strconv.FormatFloat(p.V, 'g', -1, 64),
					}
					if err := out.Write(row); err != nil {
						return err
					}
				}
			}
		}
	}
	out.Flush()
	return out.Error()
}

func exportTensorBoard(dir string, st *store.Store, runs []string) error {
	for _, id := range runs {
		uses, err := st.Uses(id)
		if err != nil {
			return err
		}
		for _, u := range uses {
			series, err := st.Series(u.Key)
			if err != nil {
				return err
			}
			if len(series) == 0 || u.Failed != "" {
				continue
			}
			if _, err := reports.TensorBoard(filepath.Join(dir, id, u.Name+"-"+u.Key.Short()), st, u.Key); err != nil {
				return err
			}
		}
	}
	return nil
}
