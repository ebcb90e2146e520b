package builtins

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"starbook/runtime"
	"starbook/runtime/cas"
	"starbook/runtime/store"
)

// Row is one example of a dataset, as encoding/json decodes it with UseNumber.
// A dataset artifact is one row a line, with sorted keys.
type Row = map[string]any

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
		if len(bytes.TrimSpace(line)) > 0 {
			r, derr := decodeObject(line)
			if derr != nil {
				return nil, fmt.Errorf("%s: row %d: %w", d, len(rows)+1, derr)
			}
			rows = append(rows, r)
		}
		if err == io.EOF {
			return rows, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", d, err)
		}
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
	columns := map[string]bool{}
	out := bufio.NewWriterSize(w, 1<<16)
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	for i, r := range rows {
		for k := range r {
			columns[k] = true
		}
		if err := enc.Encode(r); err != nil {
			return runtime.Artifact{}, fmt.Errorf("row %d: %w", i+1, err)
		}
	}
	if err := out.Flush(); err != nil {
		return runtime.Artifact{}, err
	}
	g, err := w.Commit()
	if err != nil {
		return runtime.Artifact{}, err
	}
	sum := Facts{"rows": len(rows), "columns": append([]string{}, sortedKeys(columns)...)}
	for k, v := range facts {
		sum[k] = v
	}
	return runtime.Artifact{Kind: "dataset", Digest: g, Summary: summary(sum)}, nil
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

// encodeRow returns the canonical JSON of a row, or of part of one.
func encodeRow(r any) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(r); err != nil { // rows come from JSON
		return nil
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// textOf returns a field as text: a string as it is, a number or a bool as
// JSON writes it.
func textOf(r Row, field string) (string, bool) {
	switch v := r[field].(type) {
	case string:
		return v, true
	case json.Number, bool:
		return fmt.Sprint(v), true
	}
	return "", false
}

// identity names the item that a row is about: rows derived from it carry its
// id as their parent. A row without an id is known by its content.
func identity(r Row) string {
	if id, ok := textOf(r, "parent"); ok && id != "" {
		return id
	}
	return rowID(r)
}

// rowID returns a row's id, or the beginning of its content's digest.
func rowID(r Row) string {
	if id, ok := textOf(r, "id"); ok && id != "" {
		return id
	}
	return cas.Sum(encodeRow(r)).Short()
}

// lot draws a number for key: the same for the same seed, on every machine.
func lot(seed int64, key string) uint64 {
	h := sha256.New()
	fmt.Fprintf(h, "%d\n%s", seed, key)
	return binary.BigEndian.Uint64(h.Sum(nil))
}
