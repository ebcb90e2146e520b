package chat

import (
	"compress/gzip"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"starbook/gpu/chat/jinja"
)

// A rendering is what transformers made of a conversation.
type rendering struct {
	Text  string
	Spans [][2]int // in characters
	Error string
	Kind  string
}

func (r *rendering) UnmarshalJSON(b []byte) error {
	if b[0] == '"' {
		return json.Unmarshal(b, &r.Text)
	}
	type plain rendering
	return json.Unmarshal(b, (*plain)(r))
}

var specials = map[string]string{"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}

func conversations(t testing.TB) []Conversation {
	t.Helper()
	b, err := os.ReadFile("testdata/conversations.json")
	if err != nil {
		t.Fatal(err)
	}
	v, err := jinja.FromJSON(b)
	if err != nil {
		t.Fatal(err)
	}
	var out []Conversation
	for _, x := range v.(jinja.List) {
		out = append(out, conversation(x.(*jinja.Dict)))
	}
	return out
}

func conversation(d *jinja.Dict) Conversation {
	c := Conversation{Vars: map[string]jinja.Value{}}
	for _, k := range d.Keys() {
		v, _ := d.Get(k)
		switch k {
		case "messages":
			for _, m := range v.(jinja.List) {
				c.Messages = append(c.Messages, m.(*jinja.Dict))
			}
		case "tools":
			c.Tools = v
		default:
			c.Vars[k.(string)] = v
		}
	}
	return c
}

// Every template writes what it writes under transformers, or refuses what it
// refuses there. CHAT_TEMPLATES names a folder of more templates, with the
// golden.json that testdata/make.py wrote of them.
func TestGolden(t *testing.T) {
	f, err := os.Open("testdata/golden.json.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	n := checkGolden(t, "testdata/templates", json.NewDecoder(z))
	if n < 5*30*2 {
		t.Errorf("only %d renderings", n)
	}
	if dir := os.Getenv("CHAT_TEMPLATES"); dir != "" {
		more, err := os.Open(filepath.Join(dir, "golden.json"))
		if err != nil {
			t.Fatal(err)
		}
		defer more.Close()
		t.Logf("%d renderings of the templates in %s", checkGolden(t, dir, json.NewDecoder(more)), dir)
	}
}

func checkGolden(t *testing.T, dir string, in *json.Decoder) int {
	var golden struct {
		Templates map[string][][2]rendering
		Now       time.Time
	}
	if err := in.Decode(&golden); err != nil {
		t.Fatal(err)
	}
	all := conversations(t)
	for i := range all {
		all[i].Options.Now = func() time.Time { return golden.Now }
	}
	n := 0
	for name, want := range golden.Templates {
		t.Run(name, func(t *testing.T) {
			b, err := os.ReadFile(filepath.Join(dir, name+".jinja"))
			if err != nil {
				t.Fatal(err)
			}
			tmpl, err := parse(string(b), "", specials)
			if err != nil {
				n += checkRefused(t, err, want)
				return
			}
			for i, c := range all {
				for k, prompt := range []bool{false, true} {
					n++
					got, err := tmpl.render(c, prompt)
					check(t, i, prompt, want[i][k], got, err)
				}
			}
		})
	}
	return n
}

// checkRefused: a template that does not parse here renders nothing there.
func checkRefused(t *testing.T, err error, want [][2]rendering) int {
	for _, pair := range want {
		for _, r := range pair {
			if r.Error == "" {
				t.Fatal(err)
			}
		}
	}
	return 2 * len(want)
}

func check(t *testing.T, i int, prompt bool, want rendering, got jinja.Output, err error) {
	t.Helper()
	if want.Error != "" {
		var refused *jinja.Refused
		if err == nil || want.Kind == "TemplateError" && (!errors.As(err, &refused) || refused.Msg != want.Error) {
			t.Errorf("conversation %d, prompt %v: got %v, want %s", i, prompt, err, want.Error)
		}
		return
	}
	if err != nil || got.Text != want.Text {
		t.Errorf("conversation %d, prompt %v: %v\n got %q\nwant %q", i, prompt, err, got.Text, want.Text)
	}
	var spans [][2]int
	for _, s := range got.Generated {
		spans = append(spans, [2]int{utf8.RuneCountInString(got.Text[:s.From]), utf8.RuneCountInString(got.Text[:s.To])})
	}
	if err == nil && !slices.Equal(spans, want.Spans) && strings.TrimSpace(want.Text) != "" && want.Spans != nil {
		t.Errorf("conversation %d, prompt %v: generated %v, want %v", i, prompt, spans, want.Spans)
	}
}
