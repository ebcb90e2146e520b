package store

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"starbook/runtime/cas"
)

func refs(texts ...string) []cas.Digest {
	list := make([]cas.Digest, len(texts))
	for i, s := range texts {
		list[i] = key(s)
	}
	return list
}

// Two stores in one process stand for two processes: flock goes by descriptor.
func TestLockStepExcludes(t *testing.T) {
	dir := t.TempDir()
	stores := []*Store{openAt(t, dir), openAt(t, dir)}
	var wg sync.WaitGroup
	var inside atomic.Int32
	for i := range 6 {
		wg.Go(func() {
			for range 5 {
				s := stores[i%2]
				scratch, unlock, err := s.LockStep(context.Background(), key("s"))
				if err != nil {
					t.Error(err)
					return
				}
				if n := inside.Add(1); n != 1 {
					t.Errorf("%d inside", n)
				}
				if err := os.WriteFile(filepath.Join(scratch, "checkpoint"), nil, 0o644); err != nil {
					t.Error(err)
				}
				if i%3 == 0 { // the next holder must not be fooled by a lock that is gone
					if err := s.RemoveScratch(key("s")); err != nil {
						t.Error(err)
					}
				}
				inside.Add(-1)
				unlock()
				unlock()
			}
		})
	}
	wg.Wait()
}

func TestLockStepWaitsNoLongerThanContext(t *testing.T) {
	s := open(t)
	_, unlock, err := s.LockStep(t.Context(), key("s"))
	must(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, _, err := s.LockStep(ctx, key("s")); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("while held: %v", err)
	}
	unlock()
	_, unlock, err = s.LockStep(t.Context(), key("s"))
	must(t, err)
	unlock()
}

func TestRemoveScratch(t *testing.T) {
	dir := t.TempDir()
	s, other := openAt(t, dir), openAt(t, dir)
	must(t, s.RemoveScratch(key("never there")))
	scratch, unlock, err := s.LockStep(t.Context(), key("s"))
	must(t, err)
	if err := other.RemoveScratch(key("s")); err == nil {
		t.Error("scratch in use by another was removed")
	}
	unlock()
	must(t, other.RemoveScratch(key("s")))
	left, err := os.ReadDir(filepath.Dir(scratch))
	if err != nil || len(left) != 0 {
		t.Errorf("after RemoveScratch: %v, %v", left, err)
	}
}

func TestGC(t *testing.T) {
	s := open(t)
	old := time.Now().Add(-48 * time.Hour)
	put := func(text string, age time.Time) string {
		path := s.Blobs.Path(blob(t, s, text))
		must(t, os.Chtimes(path, age, age))
		return path
	}
	keep := []string{
		put("output", old), put("ref", old), put("input", old), put("source", old), put("lib", old), put("diff", old), put("young", time.Now()),
	}
	lose := []string{put("orphan", old), put("another", old)}
	must(t, s.PutStep(Step{Key: key("s"), Output: key("output"), Refs: refs("ref"), Inputs: refs("input")}))
	must(t, s.BeginRun(Run{ID: "aa", Source: key("source"), GitDirty: key("diff")}))
	must(t, s.SetRunParams("aa", nil, []cas.Entry{{Name: "lib", Digest: key("lib")}}))
	attempt := must1(s.BeginAsk(Ask{Key: key("q")}))(t)
	large := make([]byte, largeBody)
	must(t, s.PutAnswers([]Answer{{Key: key("q"), Attempt: attempt, Raw: large}}))
	done, unlock, err := s.LockStep(t.Context(), key("s"))
	must(t, err)
	unlock()
	half, unlock, err := s.LockStep(t.Context(), key("unfinished"))
	must(t, err)
	unlock()

	want := Garbage{Blobs: 2, Bytes: int64(len("orphan") + len("another")), Scratch: 1}
	for _, delete := range []bool{false, true} {
		if g, err := s.GC(GCOptions{Delete: delete}); err != nil || g != want {
			t.Fatalf("GC(%v): %+v, %v", delete, g, err)
		}
	}
	if g, err := s.GC(GCOptions{Delete: true}); err != nil || g != (Garbage{}) {
		t.Errorf("a second time: %+v, %v", g, err)
	}
	for _, path := range append(keep, half, s.Blobs.Path(key(string(large)))) {
		if _, err := os.Stat(path); err != nil {
			t.Errorf("lost: %v", err)
		}
	}
	for _, path := range append(lose, done) {
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is still there", path)
		}
	}
	if g, err := s.GC(GCOptions{Age: 1, Delete: true}); err != nil || g.Blobs != 1 {
		t.Errorf("young ones too: %+v, %v", g, err)
	}
	sound(t, s)
}

// A blob that a process at work may be about to name is left alone, whatever its age.
func TestGCLeavesWhatOthersWorkOn(t *testing.T) {
	dir := t.TempDir()
	a := openAt(t, dir)
	began := time.Now().Add(-72 * time.Hour) // a has been open for three days
	must(t, os.Chtimes(a.processLock(a.process), began, began))
	day2 := began.Add(24 * time.Hour)
	must(t, os.Chtimes(a.Blobs.Path(blob(t, a, "input of a long step")), day2, day2))
	b := openAt(t, dir)
	if g, err := b.GC(GCOptions{Delete: true}); err != nil || g.Blobs != 0 {
		t.Fatalf("beside a long run: %+v, %v", g, err)
	}
	must(t, a.Close())
	if g, err := b.GC(GCOptions{Delete: true}); err != nil || g.Blobs != 1 {
		t.Fatalf("after it: %+v, %v", g, err)
	}
}
