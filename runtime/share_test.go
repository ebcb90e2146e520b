package runtime

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"starbook/runtime/store"
)

// What steps share is made once, whoever asks for it at the same time: here from two
// processes' worth of stores. A failure is nobody's result, and bytes that are gone are made anew.
func TestOnceIsOnce(t *testing.T) {
	l := newLab(t)
	other, err := store.Open(filepath.Join(l.dir, ".starbook"))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	var made atomic.Int64
	fail := errors.New("not this time")
	once := func(st *store.Store, name string, failed error, fresh ...string) (Artifact, error) {
		r := &Run{Notebook: &Notebook{Path: "n.star"}, Store: st, Fresh: fresh}
		spec := l.spec("what is shared", name)
		return (&Step{run: r, spec: l.spec("asks", "x")}).Once(t.Context(), spec, func(context.Context) (Artifact, error) {
			made.Add(1)
			time.Sleep(20 * time.Millisecond) // for the others to come
			if failed != nil {
				return Artifact{}, failed
			}
			g, err := st.Blobs.Put([]byte(name))
			return Artifact{Kind: "value", Digest: g, Summary: json.RawMessage(`{"n":1}`)}, err
		})
	}
	if _, err := once(l.store, "a", fail); !errors.Is(err, fail) {
		t.Fatalf("got %v, want that it failed", err)
	}
	made.Store(0)
	var wg sync.WaitGroup
	results := make([]string, 12)
	for i := range results {
		wg.Go(func() {
			a, err := once([]*store.Store{l.store, other}[i%2], "a", nil)
			results[i] = fmt.Sprint(a, err)
		})
	}
	wg.Wait()
	for _, r := range results {
		if r != results[0] {
			t.Errorf("one got %s, another %s", results[0], r)
		}
	}
	if made.Load() != 1 {
		t.Errorf("made %d times", made.Load())
	}
	a, err := once(l.store, "a", nil)
	if err != nil || made.Load() != 1 {
		t.Fatalf("made %d times, %v", made.Load(), err)
	}
	if err := l.store.Blobs.Remove(a.Digest); err != nil {
		t.Fatal(err)
	}
	for _, fresh := range []string{"", "what is shared"} {
		if _, err := once(l.store, "a", nil, fresh); err != nil || !l.store.Blobs.Has(a.Digest) {
			t.Errorf("%v, and the bytes are there: %v", err, l.store.Blobs.Has(a.Digest))
		}
	}
	if made.Load() != 3 {
		t.Errorf("made %d times, want again when its bytes were gone, and afresh", made.Load())
	}
}
