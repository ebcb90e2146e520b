package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"starbook/builtins"
	"starbook/reports"
	"starbook/runtime"
	"starbook/runtime/event"
	"starbook/runtime/store"
)

// runFlags are the flags of `run`.
type runFlags struct {
	params   []string
	fresh    []string
	report   string
	noReport bool
	yes      bool
	watch    bool
	board    string // directory for TensorBoard; "": none
}

func (a *app) runCmd() *cobra.Command {
	var f runFlags
	cmd := &cobra.Command{
		Use:   "run NOTEBOOK",
		Short: "Run a notebook; run it again to go on where it was",
		Args:  cobra.ExactArgs(1),
		Example: "  starbook run scripts/quickstart.star\n" +
			"  starbook run scripts/quickstart.star -p choose=random -p lr=1e-3\n" +
			"  starbook run scripts/quickstart.star --watch",
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return []string{"star"}, cobra.ShellCompDirectiveFilterFileExt
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.watch {
				return a.watch(cmd.Context(), args[0], f)
			}
			_, err := a.run(cmd.Context(), args[0], f)
			return err
		},
	}
	cmd.Flags().StringArrayVarP(&f.params, "param", "p", nil, "set a parameter: name=value (repeat for more)")
	cmd.Flags().StringSliceVar(&f.fresh, "fresh", nil, "do these steps again: names such as lora.train, or all")
	cmd.Flags().StringVarP(&f.report, "output", "o", "report.html", "where to write the report")
	cmd.Flags().BoolVarP(&f.yes, "yes", "y", false, "spend money without asking, each step within its budget_usd")
	cmd.Flags().BoolVar(&f.noReport, "no-report", false, "write no report")
	cmd.Flags().BoolVar(&f.watch, "watch", false, "run it again whenever it is saved; starbook serve shows it")
	cmd.Flags().StringVar(&f.board, "tensorboard", "", "write metrics below this directory as they come, for TensorBoard")
	return cmd
}

// run runs the notebook once and returns the id of the run, "" if none has begun.
func (a *app) run(ctx context.Context, path string, f runFlags) (id string, err error) {
	params, err := parseParams(f.params)
	if err != nil {
		return "", err
	}
	nb, err := runtime.ReadNotebook(path)
	if err == nil && !f.noReport {
		err = placeFor(f.report)
	}
	if err == nil {
		err = checkFresh(f.fresh)
	}
	if err != nil {
		return "", err
	}
	st, err := a.open(true)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	host := &builtins.Host{Dir: filepath.Dir(path), OpenDevice: openDevice, Consent: newPurse(f.yes).consent}
	defer func() { err = errors.Join(err, host.Close()) }()
	console := newConsole(os.Stdout)
	sink := event.Sink(console)
	if f.board != "" {
		board := reports.NewBoard(f.board, st)
		defer func() { err = errors.Join(err, board.Close()) }()
		sink = event.Tee{console, board}
	}
	r := &runtime.Run{
		Notebook: nb, Store: st, Sink: sink, Params: params, Fresh: f.fresh, Argv: os.Args,
		Pool: newPool(),
	}
	failed := r.Exec(ctx, host.Predeclared())
	console.Close()
	if errors.Is(failed, runtime.ErrUsage) {
		return "", failed
	}
	if !f.noReport {
		if err := writeReport(st, []string{r.ID}, f.report); err != nil {
			return r.ID, errors.Join(failed, err)
		}
	}
	if err := conclude(os.Stdout, st, r.ID, f); err != nil {
		return r.ID, errors.Join(failed, err)
	}
	if errors.Is(failed, runtime.ErrInterrupted) {
		return r.ID, fmt.Errorf("%w\nrun the same command again to go on", failed)
	}
	return r.ID, failed
}

// conclude prints what the run came to: steps, what hits saved, the report.
func conclude(w io.Writer, st *store.Store, id string, f runFlags) error {
	s, err := load(st, id)
	if err != nil {
		return err
	}
	hits, saved := 0, 0.0
	for _, u := range s.Steps {
		if u.Hit {
			hits++
			if step, err := st.Step(u.Key); err == nil {
				saved += step.Seconds
			}
		}
	}
	fmt.Fprintf(w, "\nrun %s %s in %s: %s, %d of them hits", s.ID, s.Status, took(s.Run), plural(len(s.Steps), "step"), hits)
	if saved >= 0.1 {
		fmt.Fprintf(w, " (saved %s)", event.Seconds(saved))
	}
	fmt.Fprintln(w)
	if !f.noReport {
		fmt.Fprintln(w, "report: "+f.report)
	}
	return nil
}

func parseParams(list []string) (map[string]string, error) {
	out := map[string]string{}
	for _, p := range list {
		name, value, ok := strings.Cut(p, "=")
		if !ok || name == "" {
			return nil, fmt.Errorf("%w: -p %q: write name=value", errUsage, p)
		}
		out[name] = value
	}
	return out, nil
}

// newPool has one slot for the device, for it serves one step at a time.
func newPool() *runtime.Pool {
	return runtime.NewPool(map[runtime.Resource]int{runtime.GPU: 1, runtime.Net: 4, runtime.CPU: 2})
}

// newConsole draws a live region on a terminal, and honours NO_COLOR.
func newConsole(f *os.File) *event.Console {
	c := event.NewConsole(f)
	fd := int(f.Fd())
	if term.IsTerminal(fd) && os.Getenv("TERM") != "dumb" {
		c.Terminal = true
		c.Color = os.Getenv("NO_COLOR") == ""
		c.Width = func() int {
			w, _, err := term.GetSize(fd)
			if err != nil {
				return 80
			}
			return w
		}
	}
	return c
}

func writeReport(st *store.Store, runs []string, path string) error {
	return writeWhole(path, func(w io.Writer) error { return reports.Write(w, st, runs, reports.Options{}) })
}

func checkFresh(names []string) error {
	if err := (&builtins.Host{}).CheckSteps(names); err != nil {
		return fmt.Errorf("%w: --fresh: %w", errUsage, err)
	}
	return nil
}

// placeFor says what is wrong with where a file is to be written, before work is done for it.
func placeFor(path string) error {
	if info, err := os.Stat(filepath.Dir(path)); err != nil || !info.IsDir() {
		return fmt.Errorf("%w: -o %s: there is no folder %s", errUsage, path, filepath.Dir(path))
	}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return fmt.Errorf("%w: -o %s: this is a folder: name a file in it", errUsage, path)
	}
	return nil
}

// writeWhole writes a file whole or not at all.
func writeWhole(path string, write func(io.Writer) error) error {
	if err := placeFor(path); err != nil {
		return err
	}
	const halves = ".starbook-*.tmp"
	stale, _ := filepath.Glob(filepath.Join(filepath.Dir(path), halves)) // the pattern is well formed
	for _, name := range stale {
		if fi, err := os.Stat(name); err == nil && time.Since(fi.ModTime()) > time.Hour {
			os.Remove(name) // of a process that was killed: nothing takes so long
		}
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), halves)
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	defer os.Remove(tmp.Name()) // gone after the rename
	if err := errors.Join(write(tmp), tmp.Chmod(0o644), tmp.Close()); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return os.Rename(tmp.Name(), path)
}
