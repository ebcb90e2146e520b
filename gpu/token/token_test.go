package token

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

func open(t testing.TB, path string) io.Reader {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

var real = map[string]func() (*Tokenizer, error){}

func init() {
	for _, name := range []string{"gpt2", "qwen3", "stories260k"} {
		real[name] = sync.OnceValues(func() (*Tokenizer, error) {
			f, err := os.Open(filepath.Join("testdata", name, "tokenizer.json.gz"))
			if err != nil {
				return nil, err
			}
			defer f.Close()
			z, err := gzip.NewReader(f)
			if err != nil {
				return nil, err
			}
			return Load(z)
		})
	}
}

func loadReal(t testing.TB, name string) *Tokenizer {
	t.Helper()
	tk, err := real[name]()
	if err != nil {
		t.Fatal(err)
	}
	return tk
}

func TestRealTokenizers(t *testing.T) {
	for name, vocab := range map[string]int{"gpt2": 50257, "qwen3": 151669, "stories260k": 512} {
		tk := loadReal(t, name)
		if tk.Vocab() != vocab {
			t.Errorf("%s: %d tokens, want %d", name, tk.Vocab(), vocab)
		}
		b, err := os.ReadFile(filepath.Join("testdata", name, "golden.json"))
		if err != nil {
			t.Fatal(err)
		}
		var golden []struct {
			Text    string
			IDs     []int32
			Decoded string
		}
		if err := json.Unmarshal(b, &golden); err != nil || len(golden) != 18 {
			t.Fatal(len(golden), err)
		}
		for _, g := range golden {
			if got := tk.Encode(g.Text); !slices.Equal(got, g.IDs) {
				t.Errorf("%s: %q\n got %v\nwant %v", name, g.Text, got, g.IDs)
			}
			if got := tk.Decode(g.IDs); got != g.Decoded {
				t.Errorf("%s: decoded %q, want %q", name, got, g.Decoded)
			}
		}
	}
}

// oracle calls f with each tokenizer that testdata/oracle.py made, and its cases.
func oracle(t testing.TB, f func(name string, tk *Tokenizer, cases []oracleCase)) {
	r := bufio.NewReaderSize(open(t, "testdata/oracle.jsonl.gz"), 1<<20)
	for {
		line, err := r.ReadBytes('\n')
		if err == io.EOF {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		var o struct {
			Name      string
			Tokenizer json.RawMessage
			Cases     []oracleCase
		}
		if err := json.Unmarshal(line, &o); err != nil {
			t.Fatal(err)
		}
		tk, err := Load(strings.NewReader(string(o.Tokenizer)))
		if err != nil {
			t.Errorf("%s: %v", o.Name, err)
			continue
		}
		f(o.Name, tk, o.Cases)
	}
}

type oracleCase struct {
	text           string
	ids, special   []int32
	decoded, plain string
}

func (c *oracleCase) UnmarshalJSON(b []byte) error {
	return json.Unmarshal(b, &[]any{&c.text, &c.ids, &c.special, &c.decoded, &c.plain})
}

// Every kind of tokenizer says what the real library says.
func TestOracle(t *testing.T) {
	n := 0
	oracle(t, func(name string, tk *Tokenizer, cases []oracleCase) {
		bad := 0
		check := func(c oracleCase, what string, ok bool, got, want any) {
			if !ok {
				if bad++; bad < 4 {
					t.Errorf("%s: %s of %q\n got %v\nwant %v", name, what, c.text, got, want)
				}
			}
		}
		for _, c := range cases {
			n++
			ids := tk.Encode(c.text)
			check(c, "ids", slices.Equal(ids, c.ids), ids, c.ids)
			special := tk.EncodeSpecial(c.text)
			check(c, "ids with template", slices.Equal(special, c.special), special, c.special)
			decoded, plain := tk.Decode(c.ids), tk.DecodePlain(c.ids)
			check(c, "decoded", decoded == c.decoded, decoded, c.decoded)
			check(c, "decoded without special tokens", plain == c.plain, plain, c.plain)
			again, spans := tk.EncodeOffsets(c.text)
			check(c, "ids with offsets", slices.Equal(again, c.ids) && len(spans) == len(ids), again, c.ids)
		}
		if bad > 0 {
			t.Errorf("%s: %d wrong", name, bad)
		}
	})
	if n < 3500 {
		t.Errorf("only %d cases", n)
	}
}
