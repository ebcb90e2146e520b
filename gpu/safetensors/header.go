package safetensors

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"unicode/utf8"
)

// maxHeader is the reference implementation's limit on the header, in bytes.
const maxHeader = 100_000_000

// An entry is one tensor of the header.
type entry struct {
	name       string
	dtype      string
	shape      []int
	begin, end int // bytes from the start of the buffer
}

// parse checks the length, the JSON, that names are unique, that the tensors
// cover the buffer exactly, without holes or overlaps, and that each is as
// long as its type and shape say.
func parse(b []byte) (*File, error) {
	if len(b) < 8 {
		return nil, fmt.Errorf("%d bytes are too few for a header: download or copy the file again", len(b))
	}
	n := binary.LittleEndian.Uint64(b)
	if n > maxHeader {
		return nil, fmt.Errorf("header of %d bytes is over the limit of %d: this is not a safetensors file", n, maxHeader)
	}
	if n > uint64(len(b)-8) {
		return nil, fmt.Errorf("header of %d bytes does not fit into a file of %d: download or copy the file again", n, len(b))
	}
	head, data := b[8:8+n], b[8+n:]
	entries, metadata, err := readHeader(head)
	if err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	if err := checkCover(entries, len(data)); err != nil {
		return nil, err
	}
	tensors := make(map[string]Tensor, len(entries))
	for _, e := range entries {
		tensors[e.name] = Tensor{e.name, e.dtype, e.shape, data[e.begin:e.end:e.end]}
	}
	return newFile(tensors, metadata), nil
}

// checkCover sorts entries by their place and checks that they tile n bytes.
func checkCover(entries []entry, n int) error {
	slices.SortFunc(entries, func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.begin, b.begin), cmp.Compare(a.end, b.end), cmp.Compare(a.name, b.name))
	})
	at := 0
	for _, e := range entries {
		if e.begin != at || e.end < e.begin {
			return fmt.Errorf("tensor %q: bytes %d to %d leave a hole or overlap (expected to begin at %d)", e.name, e.begin, e.end, at)
		}
		want, err := size(e.dtype, e.shape)
		if err != nil {
			return fmt.Errorf("tensor %q: %w", e.name, err)
		}
		if e.end-e.begin != want {
			return fmt.Errorf("tensor %q: %d bytes, but %s %v takes %d", e.name, e.end-e.begin, e.dtype, e.shape, want)
		}
		at = e.end
	}
	if at != n {
		return fmt.Errorf("tensors end at byte %d of a buffer of %d: download or copy the file again", at, n)
	}
	return nil
}

func readHeader(head []byte) ([]entry, map[string]string, error) {
	if len(head) == 0 || head[0] != '{' {
		return nil, nil, errors.New("does not begin with {")
	}
	if !utf8.Valid(head) {
		return nil, nil, errors.New("bad UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(head))
	dec.UseNumber()
	var entries []entry
	var metadata map[string]string
	err := object(dec, func(key string) error {
		if key == "__metadata__" {
			var err error
			metadata, err = readMetadata(dec)
			return err
		}
		e, err := readEntry(dec)
		e.name = key
		entries = append(entries, e)
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, nil, errors.New("something follows the closing }")
	}
	return entries, metadata, nil
}

func readMetadata(dec *json.Decoder) (map[string]string, error) {
	m := map[string]string{}
	err := object(dec, func(key string) error {
		t, err := dec.Token()
		if err != nil {
			return err
		}
		s, ok := t.(string)
		if !ok {
			return fmt.Errorf("%q: %v is not text", key, t)
		}
		m[key] = s
		return nil
	})
	return m, err
}

func readEntry(dec *json.Decoder) (entry, error) {
	var e entry
	var span []int
	err := object(dec, func(key string) (err error) {
		switch key {
		case "dtype":
			t, err := dec.Token()
			if err != nil {
				return err
			}
			s, ok := t.(string)
			if !ok {
				return fmt.Errorf("dtype %v is not text", t)
			}
			e.dtype = s
		case "shape":
			e.shape, err = readInts(dec)
		case "data_offsets":
			span, err = readInts(dec)
		default: // the reference implementation ignores what it does not know
			var skip json.RawMessage
			err = dec.Decode(&skip)
		}
		return err
	})
	switch {
	case err != nil:
		return e, err
	case e.dtype == "":
		return e, errors.New("no dtype")
	case e.shape == nil:
		return e, errors.New("no shape")
	case len(span) != 2:
		return e, errors.New("data_offsets are not two numbers")
	}
	e.begin, e.end = span[0], span[1]
	return e, nil
}

// object reads one JSON object and calls value for each key, which must read
// exactly the value. A key that occurs twice is an error: encoding/json would
// take the last, others the first.
func object(dec *json.Decoder, value func(key string) error) error {
	if err := delim(dec, '{'); err != nil {
		return err
	}
	seen := map[string]bool{}
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return err
		}
		key := t.(string) // the decoder admits nothing else here
		if seen[key] {
			return fmt.Errorf("%q occurs twice", key)
		}
		seen[key] = true
		if err := value(key); err != nil {
			return fmt.Errorf("%q: %w", key, err)
		}
	}
	return delim(dec, '}')
}

func readInts(dec *json.Decoder) ([]int, error) {
	if err := delim(dec, '['); err != nil {
		return nil, err
	}
	list := []int{}
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return nil, err
		}
		s, ok := t.(json.Number)
		if !ok {
			return nil, fmt.Errorf("%v is not a number", t)
		}
		u, err := strconv.ParseUint(string(s), 10, 63)
		if err != nil {
			return nil, fmt.Errorf("%s is not a size", s)
		}
		list = append(list, int(u))
	}
	return list, delim(dec, ']')
}

func delim(dec *json.Decoder, want json.Delim) error {
	t, err := dec.Token()
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return err
	}
	if t != want {
		return fmt.Errorf("found %v where %v should be", t, want)
	}
	return nil
}
