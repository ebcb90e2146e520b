package store

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// fill does steps of 8 KiB of samples until the store fails, and returns the keys of those
// that were acknowledged and the failure.
func fill(t *testing.T, s *Store) (done []string, err error) {
	t.Helper()
	r := rand.New(rand.NewPCG(5, 6))
	for i := range 5000 {
		name := fmt.Sprint("step ", i)
		text := make([]byte, 4096)
		for j := range text {
			text[j] = byte('a' + r.IntN(26))
		}
		s.Point(key(name), "loss", int64(i), 1)
		if err := s.PutSamples(key(name), []Sample{{Prompt: string(text), Answer: string(text)}}); err != nil {
			return done, err
		}
		if err := s.PutStep(Step{Key: key(name), Name: name}); err != nil {
			return done, err
		}
		done = append(done, name)
	}
	t.Fatal("the disk never filled")
	return nil, nil
}

// full checks the failure and that it sticks.
func full(t *testing.T, s *Store, err error) {
	t.Helper()
	for _, part := range []string{"store: no space left", s.Dir(), "free space and run the same command again"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("the error %q does not say %q", err, part)
		}
	}
	select {
	case <-s.Failed():
	default:
		t.Error("Failed is not closed")
	}
	s.Point(key("late"), "loss", 1, 1)
	for name, got := range map[string]error{"Err": s.Err(), "Flush": s.Flush(t.Context()), "PutUse": s.PutUse(Use{}), "PutStep": s.PutStep(Step{}), "Close": s.Close()} {
		if got == nil || got.Error() != err.Error() {
			t.Errorf("%s after the failure: %v", name, got)
		}
	}
}

// goesOn opens the store anew and checks that nothing that was acknowledged is lost.
func goesOn(t *testing.T, dir string, done []string) {
	t.Helper()
	s, err := Open(dir)
	must(t, err)
	defer func() { must(t, s.Close()) }()
	sound(t, s)
	for _, name := range done {
		if _, err := s.Step(key(name)); err != nil {
			t.Errorf("%s was acknowledged: %v", name, err)
		}
	}
	must(t, s.PutStep(Step{Key: key("after"), Name: "after", Output: blob(t, s, "after")}))
}

func TestFullStore(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir)
	must(t, err)
	must(t, s.writer.now(func(c *conn) error { return c.script("PRAGMA max_page_count = 120") }))
	done, err := fill(t, s)
	full(t, s, err)
	if _, err := s.Step(key(done[0])); err == nil {
		t.Error("a closed store was read")
	}
	goesOn(t, dir, done)
}

func TestReadingGoesOnAfterFailure(t *testing.T) {
	s, err := Open(t.TempDir())
	must(t, err)
	must(t, s.writer.now(func(c *conn) error { return c.script("PRAGMA max_page_count = 120") }))
	done, _ := fill(t, s)
	points, err := s.Points(key(done[0]), "loss")
	if err != nil || len(points) != 1 {
		t.Errorf("points of a finished step: %v, %v", points, err)
	}
	if s.Close() == nil {
		t.Error("Close said nothing of the failure")
	}
}

// A real disk of 6 MiB, where the machine lets us make one.
func TestFullDisk(t *testing.T) {
	disk := t.TempDir()
	if err := mountSmall(disk, "6m"); err != nil {
		t.Skipf("no small disk to fill: %v", err)
	}
	defer unmount(disk)
	ballast := filepath.Join(disk, "ballast")
	must(t, os.WriteFile(ballast, bytes.Repeat([]byte{1}, 2<<20), 0o644))
	dir := filepath.Join(disk, "store")
	s, err := Open(dir)
	must(t, err)
	done, err := fill(t, s)
	if len(done) == 0 {
		t.Fatalf("full at once: %v", err)
	}
	t.Logf("full after %d steps", len(done))
	if _, err := s.Blobs.Put(bytes.Repeat([]byte("x"), 4<<20)); !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "free space") {
		t.Errorf("a blob on a full disk: %v", err)
	}
	full(t, s, err)
	must(t, os.Remove(ballast))
	goesOn(t, dir, done)
}

// A store on a disk that cannot be written, such as an archive, is read as it is.
func TestReadOnlyDisk(t *testing.T) {
	disk := t.TempDir()
	if err := mountSmall(disk, "6m"); err != nil {
		t.Skipf("no small disk to lock: %v", err)
	}
	defer unmount(disk)
	s, err := Open(disk)
	must(t, err)
	must(t, s.PutStep(Step{Key: key("s")}))
	must(t, s.Close())
	must(t, freeze(disk))
	r, err := OpenReadOnly(disk)
	must(t, err)
	if _, err := r.Step(key("s")); err != nil {
		t.Error(err)
	}
	if _, err := r.Query(t.Context(), "SELECT * FROM runs"); err != nil {
		t.Error(err)
	}
	must(t, r.Close())
	if _, err := Open(disk); err == nil {
		t.Error("a disk that cannot be written was opened for writing")
	}
}
