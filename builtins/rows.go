package builtins

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"starbook/builtins/dataset"
	"starbook/runtime"
	"starbook/runtime/store"
)

// Row is one example of a dataset. A dataset artifact holds one row a line, in
// canonical JSON; it may be empty, and hold an id twice.
type Row = dataset.Row

// ReadRows returns all rows of a dataset artifact.
func ReadRows(st *store.Store, d Handle) ([]Row, error) {
	f, err := st.Blobs.Open(d.Digest)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", d, err)
	}
	defer f.Close()
	var rows []Row
	in := bufio.NewReaderSize(f, 1<<16)
	for {
		line, err := in.ReadBytes('\n')
		if err == io.EOF {
			return rows, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", d, err)
		}
		r, err := decodeObject(line)
		if err != nil {
			return nil, fmt.Errorf("%s: row %d: %w", d, len(rows)+1, err)
		}
		rows = append(rows, r)
	}
}

// Facts are what the summary of a dataset says besides its rows and columns.
type Facts map[string]any

// WriteRows makes a dataset artifact of rows.
func WriteRows(s *runtime.Step, rows []Row, facts Facts) (runtime.Artifact, error) {
	w, err := s.Create()
	if err != nil {
		return runtime.Artifact{}, err
	}
	defer w.Abort()
	if err := dataset.Write(w, rows); err != nil {
		return runtime.Artifact{}, err
	}
	g, err := w.Commit()
	if err != nil {
		return runtime.Artifact{}, err
	}
	sum := Facts{"rows": len(rows), "columns": columnsOf(rows)}
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
