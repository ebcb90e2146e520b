package dataset

import (
	"bufio"
	"fmt"
	"io"
)

// Write writes rows as canonical JSON, one a line.
func Write(w io.Writer, rows []Row) error {
	out := bufio.NewWriterSize(w, 1<<18)
	var b []byte
	for i, r := range rows {
		var err error
		if b, err = AppendJSON(b[:0], r); err != nil {
			return fmt.Errorf("dataset: row %d: %w", i+1, err)
		}
		if _, err := out.Write(append(b, '\n')); err != nil {
			return fmt.Errorf("dataset: write: %w", err)
		}
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("dataset: write: %w", err)
	}
	return nil
}
