package reports

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"starbook/runtime/cas"
	"starbook/runtime/event"
	"starbook/runtime/store"
)

// Board is an event.Sink that writes the metrics of a run's steps to event files as they
// come, below Dir/RUN/STEP, so that TensorBoard follows the run. A step that is found gets a file with all its points.
type Board struct {
	dir string
	st  *store.Store

	mu    sync.Mutex // guards what follows
	steps map[string]*boardFile
	err   error // the first; nothing is written after it
}

// boardFile is the event file of a step at work.
type boardFile struct {
	name    string // of the built-in
	file    *os.File
	buf     *bufio.Writer
	flushed time.Time
}

var _ event.Sink = (*Board)(nil)

// NewBoard returns a Board that writes below dir. The caller must Close it.
func NewBoard(dir string, st *store.Store) *Board {
	return &Board{dir: dir, st: st, steps: map[string]*boardFile{}}
}

// Emit implements event.Sink.
func (b *Board) Emit(e event.Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil || e.Step == "" {
		return
	}
	switch e.Kind {
	case event.StepStart:
		b.steps[e.Step] = &boardFile{name: e.Name}
	case event.StepHit:
		b.err = b.found(e)
	case event.Metric:
		b.err = b.point(e)
	case event.StepDone, event.StepFail:
		if f := b.steps[e.Step]; f != nil {
			delete(b.steps, e.Step)
			b.err = f.close()
		}
	}
}

// place is the directory of a step: TensorBoard takes it as one run.
func (b *Board) place(e event.Event, name string) string {
	return filepath.Join(b.dir, e.Run, strings.ReplaceAll(name, string(filepath.Separator), "_")+"-"+e.Step[:8])
}

func (b *Board) found(e event.Event) error {
	key, err := cas.Parse(e.Step)
	if err != nil {
		return err
	}
	series, err := b.st.Series(key)
	if err != nil || len(series) == 0 {
		return err
	}
	_, err = TensorBoard(b.place(e, e.Name), b.st, key)
	return err
}

func (b *Board) point(e event.Event) error {
	f := b.steps[e.Step]
	if f == nil {
		return nil
	}
	wall := float64(e.Time.UnixMicro()) / 1e6
	if f.file == nil {
		if err := f.open(b.place(e, f.name), wall, e); err != nil {
			return err
		}
	}
	if err := writeRecord(f.buf, scalarEvent(wall, moment{e.X, []string{e.Name}, []float64{e.Value}})); err != nil {
		return err
	}
	if time.Since(f.flushed) < time.Second {
		return nil
	}
	f.flushed = time.Now()
	return f.buf.Flush()
}

// open begins the file. A training that goes on after a kill tells TensorBoard to forget what an earlier file says from here on.
func (f *boardFile) open(dir string, wall float64, e event.Event) error {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return fmt.Errorf("tensorboard: %w", err)
	}
	var err error
	f.file, err = os.Create(filepath.Join(dir, fmt.Sprintf("events.out.tfevents.%010d.starbook.%d.%s", e.Time.Unix(), os.Getpid(), e.Step[:8])))
	if err != nil {
		return fmt.Errorf("tensorboard: %w", err)
	}
	f.buf = bufio.NewWriter(f.file)
	if err := writeRecord(f.buf, versionEvent(wall)); err != nil {
		return err
	}
	return writeRecord(f.buf, startEvent(wall, e.X))
}

func (f *boardFile) close() error {
	if f.file == nil {
		return nil
	}
	return errors.Join(f.buf.Flush(), f.file.Close())
}

// Close ends the files and returns the first error.
func (b *Board) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for key, f := range b.steps {
		b.err = errors.Join(b.err, f.close())
		delete(b.steps, key)
	}
	return b.err
}
