package safetensors

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"starbook/gpu/internal/disk"
)

// Write writes tensors and metadata as one file: wide types first, then by
// name, whatever their order in the argument. It holds no copy of the data.
func Write(w io.Writer, tensors []Tensor, metadata map[string]string) error {
	return WriteFunc(w, tensors, metadata, func(t Tensor) ([]byte, error) { return t.Data, nil })
}

// WriteFunc writes a file whose data need not fit into memory: only name, type
// and shape of the tensors are looked at, and data is called once for each,
// in the order of the file. What it returns is not kept.
func WriteFunc(w io.Writer, tensors []Tensor, metadata map[string]string, data func(Tensor) ([]byte, error)) error {
	order, sizes, head, err := layout(tensors, metadata)
	if err != nil {
		return fmt.Errorf("safetensors: %w", err)
	}
	if _, err := w.Write(head); err != nil {
		return fmt.Errorf("safetensors: write header: %w", err)
	}
	for i, t := range order {
		b, err := data(t)
		if err != nil {
			return fmt.Errorf("safetensors: tensor %q: %w", t.Name, err)
		}
		if len(b) != sizes[i] {
			return fmt.Errorf("safetensors: tensor %q: %d bytes given, but %s %v takes %d", t.Name, len(b), t.DType, t.Shape, sizes[i])
		}
		if _, err := w.Write(b); err != nil {
			return fmt.Errorf("safetensors: write tensor %q: %w", t.Name, err)
		}
	}
	return nil
}

// WriteFile writes a file under a temporary name, syncs it and renames it, so
// that path never holds half a file. data is as in WriteFunc; nil stands for
// the tensors' own Data.
func WriteFile(path string, tensors []Tensor, metadata map[string]string, data func(Tensor) ([]byte, error)) error {
	if data == nil {
		data = func(t Tensor) ([]byte, error) { return t.Data, nil }
	}
	if err := disk.WriteFile(path, func(w io.Writer) error { return WriteFunc(w, tensors, metadata, data) }); err != nil {
		return fmt.Errorf("safetensors: %s: %w", path, err)
	}
	return nil
}

// layout returns the tensors in file order, their sizes in bytes, and the
// header with its length before it.
func layout(tensors []Tensor, metadata map[string]string) ([]Tensor, []int, []byte, error) {
	order := slices.Clone(tensors)
	slices.SortStableFunc(order, func(a, b Tensor) int {
		return cmp.Or(cmp.Compare(width(b.DType), width(a.DType)), cmp.Compare(a.Name, b.Name))
	})
	head := append(make([]byte, 8, 1024), '{') // the length comes last
	if len(metadata) > 0 {
		var err error
		if head, err = appendMetadata(head, metadata); err != nil {
			return nil, nil, nil, err
		}
	}
	sizes := make([]int, len(order))
	seen := make(map[string]bool, len(order))
	at := 0
	for i, t := range order {
		n, err := size(t.DType, t.Shape)
		switch {
		case err != nil:
			return nil, nil, nil, fmt.Errorf("tensor %q: %w", t.Name, err)
		case seen[t.Name]:
			return nil, nil, nil, fmt.Errorf("tensor %q is given twice", t.Name)
		case t.Name == "__metadata__":
			return nil, nil, nil, fmt.Errorf("tensor %q: the name is reserved", t.Name)
		case at+n < at:
			return nil, nil, nil, fmt.Errorf("tensor %q: the file would overflow", t.Name)
		}
		seen[t.Name], sizes[i] = true, n
		if head, err = appendEntry(comma(head), t, at, at+n); err != nil {
			return nil, nil, nil, err
		}
		at += n
	}
	head = append(head, '}')
	for len(head)%8 != 0 {
		head = append(head, ' ')
	}
	if len(head)-8 > maxHeader {
		return nil, nil, nil, fmt.Errorf("header of %d bytes is over the limit of %d: write several files", len(head)-8, maxHeader)
	}
	binary.LittleEndian.PutUint64(head, uint64(len(head)-8))
	return order, sizes, head, nil
}

func appendMetadata(b []byte, metadata map[string]string) ([]byte, error) {
	b = append(b, `"__metadata__":{`...)
	for _, k := range slices.Sorted(maps.Keys(metadata)) {
		var err error
		if b, err = appendString(comma(b), k); err != nil {
			return nil, err
		}
		if b, err = appendString(append(b, ':'), metadata[k]); err != nil {
			return nil, err
		}
	}
	return append(b, '}'), nil
}

func appendEntry(b []byte, t Tensor, begin, end int) ([]byte, error) {
	b, err := appendString(b, t.Name)
	if err != nil {
		return nil, err
	}
	b = append(b, `:{"dtype":"`...)
	b = append(b, t.DType...)
	b = append(b, `","shape":[`...)
	for i, d := range t.Shape {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, int64(d), 10)
	}
	b = append(b, `],"data_offsets":[`...)
	b = strconv.AppendInt(b, int64(begin), 10)
	b = strconv.AppendInt(append(b, ','), int64(end), 10)
	return append(b, "]}"...), nil
}

// comma separates an object's next member from the one before, if any.
func comma(b []byte) []byte {
	if b[len(b)-1] == '{' {
		return b
	}
	return append(b, ',')
}

// appendString quotes as serde_json does. encoding/json would also escape
// U+2028 and U+2029.
func appendString(b []byte, s string) ([]byte, error) {
	if !utf8.ValidString(s) {
		return nil, fmt.Errorf("name or metadata %q is not UTF-8", s)
	}
	b = append(b, '"')
	for i := range len(s) {
		c := s[i]
		if k := strings.IndexByte("\"\\\b\f\n\r\t", c); k >= 0 {
			b = append(b, '\\', `"\bfnrt`[k])
		} else if c < ' ' {
			b = fmt.Appendf(b, `\u%04x`, c)
		} else {
			b = append(b, c)
		}
	}
	return append(b, '"'), nil
}
