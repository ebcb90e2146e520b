// Starbook runs experiment notebooks for people who fine-tune language models.
// See README.md for the tour and ARCHITECTURE.md for the map.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"sync/atomic"
	"syscall"

	"github.com/spf13/cobra"

	"starbook/builtins/grade"
	"starbook/runtime"
	"starbook/runtime/store"
)

// The exit codes that main decides itself; runtime.ExitCode knows them all.
const (
	exitUsage       = 2 // the command line is wrong
	exitInterrupted = 3 // run the same command again to go on
)

func main() {
	grade.ChildMain() // never returns in a grader's child process
	os.Exit(run(os.Args[1:]))
}

// run executes one command line and returns its exit code.
func run(args []string) int {
	ctx, stop := interruptible(context.Background())
	defer stop()
	app := &app{}
	root := app.root()
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	if err != nil {
		fmt.Fprintln(os.Stderr, "starbook: "+message(err))
	}
	if !app.started && err != nil {
		fmt.Fprintf(os.Stderr, "usage: %s\n%s --help says more\n", cmd.UseLine(), cmd.CommandPath())
	}
	if !app.started || errors.Is(err, errUsage) {
		return exitUsage
	}
	return runtime.ExitCode(err) // 0 ok, 1 failed, 2 usage, 3 interrupted, 4 a bar was not met
}

// message returns the text of err without lines that stand in it already: a full disk
// fails everything that comes after it, each time with the same words.
func message(err error) string {
	seen := map[string]bool{}
	var lines []string
	for line := range strings.SplitSeq(strings.TrimSpace(err.Error()), "\n") {
		if !seen[line] {
			lines, seen[line] = append(lines, line), true
		}
	}
	return strings.Join(lines, "\n")
}

// errUsage marks a mistake in the command line that is found after parsing it.
var errUsage = errors.New("usage")

// app is what the verbs share: the flags that stand before them.
type app struct {
	storeDir string
	started  bool // the command line was understood
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:           "starbook",
		Short:         "Run experiment notebooks: distil, pair, train, merge, evaluate, compare",
		SilenceErrors: true,
		SilenceUsage:  true,
		PersistentPreRun: func(*cobra.Command, []string) {
			a.started = true
		},
		Version: runtime.Revision(),
	}
	root.SuggestionsMinimumDistance = 2
	dir := os.Getenv("STARBOOK_STORE")
	if dir == "" {
		dir = ".starbook"
	}
	root.PersistentFlags().StringVar(&a.storeDir, "store", dir, "directory of the store (or $STARBOOK_STORE)")
	root.AddCommand(
		a.runCmd(), a.planCmd(), a.explainCmd(), a.sweepCmd(), a.benchCmd(),
		a.lsCmd(), a.showCmd(), a.diffCmd(), a.tagCmd(), a.noteCmd(),
		a.reportCmd(), a.serveCmd(), a.sqlCmd(), a.exportCmd(), a.importCmd(),
		a.gcCmd(), a.doctorCmd(), a.docCmd(),
	)
	return root
}

// open opens the store, which must be there already unless create is set.
func (a *app) open(create bool) (*store.Store, error) {
	if create {
		return store.Open(a.storeDir)
	}
	if _, err := os.Stat(a.storeDir); err != nil {
		return nil, fmt.Errorf("no store at %s: run a notebook first, or name one with --store", a.storeDir)
	}
	return store.OpenReadOnly(a.storeDir)
}

// completeRuns offers the ids of runs to the shell.
func (a *app) completeRuns(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	st, err := a.open(false)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	defer st.Close()
	runs, _ := st.Runs(50)
	ids := []string{"@latest", "@best"}
	for _, r := range runs {
		ids = append(ids, r.ID+"\t"+r.Notebook+" "+string(r.Status))
	}
	return ids, cobra.ShellCompDirectiveNoFileComp
}

// interruptible returns a context that the first Ctrl-C cancels, so that the
// step at work can save where it is. The second ends the process at once.
func interruptible(parent context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(parent)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	var n atomic.Int32
	go func() {
		for range signals {
			if n.Add(1) > 1 {
				os.Exit(exitInterrupted)
			}
			fmt.Fprintln(os.Stderr, "\nstarbook: stopping at the next safe point; Ctrl-C again stops now")
			cancel()
		}
	}()
	return ctx, func() { signal.Stop(signals); close(signals); cancel() }
}
