package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"starbook/runtime"
	"starbook/runtime/cas"
)

// watchEvery is how often --watch looks at the files. It looks at their bytes: an editor
// that writes another file and renames it would be lost on whoever waits for one to change.
const watchEvery = 200 * time.Millisecond

// watched is a notebook with the libraries that its last run loaded.
type watched struct {
	paths []string     // the notebook first
	ran   []cas.Digest // their texts in the last run
	bad   []cas.Digest // their texts when they were last found not to parse
}

// watch runs the notebook again whenever it is saved, until ctx ends. A save during a run
// stops it as one Ctrl-C would; what it has done is found by the next.
func (a *app) watch(ctx context.Context, path string, f runFlags) error {
	w := &watched{paths: []string{path}}
	for first := true; ; first = false {
		run, err := a.untilSaved(ctx, w, f)
		wrong := errors.Is(err, runtime.ErrUsage) || errors.Is(err, errUsage)
		switch {
		case ctx.Err() != nil, first && wrong:
			return err
		case err != nil && !errors.Is(err, runtime.ErrInterrupted):
			fmt.Fprintln(os.Stderr, "starbook: "+message(err))
		}
		if run != "" {
			if err := w.remember(a, run); err != nil {
				return err
			}
		}
		fmt.Printf("\nwatching %s; Ctrl-C ends\n", path)
		if !w.wait(ctx) {
			return nil
		}
	}
}

// untilSaved runs the notebook, or stops it once it has been saved again.
func (a *app) untilSaved(ctx context.Context, w *watched, f runFlags) (run string, err error) {
	w.ran, _ = w.digests() // a file that is away is an error of the run
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		if w.wait(ctx) {
			fmt.Println("\nsaved: stopping at the next safe point, to run it again")
			cancel()
		}
	})
	run, err = a.run(ctx, w.paths[0], f)
	cancel()
	wg.Wait()
	return run, err
}

// wait returns true once other texts are saved that parse, false when ctx ends. Of texts
// that do not it tells the person once.
func (w *watched) wait(ctx context.Context) bool {
	ticks := time.NewTicker(watchEvery)
	defer ticks.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-ticks.C:
		}
		now, err := w.digests()
		if err != nil || slices.Equal(now, w.ran) || slices.Equal(now, w.bad) {
			continue // away for a moment, or nothing new
		}
		if err := w.check(); err != nil {
			w.bad = now
			fmt.Fprintf(os.Stderr, "starbook: %s\nwaiting for the next save\n", message(err))
			continue
		}
		return true
	}
}

func (w *watched) digests() ([]cas.Digest, error) {
	var out []cas.Digest
	for _, path := range w.paths {
		b, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		out = append(out, cas.Sum(bytes.TrimPrefix(b, []byte("\ufeff"))))
	}
	return out, nil
}

// check returns what is wrong with the files' syntax.
func (w *watched) check() error {
	for _, path := range w.paths {
		nb, err := runtime.ReadNotebook(path)
		if err == nil {
			err = nb.Check()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// remember looks up what the run was of.
func (w *watched) remember(a *app, run string) error {
	st, err := a.open(false)
	if err != nil {
		return err
	}
	defer st.Close()
	r, err := st.Run(run)
	if err != nil {
		return err
	}
	w.paths, w.ran = w.paths[:1], []cas.Digest{r.Source}
	for _, lib := range r.Libraries {
		w.paths = append(w.paths, filepath.Join(filepath.Dir(w.paths[0]), filepath.FromSlash(lib.Name)))
		w.ran = append(w.ran, lib.Digest)
	}
	return nil
}
