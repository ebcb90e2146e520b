package runtime

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"starbook/runtime/store"
)

const killEnv = "STARBOOK_TEST_KILL" // directory in which the child process works

// half is a step that stops half-way if wait is set, and goes on from there otherwise.
func half(wait bool) Work {
	return func(_ context.Context, s *Step) (Artifact, error) {
		file := filepath.Join(s.Scratch(), "half")
		done, err := os.ReadFile(file)
		if err != nil {
			for x := range int64(3) {
				s.Metric("loss", x, float64(x))
			}
			if err := s.Store().Flush(context.Background()); err != nil {
				return Artifact{}, err
			}
			if err := os.WriteFile(file, []byte("half"), 0o666); err != nil {
				return Artifact{}, err
			}
			if wait {
				fmt.Println("half")
				select {} // until the kill
			}
		}
		if err := s.DropPoints(2); err != nil { // the checkpoint was at 2
			return Artifact{}, err
		}
		s.Metric("loss", 2, 20)
		g, err := s.Put(append(done, " and half"...))
		return Artifact{Kind: "value", Digest: g}, err
	}
}

func TestMain(m *testing.M) {
	if dir := os.Getenv(killEnv); dir != "" {
		if err := killedRun(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// killedRun begins a run that does not come to its end.
func killedRun(dir string) error {
	st, err := store.Open(filepath.Join(dir, ".starbook"))
	if err != nil {
		return err
	}
	nb, err := NewNotebook(filepath.Join(dir, "n.star"), nil)
	if err != nil {
		return err
	}
	r := &Run{ID: "0badcafe", Notebook: nb, Store: st}
	if err := r.begin(context.Background()); err != nil {
		return err
	}
	_, err = r.Do(context.Background(), Spec{Name: "half", Version: 1, Args: []byte("{}")}, half(true))
	return err
}

// After a kill -9 in the middle of a step, the next run goes on where it was.
func TestKilledRunGoesOn(t *testing.T) {
	l := newLab(t)
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), killEnv+"="+l.dir)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	l.must(err)
	l.must(child.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || line != "half\n" {
		t.Errorf("the child said %q, %v", line, err)
	}
	l.must(child.Process.Kill())
	child.Wait() // killed: its error says so
	if run, err := l.store.Run("0badcafe"); err != nil || run.Status != store.Interrupted {
		t.Errorf("the killed run: %+v, %v", run, err)
	}
	r := l.notebook("")
	l.must(r.begin(t.Context()))
	a, err := r.Do(t.Context(), Spec{Name: "half", Version: 1, Args: []byte("{}")}, half(false))
	l.must(err)
	l.must(r.end(nil))
	if got, err := l.store.Blobs.ReadAll(a.Digest); err != nil || string(got) != "half and half" {
		t.Errorf("got %q, %v", got, err)
	}
	points, err := l.store.Points(a.Step, "loss")
	if err != nil || fmt.Sprint(points) != "[{0 0} {1 1} {2 20}]" {
		t.Errorf("points %v, %v", points, err)
	}
	if _, err := os.Stat(filepath.Join(l.dir, ".starbook", "scratch", a.Step.String(), "half")); !os.IsNotExist(err) {
		t.Errorf("the scratch is still there: %v", err)
	}
}
