package dataset

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
)

// CSV reads a table whose first line names the columns; comma is what stands
// between them. All values are text. name is what errors call the file.
func CSV(r io.Reader, name string, comma rune) iter.Seq2[Row, error] {
	return table(r, &checker{name: name}, comma)
}

func table(r io.Reader, c *checker, comma rune) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		text := newTextReader(lines(r, c.name))
		defer text.stop()
		in := csv.NewReader(text)
		in.Comma, in.ReuseRecord = comma, true
		columns, err := header(in)
		for err == nil {
			var row Row
			var n int
			if row, n, err = record(in, columns); err != nil {
				break
			}
			if row, err = c.check(row, n); err == nil && !yield(row, nil) {
				return
			}
		}
		if err == io.EOF {
			err = c.end()
		}
		if err != nil {
			yield(nil, csvError(c.name, err))
		}
	}
}

func header(in *csv.Reader) ([]string, error) {
	columns, err := in.Read()
	if err != nil {
		return nil, err
	}
	columns = slices.Clone(columns)
	for i, c := range columns {
		if c == "" {
			return nil, &csv.ParseError{Line: 1, Err: fmt.Errorf("column %d has no name", i+1)}
		}
		if slices.Index(columns, c) < i {
			return nil, &csv.ParseError{Line: 1, Err: fmt.Errorf("two columns are called %q", c)}
		}
	}
	return columns, nil
}

func record(in *csv.Reader, columns []string) (Row, int, error) {
	fields, err := in.Read()
	if errors.Is(err, csv.ErrFieldCount) {
		n, _ := in.FieldPos(0)
		return nil, 0, &csv.ParseError{Line: n, Err: fmt.Errorf("%d fields, but the first line names %d", len(fields), len(columns))}
	}
	if err != nil {
		return nil, 0, err
	}
	row := make(Row, len(columns))
	for i, c := range columns {
		row[c] = fields[i]
	}
	n, _ := in.FieldPos(0)
	return row, n, nil
}

// csvError gives an error of package csv our form.
func csvError(name string, err error) error {
	var own *Error
	var parse *csv.ParseError
	switch {
	case errors.As(err, &own):
		return own
	case errors.As(err, &parse):
		return &Error{name, max(parse.StartLine, parse.Line), parse.Err}
	}
	return &Error{name, 0, err}
}

// A textReader gives checked lines back as a stream.
type textReader struct {
	next func() (line, error, bool)
	stop func()
	rest []byte
}

func newTextReader(seq iter.Seq2[line, error]) *textReader {
	next, stop := iter.Pull2(seq)
	return &textReader{next: next, stop: stop}
}

// Read gives at most one line.
func (t *textReader) Read(b []byte) (int, error) {
	if len(t.rest) == 0 {
		l, err, ok := t.next()
		if !ok {
			return 0, io.EOF
		}
		if err != nil {
			return 0, err
		}
		t.rest = append(l.text, '\n')
	}
	n := copy(b, t.rest)
	t.rest = t.rest[n:]
	return n, nil
}
