package dataset

import (
	"fmt"
	"io"
	"iter"
)

// Lines is one of two files whose lines belong together.
type Lines struct {
	R     io.Reader
	Name  string // what errors call the file
	Field string // what the line becomes in a row
}

// Aligned reads two files of plain text: line n of both is row n. Blank lines
// count.
func Aligned(a, b Lines) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		if a.Field == b.Field {
			yield(nil, &Error{b.Name, 0, fmt.Errorf("both files would be field %q", a.Field)})
			return
		}
		left := lines(a.R, a.Name)
		next, stop := iter.Pull2(lines(b.R, b.Name))
		defer stop()
		n := 0
		for x, err := range left {
			if err != nil {
				yield(nil, err)
				return
			}
			y, err, ok := next()
			if !ok {
				err = &Error{b.Name, n, fmt.Errorf("the file ends here, but %s goes on", a.Name)}
			}
			if err != nil {
				yield(nil, err)
				return
			}
			n++
			if !yield(Row{a.Field: string(x.text), b.Field: string(y.text)}, nil) {
				return
			}
		}
		if _, err, more := next(); err != nil {
			yield(nil, err)
		} else if more {
			yield(nil, &Error{a.Name, n, fmt.Errorf("the file ends here, but %s goes on", b.Name)})
		} else if n == 0 {
			yield(nil, &Error{a.Name, 0, fmt.Errorf("the file has no rows")})
		}
	}
}
