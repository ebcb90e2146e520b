package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"starbook/builtins"
	"starbook/builtins/sweep"
	"starbook/runtime"
	"starbook/runtime/event"
	"starbook/runtime/store"
)

// sweepFlags are the flags of `sweep`.
type sweepFlags struct {
	params             []string
	maximize, minimize string
	sampler, prune     string
	trials, jobs       int
	seed               uint64
	report             string
	yes                bool
}

func (a *app) sweepCmd() *cobra.Command {
	var f sweepFlags
	cmd := &cobra.Command{
		Use:   "sweep NOTEBOOK",
		Short: "Run a notebook with many settings; what the trials have in common is done once",
		Long: "Runs the notebook once for each setting, as trials of one sweep. A parameter with commas or a range is varied:\n" +
			"  -p patience=2,3,5            one of these\n" +
			"  -p lr=1e-6..1e-3:log         a number from a range, even on a logarithmic scale\n" +
			"  -p rank=4..64:log+int        whole numbers\n" +
			"Run the same command again to go on where it was: finished steps are found, the proposals are the same.",
		Args: cobra.ExactArgs(1),
		Example: "  starbook sweep scripts/quickstart.star -p lr=0.003,0.006 -p patience=2,4 --maximize eval.pass_rate\n" +
			"  starbook sweep nb.star -p lr=1e-6..1e-3:log --sampler tpe --trials 30 --minimize lora.train.best_eval_loss",
		RunE: func(cmd *cobra.Command, args []string) error { return a.sweep(cmd.Context(), args[0], f) },
	}
	cmd.Flags().StringArrayVarP(&f.params, "param", "p", nil, "vary or set a parameter (repeat for more)")
	cmd.Flags().StringVar(&f.maximize, "maximize", "", "the fact that counts, of the last step so called: eval.pass_rate, lora.train.best_eval_loss")
	cmd.Flags().StringVar(&f.minimize, "minimize", "", "the same, the smaller the better")
	cmd.Flags().StringVar(&f.sampler, "sampler", "", "grid, random or tpe; without it grid, or random if there is a range")
	cmd.Flags().StringVar(&f.prune, "prune", "", "end trials whose validation losses are worse than those of earlier ones: median or asha (starbook doc sweep.grid)")
	cmd.Flags().IntVar(&f.trials, "trials", 20, "how many, for random and tpe")
	cmd.Flags().IntVar(&f.jobs, "jobs", 1, "trials at a time; they share the GPU in turns. Where trials learn from each other (tpe, --prune), 4 at most")
	cmd.Flags().Uint64Var(&f.seed, "sampler-seed", 1, "of the proposals")
	cmd.Flags().StringVarP(&f.report, "output", "o", "report.html", "where to write the comparison")
	cmd.Flags().BoolVarP(&f.yes, "yes", "y", false, "spend money without asking, each step within its budget_usd")
	cmd.MarkFlagsMutuallyExclusive("maximize", "minimize")
	return cmd
}

// sweeper is a study at work.
type sweeper struct {
	study
	id      string
	nb      *runtime.Notebook
	st      *store.Store
	host    *builtins.Host
	pool    *runtime.Pool
	console *event.Console
	begun   time.Time
	stop    context.CancelFunc // of all trials

	mu   sync.Mutex
	over int
}

func (a *app) sweep(ctx context.Context, path string, f sweepFlags) (err error) {
	s, err := newStudy(path, f)
	if err != nil {
		return err
	}
	search, err := s.search()
	if err != nil {
		return fmt.Errorf("%w: --prune %w", errUsage, err)
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	w := &sweeper{study: s, pool: newPool(), begun: time.Now(), stop: stop}
	if w.id, err = s.id(); err != nil {
		return err
	}
	if w.nb, err = runtime.ReadNotebook(path); err == nil {
		err = placeFor(f.report)
	}
	if err != nil {
		return err
	}
	if w.st, err = a.open(true); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.st.Close()) }()
	w.host = &builtins.Host{Dir: filepath.Dir(path), OpenDevice: openDevice, Consent: newPurse(f.yes).consent}
	defer func() { err = errors.Join(err, w.host.Close()) }()
	w.console = newConsole(os.Stdout)
	w.console.Brief = true
	fmt.Fprintf(os.Stdout, "sweep %s: %d trials, %s\n", w.id, s.size(), s.Sampler)
	trials, err := search.Run(ctx, f.jobs, w.trial)
	w.console.Close()
	if err != nil {
		return fmt.Errorf("%w\nrun the same command again to go on", errors.Join(runtime.ErrInterrupted, err))
	}
	return w.conclude(os.Stdout, trials, f.report)
}

// finished is what a trial leaves: its run and the step that its value is of.
type finished struct {
	run     string
	n, pass int // items, if the value is a pass rate
}

// trial runs the notebook with the settings of p.
func (w *sweeper) trial(ctx context.Context, i int, p sweep.Point) (float64, any, error) {
	begun := time.Now()
	r := &runtime.Run{
		Notebook: w.nb, Store: w.st, Sink: numbered{w.console, i + 1}, Params: w.params(p), Argv: os.Args,
		Pool: w.pool, Sweep: w.id, Trial: i + 1, Objective: w.objective(),
	}
	err := r.Exec(ctx, w.host.Predeclared())
	if errors.Is(err, runtime.ErrBar) {
		err = nil // a bar is for the one who reads: the trial has its value
	}
	if errors.Is(err, runtime.ErrUsage) {
		return 0, nil, err
	}
	if errors.Is(err, runtime.ErrInterrupted) {
		w.stop() // asked of one trial, it is meant for the process, as Ctrl-C is
	}
	done, x := finished{run: r.ID}, 0.0
	if err == nil && w.Objective != "" {
		x, done.n, done.pass, err = w.measure(r.ID)
	}
	w.tell(i, p, r.ID, x, done, time.Since(begun), err)
	return x, done, err
}

// measure finds what a run came to, and of how many items if that is a pass rate.
func (w *sweeper) measure(run string) (x float64, n, pass int, err error) {
	uses, err := w.st.UsesOf([]string{run})
	if err != nil {
		return 0, 0, 0, err
	}
	o := w.objective()
	for _, u := range slices.Backward(uses[run]) {
		x, ok := o.Of(u.Name, u.Step.Summary)
		if !ok {
			continue
		}
		var items struct{ N, Passed int }
		if o.Key() == "pass_rate" {
			if err := json.Unmarshal(u.Step.Summary, &items); err != nil {
				return 0, 0, 0, err
			}
		}
		return x, items.N, items.Passed, nil
	}
	return 0, 0, 0, fmt.Errorf("no step has %s: starbook show %s lists the facts", w.Objective, run)
}

// tell prints a line about a trial that is over, with an estimate for the rest.
func (w *sweeper) tell(i int, p sweep.Point, run string, x float64, done finished, took time.Duration, err error) {
	w.mu.Lock()
	w.over++
	over := w.over
	w.mu.Unlock()
	result := strconv.FormatFloat(x, 'g', 5, 64)
	var pruned *runtime.Pruned
	switch {
	case errors.As(err, &pruned):
		result = pruned.Error()
	case err != nil:
		result = "failed: " + cause(err)
	case w.Objective == "":
		result = "done"
	case done.n > 0:
		result = fmt.Sprintf("%.1f %% (n %d)", 100*x, done.n)
	}
	line := fmt.Sprintf("trial %d of %d  %s  %s  run %s  %s", i+1, w.size(), w.describe(p), result, run, event.Seconds(took.Seconds()))
	if left := time.Since(w.begun).Seconds() / float64(over) * float64(w.size()-over); left > 2 {
		line += fmt.Sprintf("  (about %s left)", event.Seconds(left))
	}
	w.console.Emit(event.Event{Kind: event.Print, Time: time.Now(), Text: line})
}

// cause returns the first line of why a notebook failed.
func cause(err error) string {
	var script *runtime.ScriptError
	if errors.As(err, &script) {
		err = script.Cause
	}
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

// conclude names the best trial and writes the comparison. It fails if a trial did.
func (w *sweeper) conclude(out io.Writer, trials []sweep.Outcome, report string) error {
	var runs []string
	var failed []error
	pruned := 0
	for _, t := range trials {
		done, ok := t.Result.(finished)
		if !ok { // not even begun: the command line is wrong
			return t.Err
		}
		runs = append(runs, done.run)
		switch {
		case t.Failed:
			failed = append(failed, t.Err)
		case t.Pruned != "":
			pruned++
		}
	}
	if err := writeReport(w.st, runs, report); err != nil {
		return err
	}
	fmt.Fprintf(out, "\nsweep %s: %d trials", w.id, len(trials))
	if pruned > 0 {
		fmt.Fprintf(out, ", %d pruned", pruned)
	}
	if best := sweep.Best(trials, w.Minimize); best >= 0 && w.Objective != "" {
		t := trials[best]
		fmt.Fprintf(out, ", the best of them %s: %s %.5g (run %s)", w.describe(t.Point), w.Objective, t.Value, t.Result.(finished).run)
	}
	fmt.Fprintf(out, "\nreport: %s\n", report)
	if len(failed) > 0 {
		return fmt.Errorf("%d of %d trials failed; the first: %w", len(failed), len(trials), failed[0])
	}
	return nil
}

// numbered puts the number of a trial before the names of its steps and its prints.
type numbered struct {
	event.Sink
	trial int
}

// Emit implements event.Sink.
func (s numbered) Emit(e event.Event) {
	switch e.Kind {
	case event.StepStart, event.StepFail:
		e.Name = fmt.Sprintf("%d: %s", s.trial, e.Name)
	case event.Print, event.Compare, event.Bar:
		return // in the trial's own report
	}
	s.Sink.Emit(e)
}
