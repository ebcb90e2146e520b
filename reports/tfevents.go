package reports

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"

	"starbook/runtime/cas"
	"starbook/runtime/store"
)

// TensorBoard writes the series of a step to an event file below dir, which
// TensorBoard and all that read its files take as one run, and returns the
// file's path. The format knows float32 only. Points have no time of their
// own: all carry that of the step.
func TensorBoard(dir string, st *store.Store, key cas.Digest) (path string, err error) {
	step, err := st.Step(key)
	if err != nil {
		return "", fmt.Errorf("tensorboard: step %s: %w", key.Short(), err)
	}
	points, err := scalars(st, key)
	if err != nil {
		return "", fmt.Errorf("tensorboard: step %s: %w", key.Short(), err)
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return "", fmt.Errorf("tensorboard: %w", err)
	}
	path = filepath.Join(dir, fmt.Sprintf("events.out.tfevents.%010d.starbook.%s", step.Created.Unix(), key.Short()))
	f, err := os.Create(path)
	if err != nil {
		return "", fmt.Errorf("tensorboard: %w", err)
	}
	wall := float64(step.Created.UnixMicro()) / 1e6
	err = writeEvents(f, wall, points)
	if err2 := f.Close(); err == nil {
		err = err2
	}
	if err != nil {
		return "", fmt.Errorf("tensorboard: %s: %w", path, err)
	}
	return path, nil
}

// moment is the values of all series at one x.
type moment struct {
	x      int64
	names  []string
	values []float64
}

// scalars reads all series of a step, sorted by x, then by name.
func scalars(st *store.Store, key cas.Digest) ([]moment, error) {
	series, err := st.Series(key)
	if err != nil {
		return nil, err
	}
	at := map[int64]*moment{}
	for _, s := range series {
		points, err := st.Points(key, s.Name)
		if err != nil {
			return nil, err
		}
		for _, p := range points {
			m := at[p.X]
			if m == nil {
				m = &moment{x: p.X}
				at[p.X] = m
			}
			m.names, m.values = append(m.names, s.Name), append(m.values, p.V)
		}
	}
	out := make([]moment, 0, len(at))
	for _, m := range at {
		out = append(out, *m)
	}
	slices.SortFunc(out, func(a, b moment) int {
		switch {
		case a.x < b.x:
			return -1
		case a.x > b.x:
			return 1
		}
		return 0
	})
	return out, nil
}

// writeEvents writes an event file: the version first, then an event for each moment.
func writeEvents(w io.Writer, wall float64, points []moment) error {
	buf := bufio.NewWriter(w)
	if err := writeRecord(buf, versionEvent(wall)); err != nil {
		return err
	}
	for _, m := range points {
		if err := writeRecord(buf, scalarEvent(wall, m)); err != nil {
			return err
		}
	}
	return buf.Flush()
}

// castagnoli is the polynomial of the file's checksums.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// maskedCRC is the checksum of a record, rotated and shifted so that a
// checksum of checksums does no harm (TFRecord).
func maskedCRC(b []byte) uint32 {
	c := crc32.Checksum(b, castagnoli)
	return (c>>15 | c<<17) + 0xa282ead8
}

// writeRecord frames data: length, checksum of the length, data, checksum of
// the data, little-endian.
func writeRecord(w io.Writer, data []byte) error {
	head := binary.LittleEndian.AppendUint64(nil, uint64(len(data)))
	head = binary.LittleEndian.AppendUint32(head, maskedCRC(head))
	for _, b := range [][]byte{head, data, binary.LittleEndian.AppendUint32(nil, maskedCRC(data))} {
		if _, err := w.Write(b); err != nil {
			return err
		}
	}
	return nil
}

// Protobuf's wire types.
const (
	wireVarint  = 0
	wireFixed64 = 1
	wireBytes   = 2
	wireFixed32 = 5
)

// tag appends the key of a field.
func tag(b []byte, field, wire uint64) []byte { return binary.AppendUvarint(b, field<<3|wire) }

// chunk appends a field of bytes.
func chunk(b []byte, field uint64, data []byte) []byte {
	b = binary.AppendUvarint(tag(b, field, wireBytes), uint64(len(data)))
	return append(b, data...)
}

// timeField appends Event.wall_time, field 1, in seconds since 1970.
func timeField(wall float64) []byte {
	return binary.LittleEndian.AppendUint64(tag(nil, 1, wireFixed64), math.Float64bits(wall))
}

// versionEvent is Event{wall_time, file_version = 3}.
func versionEvent(wall float64) []byte {
	return chunk(timeField(wall), 3, []byte("brain.Event:2"))
}

// scalarEvent is Event{wall_time, step = 2, summary = 5 {value = 1 {tag = 1, simple_value = 2}}}.
func scalarEvent(wall float64, m moment) []byte {
	var summary []byte
	for i, name := range m.names {
		value := chunk(nil, 1, []byte(name))
		value = binary.LittleEndian.AppendUint32(tag(value, 2, wireFixed32), math.Float32bits(float32(m.values[i])))
		summary = chunk(summary, 1, value)
	}
	event := binary.AppendUvarint(tag(timeField(wall), 2, wireVarint), uint64(m.x))
	return chunk(event, 5, summary)
}

// startEvent is Event{wall_time, step = 2, session_log = 7 {status = 1: START = 1}}: what was logged before at this step or later is void.
func startEvent(wall float64, step int64) []byte {
	event := binary.AppendUvarint(tag(timeField(wall), 2, wireVarint), uint64(step))
	return chunk(event, 7, binary.AppendUvarint(tag(nil, 1, wireVarint), 1))
}
