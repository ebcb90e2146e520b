package dataset

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"
)

func TestJSONL(t *testing.T) {
	rows, err := Collect(JSONL(strings.NewReader("\uFEFF{\"a\":1}\r\n\n  \n{\"a\":2,\"id\":null}\r\n{\"a\":3}"), "x"))
	b := new(bytes.Buffer)
	if err == nil {
		err = Write(b, rows)
	}
	if want := "{\"a\":1}\n{\"a\":2,\"id\":null}\n{\"a\":3}\n"; err != nil || b.String() != want {
		t.Errorf("%v %q", err, b)
	}
}

func TestJSONLRefuses(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"", "dataset: x.jsonl: the file has no rows"},
		{"\uFEFF", "dataset: x.jsonl: the file has no rows"},
		{"\n\r\n", "no rows"},
		{"{\"a\":1}\n{\"a\":\"\xff\"}\n", "dataset: x.jsonl:2: bad UTF-8 at byte 7: save the file as UTF-8"},
		{"\xff\xfe{\x00}\x00", "dataset: x.jsonl:1: the file is UTF-16"},
		{"{\"a\":1}\n{\"a\":2", "x.jsonl:2: byte 7: a comma or } is missing: unexpected EOF: the file ends inside a row"},
		{"{\"a\":1}\n{\"a\":\"x", "the file ends inside a row"},
		{"{\"a\":1}\n{\"a\":\"x\\u12", "x.jsonl:2: "},
		{"{\"a\":1\n{\"a\":2}\n", "x.jsonl:1: byte 7: a comma or } is missing"},
		{"{\"id\":\"q\"}\n\n{\"id\":\"q\"}\n", `x.jsonl:3: id "q" is that of line 1 too`},
		{"{\"id\":7}\n{\"id\":\"7\"}\n", `x.jsonl:2: id "7" is that of line 1 too`},
		{"{\"id\":[]}\n", "x.jsonl:1: id is neither"},
		{"{\"a\":1,\"a\":2}\n", `x.jsonl:1: byte 8: key "a" occurs twice`},
		{"\uFEFF\uFEFF{}", "x.jsonl:1: "},
	} {
		_, err := Collect(JSONL(strings.NewReader(c.in), "x.jsonl"))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: got %v, want %q", c.in, err, c.want)
		}
	}
}

// A 100 MB line is refused, after no more than the limit of it was kept.
func TestLongLine(t *testing.T) {
	for name, read := range map[string]func(io.Reader) error{
		"jsonl": func(r io.Reader) error { _, err := Collect(JSONL(r, "x")); return err },
		"csv":   func(r io.Reader) error { _, err := Collect(CSV(r, "x", ',')); return err },
	} {
		long := io.MultiReader(strings.NewReader("{}\n"), io.LimitReader(endless{}, 100<<20))
		err := read(long)
		if err == nil || !strings.Contains(err.Error(), "x:2: the line is longer than 32 MB") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

type endless struct{}

func (endless) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = ' '
	}
	return len(b), nil
}

func TestStopEarly(t *testing.T) {
	in := "{\"a\":1}\n{\"a\":2}\nbroken"
	for name, seq := range map[string]func(func(Row, error) bool){
		"jsonl":   JSONL(strings.NewReader(in), "x"),
		"csv":     CSV(strings.NewReader("a\n1\n2\n"), "x", ','),
		"aligned": Aligned(Lines{strings.NewReader("1\n2\n"), "x", "a"}, Lines{strings.NewReader("1\n2\n"), "y", "b"}),
	} {
		n := 0
		for _, err := range seq {
			if n++; err != nil {
				t.Errorf("%s: %v", name, err)
			}
			break
		}
		if n != 1 {
			t.Errorf("%s: %d rows", name, n)
		}
	}
}

func TestCSV(t *testing.T) {
	rows, err := Collect(CSV(strings.NewReader("\uFEFFid,text\r\n1,\"a, \"\"b\"\"\nc\"\r\n2,\r\n"), "x.csv", ','))
	want := []Row{{"id": "1", "text": "a, \"b\"\nc"}, {"id": "2", "text": ""}}
	if err != nil || !reflect.DeepEqual(rows, want) {
		t.Errorf("%v %v", rows, err)
	}
	for _, c := range []struct{ in, want string }{
		{"", "dataset: x.csv: the file has no rows"},
		{"a,b\n", "no rows"},
		{"a,b\n1,2\n1\n", "dataset: x.csv:3: 1 fields, but the first line names 2"},
		{"a,a\n1,2\n", `x.csv:1: two columns are called "a"`},
		{"a,\n1,2\n", "x.csv:1: column 2 has no name"},
		{"a\n\"x\n\n", "x.csv:"},
		{"a\nx\"y\n", "x.csv:2: "},
		{"a\n1\n\xe9\n", "dataset: x.csv:3: bad UTF-8 at byte 1"},
		{"id\n1\n1\n", `x.csv:3: id "1" is that of line 2 too`},
	} {
		if rows, err := Collect(CSV(strings.NewReader(c.in), "x.csv", ',')); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: got %v %v, want %q", c.in, rows, err, c.want)
		}
	}
}

func TestAligned(t *testing.T) {
	read := func(a, b string) ([]Row, error) {
		return Collect(Aligned(Lines{strings.NewReader(a), "a.txt", "src"}, Lines{strings.NewReader(b), "b.txt", "targ"}))
	}
	rows, err := read("x\r\n\ny", "1\n2\n3\n")
	want := []Row{{"src": "x", "targ": "1"}, {"src": "", "targ": "2"}, {"src": "y", "targ": "3"}}
	if err != nil || !reflect.DeepEqual(rows, want) {
		t.Errorf("%v %v", rows, err)
	}
	for _, c := range []struct{ a, b, want string }{
		{"x\ny\n", "1\n", "dataset: b.txt:1: the file ends here, but a.txt goes on"},
		{"x\n", "1\n2\n", "dataset: a.txt:1: the file ends here, but b.txt goes on"},
		{"", "", "dataset: a.txt: the file has no rows"},
		{"x\n\xff\n", "1\n2\n", "dataset: a.txt:2: bad UTF-8"},
		{"x\ny\n", "1\n\xff\n", "dataset: b.txt:2: bad UTF-8"},
	} {
		if _, err := read(c.a, c.b); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q %q: got %v, want %q", c.a, c.b, err, c.want)
		}
	}
}

type turn struct {
	Role    string  `parquet:"role"`
	Content *string `parquet:"content"`
}

type example struct {
	ID       int64    `parquet:"id"`
	Score    float32  `parquet:"score"`
	Text     string   `parquet:"text"`
	Note     *string  `parquet:"note,optional"`
	Good     bool     `parquet:"good"`
	Tags     []string `parquet:"tags,list"`
	Messages []turn   `parquet:"messages,list"`
}

func writeParquet(t *testing.T, rows ...example) []byte {
	t.Helper()
	var b bytes.Buffer
	w := parquet.NewGenericWriter[example](&b)
	if _, err := w.Write(rows); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestParquet(t *testing.T) {
	hi := "hi"
	var all []example
	for i := range 600 { // more than two batches
		all = append(all, example{ID: int64(i), Score: 0.1, Text: "ü", Good: true, Tags: []string{"a", "b"}, Messages: []turn{{"user", &hi}, {"assistant", nil}}})
	}
	file := writeParquet(t, all...)
	rows, err := Collect(Parquet(bytes.NewReader(file), "x.parquet"))
	if err != nil || len(rows) != 600 {
		t.Fatal(len(rows), err)
	}
	got, err := AppendJSON(nil, rows[599])
	want := `{"good":true,"id":599,"messages":[{"content":"hi","role":"user"},{"content":null,"role":"assistant"}],"note":null,"score":0.1,"tags":["a","b"],"text":"ü"}`
	if err != nil || string(got) != want {
		t.Errorf("got  %s %v\nwant %s", got, err, want)
	}
	for name, c := range map[string]struct {
		file []byte
		want string
	}{
		"none":      {nil, "x.parquet: "},
		"text":      {[]byte("not a parquet file at all"), "x.parquet: "},
		"cut":       {file[:len(file)/2], "x.parquet: "},
		"no rows":   {writeParquet(t), "no rows"},
		"bad UTF-8": {writeParquet(t, example{Text: "a\xff"}), "x.parquet: text: bad UTF-8"},
		"same id":   {writeParquet(t, example{}, example{}), `x.parquet:2: id "0"`},
	} {
		if _, err := Collect(Parquet(bytes.NewReader(c.file), "x.parquet")); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Broken files are errors, whatever byte is wrong: the library panics on some.
func TestBrokenParquet(t *testing.T) {
	file := writeParquet(t, example{ID: 1, Text: strings.Repeat("text ", 20), Tags: []string{"a"}})
	for i := range file {
		bad := bytes.Clone(file)
		bad[i] ^= 0x55
		for _, err := range Parquet(bytes.NewReader(bad), "x") {
			if err != nil && !strings.HasPrefix(err.Error(), "dataset: x") {
				t.Fatalf("byte %d: %v", i, err)
			}
		}
	}
}

func TestRead(t *testing.T) {
	for name, content := range map[string]string{
		"a.jsonl": `{"a":"1"}`, "b.NDJSON": `{"a":"1"}`, "c.csv": "a\n1\n", "d.tsv": "a\n1\n", "e.jsonl.gz": `{"a":"1"}`,
	} {
		if rows, err := Collect(Read(strings.NewReader(content), name, nil)); err != nil || !reflect.DeepEqual(rows, []Row{{"a": "1"}}) {
			t.Errorf("%s: %v %v", name, rows, err)
		}
	}
	if _, err := Collect(Read(strings.NewReader("x"), "a.txt", nil)); err == nil || !strings.HasPrefix(err.Error(), "dataset: a.txt: not a known kind") {
		t.Error(err)
	}
	double := func(r Row) (Row, error) {
		if r["a"] == "2" {
			return nil, errors.New("no 2, please")
		}
		return Row{"id": r["a"]}, nil
	}
	for name, content := range map[string]string{"a.jsonl": "{\"a\":\"1\"}\n\n{\"a\":\"2\"}", "a.csv": "a\n1\n2\n"} {
		if _, err := Collect(Read(strings.NewReader(content), name, double)); err == nil || err.Error() != "dataset: "+name+":3: no 2, please" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Collect(Read(strings.NewReader("a\n1\n1\n"), "a.csv", double)); err == nil || !strings.Contains(err.Error(), `a.csv:3: id "1"`) {
		t.Errorf("an id that was changed into: %v", err)
	}
}
