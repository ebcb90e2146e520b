package runtime

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"starbook/runtime/event"
	"starbook/runtime/store"
)

// TestStopFromAnotherProcess: whoever has the store open can ask a run to stop.
func TestStopFromAnotherProcess(t *testing.T) {
	l := newLab(t)
	r := l.notebook("param(\"lr\")\nmake(\"a\", \"text\")\nwhile True:\n    pass\n")
	r.ID, r.MaxSteps = "0badcafe", 1<<62
	other, err := store.OpenReadOnly(l.store.Dir())
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if err := other.RequestStop("0badcafe"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("before the run: %v", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- l.exec(context.Background(), r) }()
	for steps := []store.Use(nil); len(steps) == 0; steps, _ = other.Uses("0badcafe") {
		time.Sleep(10 * time.Millisecond)
	}
	if head, err := other.Run("0badcafe"); err != nil || string(head.Params) == "{}" {
		t.Errorf("the params of a run that goes on are %s, %v", head.Params, err)
	}
	if err := other.RequestStop("0badcafe"); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, ErrInterrupted) || ExitCode(err) != 3 {
		t.Errorf("it ended with %v", err)
	}
	if !slices.ContainsFunc(l.events, func(e event.Event) bool { return e.Kind == event.Warn }) {
		t.Error("nobody was told why")
	}
	if other.StopRequested("0badcafe") {
		t.Error("the request outlives the run")
	}
	if err := other.RequestStop("0badcafe"); !errors.Is(err, store.ErrNotRunning) {
		t.Errorf("after the run: %v", err)
	}
}

func TestCheckSyntax(t *testing.T) {
	for src, want := range map[string]string{
		"# %% A\nx = 1\n":               "",
		"# %% A\nx = (1,\n# %% B\ny = ": `cell 2 "B" · n.star:4:4`,
		"x = 1 +\n":                     "n.star:1:8",
		"if x\n":                        "n.star:2:1",
		"undefined + 1\n":               "", // a name is the run's business
	} {
		nb, err := NewNotebook("n.star", []byte(src))
		if err != nil {
			t.Fatal(err)
		}
		err = nb.Check()
		var script *ScriptError
		switch {
		case want == "" && err != nil, want != "" && !errors.As(err, &script):
			t.Errorf("%q: %v", src, err)
		case want != "" && !strings.Contains(err.Error(), want):
			t.Errorf("%q: got %q, want %q", src, err, want)
		}
	}
}
