package dataset

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"
)

// maxLine is the longest line that is read, in bytes. A longer one is most
// often a file of another kind.
const maxLine = 32 << 20

// An Error says where a file is bad.
type Error struct {
	File string
	Line int // from 1; 0 when the whole file is meant
	Err  error
}

// Error returns "dataset: FILE:LINE: CAUSE".
func (e *Error) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("dataset: %s: %v", e.File, e.Err)
	}
	return fmt.Sprintf("dataset: %s:%d: %v", e.File, e.Line, e.Err)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Read reads the rows of a file of the kind that its name says: .jsonl or
// .ndjson, .csv, .tsv or .parquet; that .gz follows does not matter, for r
// gives it unpacked. change, if it is not nil, makes each row into another; its
// errors name the line. The first error ends the rows.
func Read(r io.Reader, name string, change func(Row) (Row, error)) iter.Seq2[Row, error] {
	c := &checker{name: name, change: change}
	kind := strings.TrimSuffix(strings.ToLower(name), ".gz")
	switch filepath.Ext(kind) {
	case ".jsonl", ".ndjson":
		return jsonl(r, c)
	case ".csv":
		return table(r, c, ',')
	case ".tsv":
		return table(r, c, '\t')
	case ".parquet":
		return parquetFile(r, c)
	}
	return func(yield func(Row, error) bool) {
		yield(nil, &Error{name, 0, errors.New("not a known kind of file: use .jsonl, .csv, .tsv or .parquet")})
	}
}

// cause strips the path that our own message names.
func cause(err error) error {
	var e *os.PathError
	if errors.As(err, &e) {
		return e.Err
	}
	return err
}

// Collect returns all rows, or the first error.
func Collect(rows iter.Seq2[Row, error]) ([]Row, error) {
	var all []Row
	for r, err := range rows {
		if err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return all, nil
}

// JSONL reads an object from each line that is not blank. name is what errors
// call the file.
func JSONL(r io.Reader, name string) iter.Seq2[Row, error] { return jsonl(r, &checker{name: name}) }

func jsonl(r io.Reader, c *checker) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		var p parser
		for line, err := range lines(r, c.name) {
			if err != nil {
				yield(nil, err)
				return
			}
			if len(bytes.TrimSpace(line.text)) == 0 {
				continue
			}
			row, err := p.row(line.text)
			if err != nil {
				yield(nil, &Error{c.name, line.n, torn(line, err)})
				return
			}
			if row, err = c.check(row, line.n); err != nil {
				yield(nil, err)
				return
			}
			if !yield(row, nil) {
				return
			}
		}
		if err := c.end(); err != nil {
			yield(nil, err)
		}
	}
}

// torn explains a last line that ends too soon.
func torn(l line, err error) error {
	if l.torn && errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: the file ends inside a row, as when its writer was stopped: delete this line or make the file again", err)
	}
	return err
}

// A checker changes the rows of a file and looks at what one row cannot tell.
type checker struct {
	name   string
	change func(Row) (Row, error) // nil: none
	seen   map[string]int         // id to line
	rows   int
}

func (c *checker) check(r Row, n int) (Row, error) {
	c.rows++
	if c.change != nil {
		var err error
		if r, err = c.change(r); err != nil {
			return nil, &Error{c.name, n, err}
		}
	}
	return r, c.unique(r, n)
}

func (c *checker) unique(r Row, n int) error {
	v, has := r["id"]
	if !has || v == nil {
		return nil
	}
	id, ok := Text(r, "id")
	if !ok || id == "" {
		return &Error{c.name, n, fmt.Errorf("id is neither text nor a number")}
	}
	if c.seen == nil {
		c.seen = map[string]int{}
	}
	if first, twice := c.seen[id]; twice {
		return &Error{c.name, n, fmt.Errorf("id %q is that of line %d too: give each row its own", id, first)}
	}
	c.seen[id] = n
	return nil
}

func (c *checker) end() error {
	if c.rows == 0 {
		return &Error{c.name, 0, errors.New("the file has no rows")}
	}
	return nil
}

// A line is valid until the next one is read.
type line struct {
	n    int // from 1
	text []byte
	torn bool // the file ends without a line end
}

// lines yields the lines of a file without their ends (\n or \r\n) and without
// a byte order mark. They are UTF-8.
func lines(r io.Reader, name string) iter.Seq2[line, error] {
	return func(yield func(line, error) bool) {
		in := bufio.NewReaderSize(r, 1<<18)
		var buf []byte
		for n := 1; ; n++ {
			var err error
			buf, err = readLine(in, buf[:0])
			text := buf
			if n == 1 {
				text = bytes.TrimPrefix(text, []byte("\uFEFF"))
			}
			if err == io.EOF && len(text) == 0 {
				return
			}
			if err == nil || err == io.EOF {
				if bad := checkText(text, n); bad != nil {
					err = bad
				}
			}
			if err != nil && err != io.EOF {
				yield(line{}, &Error{name, n, cause(err)})
				return
			}
			if !yield(line{n, bytes.TrimSuffix(text, []byte("\r")), err == io.EOF}, nil) || err == io.EOF {
				return
			}
		}
	}
}

// readLine appends a line without its \n. io.EOF means that none was there.
func readLine(in *bufio.Reader, buf []byte) ([]byte, error) {
	for {
		part, err := in.ReadSlice('\n')
		buf = append(buf, part...)
		if len(buf) > maxLine {
			return nil, fmt.Errorf("the line is longer than %d MB: is this a file of another kind?", maxLine>>20)
		}
		if err == bufio.ErrBufferFull {
			continue
		}
		return bytes.TrimSuffix(buf, []byte("\n")), err
	}
}

// checkText finds bytes that are no UTF-8.
func checkText(b []byte, n int) error {
	if utf8.Valid(b) {
		return nil
	}
	if n == 1 && (bytes.HasPrefix(b, []byte("\xff\xfe")) || bytes.HasPrefix(b, []byte("\xfe\xff"))) {
		return errors.New("the file is UTF-16: save it as UTF-8")
	}
	for i := 0; i < len(b); {
		r, w := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && w == 1 {
			return fmt.Errorf("bad UTF-8 at byte %d: save the file as UTF-8", i+1)
		}
		i += w
	}
	return nil
}
