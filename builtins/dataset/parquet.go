package dataset

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"strconv"
	"unicode/utf8"

	"github.com/parquet-go/parquet-go"
)

// Parquet reads a file. Numbers become what JSON writes for them, lists and
// groups become lists and objects; bytes that are no text are refused. Errors
// name the row, from 1, where other files have the line. The format is read
// from its end, so the file is held in memory.
func Parquet(r io.Reader, name string) iter.Seq2[Row, error] {
	return parquetFile(r, &checker{name: name})
}

func parquetFile(r io.Reader, c *checker) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		b, err := io.ReadAll(r)
		if err != nil {
			yield(nil, &Error{c.name, 0, err})
			return
		}
		stopped := false
		err = parquetRows(bytes.NewReader(b), int64(len(b)), func(row Row) error {
			row, err := c.check(row, c.rows+1)
			if err != nil {
				return err
			}
			if !yield(row, nil) {
				stopped = true
				return io.EOF
			}
			return nil
		})
		if stopped {
			return
		}
		if err == nil {
			err = c.end()
		}
		if err != nil {
			var own *Error
			if !errors.As(err, &own) {
				err = &Error{c.name, c.rows, err}
			}
			yield(nil, err)
		}
	}
}

// batch is how many rows are decoded at a time.
const batch = 256

func parquetRows(r io.ReaderAt, size int64, give func(Row) error) error {
	reader, err := openParquet(r, size)
	if err != nil {
		return err
	}
	defer reader.Close()
	rows := make([]any, batch)
	for {
		clear(rows)
		n, err := readParquet(reader, rows)
		for _, v := range rows[:n] {
			row, err := plain(v)
			if err != nil {
				return err
			}
			m, ok := row.(map[string]any)
			if !ok {
				return fmt.Errorf("a row of type %T", v)
			}
			if err := give(m); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// openParquet turns a panic into an error: the library trusts its files.
func openParquet(r io.ReaderAt, size int64) (_ *parquet.GenericReader[any], err error) {
	defer recoverAs(&err)
	f, err := parquet.OpenFile(r, size)
	if err != nil {
		return nil, err
	}
	return parquet.NewGenericReader[any](f), nil
}

func readParquet(reader *parquet.GenericReader[any], rows []any) (n int, err error) {
	defer recoverAs(&err)
	return reader.Read(rows)
}

func recoverAs(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("broken parquet file: %v: download or copy it again", r)
	}
}

// plain turns the library's values into those of a Row.
func plain(v any) (any, error) {
	switch v := v.(type) {
	case nil, bool:
		return v, nil
	case int32:
		return json.Number(strconv.FormatInt(int64(v), 10)), nil
	case int64:
		return json.Number(strconv.FormatInt(v, 10)), nil
	case uint32:
		return json.Number(strconv.FormatUint(uint64(v), 10)), nil
	case uint64:
		return json.Number(strconv.FormatUint(v, 10)), nil
	case float32:
		return float(float64(v), 32)
	case float64:
		return float(v, 64)
	case string:
		if !utf8.ValidString(v) {
			return nil, errors.New("bad UTF-8: only text can be read, no pictures or other bytes")
		}
		return v, nil
	case []byte:
		return plain(string(v))
	case []any:
		return plainList(v)
	case map[string]any:
		return plainObject(v)
	}
	return nil, fmt.Errorf("a value of type %T cannot be read: write the column as text or numbers", v)
}

// float is written with as few digits as tell it from its neighbours; NaN and
// infinities, which JSON lacks, are null.
func float(f float64, bits int) (any, error) {
	n := strconv.FormatFloat(f, 'g', -1, bits)
	if end, ok := number([]byte(n), 0); !ok || end != len(n) {
		return nil, nil
	}
	return json.Number(n), nil
}

func plainList(list []any) (any, error) {
	out := make([]any, len(list))
	for i, x := range list {
		var err error
		if out[i], err = plain(x); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func plainObject(m map[string]any) (any, error) {
	out := make(map[string]any, len(m))
	for k, x := range m {
		var err error
		if out[k], err = plain(x); err != nil {
			return nil, fmt.Errorf("%s: %w", k, err)
		}
	}
	return out, nil
}
