package builtins

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"

	"starbook/builtins/dataset"
	"starbook/runtime"
	"starbook/runtime/cas"
	"starbook/runtime/store"
)

// Row is one example of a dataset. A dataset artifact holds one row a line, in
// canonical JSON; it may be empty, and hold an id twice.
type Row = dataset.Row

// EachRow returns the rows of a dataset artifact, one at a time. The first error ends them.
func EachRow(st *store.Store, d Handle) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		f, err := st.Blobs.Open(d.Digest)
		if err != nil {
			yield(nil, fmt.Errorf("%s: %w", d, err))
			return
		}
		defer f.Close()
		in := bufio.NewReaderSize(f, 1<<16)
		for n := 1; ; n++ {
			line, err := in.ReadBytes('\n')
			if err == io.EOF {
				return
			}
			if err != nil {
				yield(nil, fmt.Errorf("%s: %w", d, err))
				return
			}
			r, err := decodeObject(line)
			if err != nil {
				yield(nil, fmt.Errorf("%s: row %d: %w", d, n, err))
				return
			}
			if !yield(r, nil) {
				return
			}
		}
	}
}

// ReadRows returns all rows of a dataset artifact.
func ReadRows(st *store.Store, d Handle) ([]Row, error) { return dataset.Collect(EachRow(st, d)) }

// Facts are what the summary of a dataset says besides its rows and columns.
type Facts map[string]any

// WriteRows makes a dataset artifact of rows.
func WriteRows(s *runtime.Step, rows []Row, facts Facts) (runtime.Artifact, error) {
	w, err := newRowWriter(s)
	if err != nil {
		return runtime.Artifact{}, err
	}
	defer w.blob.Abort()
	for _, r := range rows {
		if err := w.add(r); err != nil {
			return runtime.Artifact{}, err
		}
	}
	return w.commit(facts)
}

// rowWriter makes a dataset artifact row by row.
type rowWriter struct {
	blob    *cas.Writer
	out     *bufio.Writer
	line    []byte
	rows    int
	columns map[string]bool
}

// newRowWriter begins an artifact; the caller aborts the blob, which after a commit does nothing.
func newRowWriter(s *runtime.Step) (*rowWriter, error) {
	b, err := s.Create()
	if err != nil {
		return nil, err
	}
	return &rowWriter{blob: b, out: bufio.NewWriterSize(b, 1<<18), columns: map[string]bool{}}, nil
}

func (w *rowWriter) add(r Row) (err error) {
	w.rows++
	for name := range r {
		w.columns[name] = true
	}
	if w.line, err = dataset.AppendJSON(w.line[:0], r); err != nil {
		return fmt.Errorf("row %d: %w", w.rows, err)
	}
	_, err = w.out.Write(append(w.line, '\n'))
	return err
}

func (w *rowWriter) commit(facts Facts) (runtime.Artifact, error) {
	if err := w.out.Flush(); err != nil {
		return runtime.Artifact{}, err
	}
	g, err := w.blob.Commit()
	if err != nil {
		return runtime.Artifact{}, err
	}
	sum := Facts{"rows": w.rows, "columns": append([]string{}, sortedKeys(w.columns)...)} // never null in JSON
	for k, v := range facts {
		sum[k] = v
	}
	return runtime.Artifact{Kind: "dataset", Digest: g, Summary: summary(sum)}, nil
}

// columnsOf returns the names of all fields that occur, sorted.
func columnsOf(rows []Row) []string {
	set := map[string]bool{}
	for _, r := range rows {
		for k := range r {
			set[k] = true
		}
	}
	return append([]string{}, sortedKeys(set)...) // never null in JSON
}

// decodeObject reads one JSON object and nothing else.
func decodeObject(b []byte) (Row, error) {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	var r Row
	if err := dec.Decode(&r); err != nil {
		return nil, err
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, errors.New("something follows the JSON object")
	}
	if r == nil {
		return nil, errors.New("want a JSON object, got null")
	}
	return r, nil
}

// encode returns the canonical JSON of a row, or of part of one.
func encode(v any) string {
	b, err := dataset.AppendJSON(nil, v)
	if err != nil { // rows come from JSON
		return fmt.Sprint(v)
	}
	return string(b)
}
