package store

import (
	"errors"
	"path/filepath"
	"testing"

	"starbook/runtime/cas"
)

// A forgotten step leaves nothing behind, and can be done again with other points.
func TestForgetStep(t *testing.T) {
	s, err := Open(filepath.Join(t.TempDir(), ".starbook"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	out, err := s.Blobs.Put([]byte("result"))
	if err != nil {
		t.Fatal(err)
	}
	key := cas.Sum([]byte("step"))
	put := func(n int64) {
		t.Helper()
		for x := range n {
			s.Point(key, "loss", x, float64(x))
		}
		if err := s.PutSamples(key, []Sample{{Index: 0, ID: "a"}}); err != nil {
			t.Fatal(err)
		}
		if err := s.PutStep(Step{Key: key, Name: "lora.train", Kind: "adapter", Output: out}); err != nil {
			t.Fatal(err)
		}
	}
	put(3000) // enough for chunks
	if err := s.ForgetStep(key); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Step(key); !errors.Is(err, ErrNotFound) {
		t.Errorf("the step is still there: %v", err)
	}
	points, err := s.Points(key, "loss")
	if err != nil || len(points) != 0 {
		t.Errorf("%d points are still there (%v)", len(points), err)
	}
	if rows, err := s.Samples(key); err != nil || len(rows) != 0 {
		t.Errorf("%d samples are still there (%v)", len(rows), err)
	}
	put(2)
	if points, err = s.Points(key, "loss"); err != nil || len(points) != 2 {
		t.Errorf("after doing it again: %d points (%v), want 2", len(points), err)
	}
}
