package reports

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"math"
	"os"
	"reflect"
	"strings"
	"testing"
)

// readRecords is the reader's half of the framing; it stops at a torn tail.
func readRecords(b []byte) (records [][]byte, err error) {
	for len(b) > 0 {
		if len(b) < 12 {
			return records, io.ErrUnexpectedEOF
		}
		n := binary.LittleEndian.Uint64(b)
		if binary.LittleEndian.Uint32(b[8:]) != maskedCRC(b[:8]) {
			return records, errors.New("checksum of the length")
		}
		b = b[12:]
		if n > uint64(len(b)) || uint64(len(b))-n < 4 {
			return records, io.ErrUnexpectedEOF
		}
		if binary.LittleEndian.Uint32(b[n:]) != maskedCRC(b[:n]) {
			return records, errors.New("checksum of the data")
		}
		records = append(records, b[:n])
		b = b[n+4:]
	}
	return records, nil
}

// field is one field of a protobuf message.
type field struct {
	id, wire, num uint64
	data          []byte
}

// readFields reads a protobuf message of the wire types that we write.
func readFields(b []byte) (out []field, err error) {
	bad := errors.New("torn message")
	for len(b) > 0 {
		key, n := binary.Uvarint(b)
		if n <= 0 {
			return nil, bad
		}
		b = b[n:]
		f := field{id: key >> 3, wire: key & 7}
		switch f.wire {
		case wireVarint:
			if f.num, n = binary.Uvarint(b); n <= 0 {
				return nil, bad
			}
			b = b[n:]
		case wireFixed64:
			if len(b) < 8 {
				return nil, bad
			}
			f.num, b = binary.LittleEndian.Uint64(b), b[8:]
		case wireFixed32:
			if len(b) < 4 {
				return nil, bad
			}
			f.num, b = uint64(binary.LittleEndian.Uint32(b)), b[4:]
		case wireBytes:
			size, n := binary.Uvarint(b)
			if n <= 0 || size > uint64(len(b)-n) {
				return nil, bad
			}
			f.data, b = b[n:n+int(size)], b[n+int(size):]
		default:
			return nil, errors.New("unknown wire type")
		}
		out = append(out, f)
	}
	return out, nil
}

// readMoment reads an event as we write it.
func readMoment(record []byte) (m moment, wall float64, version string, err error) {
	fields, err := readFields(record)
	if err != nil {
		return m, 0, "", err
	}
	for _, f := range fields {
		switch f.id {
		case 1:
			wall = math.Float64frombits(f.num)
		case 2:
			m.x = int64(f.num)
		case 3:
			version = string(f.data)
		case 5:
			values, err := readFields(f.data)
			if err != nil {
				return m, 0, "", err
			}
			for _, v := range values {
				parts, err := readFields(v.data)
				if err != nil || len(parts) != 2 {
					return m, 0, "", errors.New("bad value")
				}
				m.names = append(m.names, string(parts[0].data))
				m.values = append(m.values, float64(math.Float32frombits(uint32(parts[1].num))))
			}
		}
	}
	return m, wall, version, nil
}

// The bytes were computed with TensorBoard's own record writer and protobuf.
func TestEventBytesAreTensorBoards(t *testing.T) {
	var b bytes.Buffer
	if err := writeEvents(&b, 1, []moment{{5, []string{"loss"}, []float64{0.5}}}); err != nil {
		t.Fatal(err)
	}
	want := "1800000000000000a37f4b22" + "09000000000000f03f1a0d627261696e2e4576656e743a32" + "86bf577a"
	second := "09000000000000f03f10052a0d0a0b0a046c6f7373150000003f"
	got := hex.EncodeToString(b.Bytes())
	if !strings.HasPrefix(got, want) {
		t.Errorf("first record %s, want %s", got[:len(want)], want)
	}
	if !strings.HasSuffix(got, second+"1e6d8ff9") {
		t.Errorf("second record ends %s, want %s", got, second+"1e6d8ff9")
	}
}

func TestTensorBoardRoundTrip(t *testing.T) {
	s := newFixture(t)
	key := s.train("train", 0.4, true)
	path, err := TensorBoard(t.TempDir()+"/deep/run", s.st, key)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	records, err := readRecords(raw)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, version, _ := readMoment(records[0]); version != "brain.Event:2" {
		t.Errorf("the file begins with %q", version)
	}
	want, err := scalars(s.st, key)
	if err != nil || len(want) == 0 {
		t.Fatal(err, len(want))
	}
	if len(records) != len(want)+1 {
		t.Fatalf("%d records for %d moments", len(records), len(want))
	}
	for i, w := range want {
		got, _, _, err := readMoment(records[i+1])
		if err != nil {
			t.Fatal(err)
		}
		for k := range w.values {
			w.values[k] = float64(float32(w.values[k]))
		}
		if !reflect.DeepEqual(got, w) {
			t.Fatalf("moment %d: %v, want %v", i, got, w)
		}
	}
}

func FuzzEvents(f *testing.F) {
	f.Add("train/loss", int64(7), 0.25, 1.7e9)
	f.Add("", int64(-1), math.Inf(1), 0.0)
	f.Fuzz(func(t *testing.T, name string, x int64, v, wall float64) {
		var b bytes.Buffer
		if err := writeEvents(&b, wall, []moment{{x, []string{name, "b"}, []float64{v, 1}}}); err != nil {
			t.Fatal(err)
		}
		records, err := readRecords(b.Bytes())
		if err != nil || len(records) != 2 {
			t.Fatal(err, len(records))
		}
		m, at, _, err := readMoment(records[1])
		if err != nil || m.x != x || m.names[0] != name || math.Float64bits(at) != math.Float64bits(wall) {
			t.Fatalf("%v %v, wall %v", m, err, at)
		}
		if got, want := float32(m.values[0]), float32(v); got != want && !(got != got && want != want) {
			t.Fatalf("value %v, want %v", got, want)
		}
		for cut := range b.Len() { // a torn file never reads as a whole one
			if r, err := readRecords(b.Bytes()[:cut]); err == nil && len(r) == 2 {
				t.Fatalf("read two records from %d of %d bytes", cut, b.Len())
			}
		}
	})
}
