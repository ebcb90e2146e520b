package dataset

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"testing"
)

// row reads a row written as JSON.
func row(t testing.TB, s string) Row {
	t.Helper()
	var p parser
	r, err := p.row([]byte(s))
	if err != nil {
		t.Fatalf("%s: %v", s, err)
	}
	return r
}

func text(t testing.TB, r Row) string {
	t.Helper()
	b, err := AppendJSON(nil, r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestRecognise(t *testing.T) {
	for _, c := range []struct{ form, in, want string }{
		{"prompt/completion", `{"prompt":"q","completion":"a"}`, `{"completion":"a","prompt":"q"}`},
		{"alpaca", `{"instruction":"do","input":"","output":"done"}`, `{"completion":"done","prompt":"do"}`},
		{"alpaca", `{"instruction":"add","input":"1 2","output":"3"}`, `{"completion":"3","input":"1 2","prompt":"add\n\n1 2"}`},
		// The hard failures and the training records of the seed's scripts.
		{"alpaca", `{"id":7,"category":"math","instruction":"q","reference_answer":"42","previous_output":"41"}`, `{"answer":"42","category":"math","guess":"41","id":7,"prompt":"q"}`},
		{"alpaca", `{"id":7,"instruction":"q","reference_answer":"42","model_output":"41"}`, `{"answer":"42","guess":"41","id":7,"prompt":"q"}`},
		{
			"alpaca",
			`{"instruction":"q","input":"","output":"a","meta":{"id":7,"direction":"forward","previous_output":"b","reference_answer":"c"}}`,
			`{"answer":"c","completion":"a","direction":"forward","guess":"b","id":7,"prompt":"q"}`,
		},
		{"sharegpt", `{"conversations":[{"from":"human","value":"q"},{"from":"gpt","value":"a"}],"system":"be kind"}`, `{"completion":"a","prompt":"q","system":"be kind"}`},
		{"messages", `{"messages":[{"role":"system","content":"s"},{"role":"user","content":"q"},{"role":"assistant","content":"a"}]}`, `{"completion":"a","prompt":"q","system":"s"}`},
		{"messages", `{"messages":[{"role":"user","content":"q"}],"prompt":"q","prompt_id":"x"}`, `{"prompt":"q","prompt_id":"x"}`},
		{
			"messages",
			`{"messages":[{"role":"user","content":"1"},{"role":"assistant","content":"2"},{"role":"user","content":"3"}],"completion":"4"}`,
			`{"messages":[{"content":"1","role":"user"},{"content":"2","role":"assistant"},{"content":"3","role":"user"},{"content":"4","role":"assistant"}]}`,
		},
		{"messages", `{"messages":[{"role":"user","content":"q","name":"ann"}]}`, `{"messages":[{"content":"q","name":"ann","role":"user"}]}`},
		// A failure as the schema of the studies has it.
		{
			"messages",
			`{"id":"t","messages":[{"role":"user","content":"q"}],"reference":"42","student":{"model":"base","output":"41"},"grade":{"pass":false},"meta":{}}`,
			`{"answer":"42","grade":{"pass":false},"guess":"41","id":"t","prompt":"q","student":{"model":"base"}}`,
		},
		{"query/response", `{"query":"q","response":"a"}`, `{"completion":"a","prompt":"q"}`},
		{"question/answer", `{"question":"q","answer":"a"}`, `{"answer":"a","prompt":"q"}`},
		{"input/output", `{"input":"q","output":"a"}`, `{"completion":"a","prompt":"q"}`},
		{"prompt/completion", `{"prompt":"q","completion":null,"answer":5,"meta":"text"}`, `{"answer":5,"completion":null,"meta":"text","prompt":"q"}`},
		{"prompt/completion", `{"prompt":"q","completion":"a","output":"a"}`, `{"completion":"a","prompt":"q"}`}, // they agree
		{"prompt/completion", `{"prompt":"q","id":1,"meta":{"id":2,"more":3}}`, `{"id":1,"meta":{"id":2},"more":3,"prompt":"q"}`},
	} {
		got, form, err := Recognise(row(t, c.in), nil)
		if err != nil || form != c.form || text(t, got) != c.want {
			t.Errorf("%s\n got %s %v (%s)\nwant %s (%s)", c.in, text(t, got), err, form, c.want, c.form)
		}
	}
}

func TestRecogniseRefuses(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{`{"text":"t"}`, `no prompt among text: say columns = {"prompt": …}`},
		{`{"prompt":"p","instruction":"i"}`, `prompt and instruction may both be the prompt, and differ: say columns = {"prompt": "prompt"} or {"prompt": "instruction"}`},
		{`{"prompt":"p","completion":"a","response":"b"}`, `columns = {"completion": "completion"} or {"completion": "response"}`},
		{`{"instruction":"p","previous_output":"a","model_output":"b"}`, `may both be the guess`},
		{`{"messages":[{"role":"user","content":"a"}],"conversations":[{"from":"human","value":"b"}]}`, `messages and conversations may both`},
		{`{"messages":[{"role":"user","content":"a"}],"prompt":"b"}`, `messages and prompt may both`},
		{`{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}],"completion":"c"}`, `the completion is not the last of the messages`},
		{`{"messages":[{"role":"system","content":"a"},{"role":"user","content":"b"}],"system":"c"}`, `the system is not the first`},
		{`{"messages":[{"role":"robot","content":"a"}]}`, `messages: turn 1: the role is "robot", not one of assistant, developer`},
		{`{"messages":[{"role":"user"}]}`, `turn 1 says nothing`},
		{`{"messages":[]}`, `the conversation is empty`},
		{`{"messages":["x"]}`, `turn 1 is no object`},
		{`{"prompt":3}`, `prompt: the prompt is text`},
		{`{"prompt":"p","completion":3}`, `completion: the completion is text`},
	} {
		if got, _, err := Recognise(row(t, c.in), nil); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, %v, want %q", c.in, got, err, c.want)
		}
	}
}

func TestRecogniseChoice(t *testing.T) {
	in := `{"prompt":"p","instruction":"i","output":"o","answer":"a"}`
	for _, c := range []struct {
		choose map[string]string
		want   string
	}{
		{map[string]string{"prompt": "prompt"}, `{"answer":"a","completion":"o","meta":{"instruction":"i"},"prompt":"p"}`},
		{map[string]string{"prompt": "instruction"}, `{"answer":"a","completion":"o","meta":{"prompt":"p"},"prompt":"i"}`},
		{map[string]string{"prompt": "prompt", "completion": "answer"}, `{"completion":"a","meta":{"instruction":"i","output":"o"},"prompt":"p"}`},
	} {
		if got, form, err := Recognise(row(t, in), c.choose); err != nil || text(t, got) != c.want || form == "" {
			t.Errorf("%v\n got %s %v\nwant %s", c.choose, text(t, got), err, c.want)
		}
	}
	if _, _, err := Recognise(row(t, in), map[string]string{"prompt": "query"}); err == nil || !strings.Contains(err.Error(), "prompt is to come from query, which is not there") {
		t.Error(err)
	}
}

// What is written in another shape and read again is what it was.
func TestShapesComeBack(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	words := []string{"", "x", "a\n\nb", "Ω≠", " ", "{prompt}", "\u2028"}
	word := func() string { return words[r.IntN(len(words))] }
	maybe := func(row Row, key string, v any) {
		if r.IntN(2) == 0 {
			row[key] = v
		}
	}
	shaped := map[Shape]int{}
	for range 3000 {
		x := Row{"prompt": word()}
		maybe(x, "completion", word())
		maybe(x, "system", "s"+word())
		maybe(x, "answer", word())
		maybe(x, "guess", word())
		maybe(x, "id", fmt.Sprint(r.IntN(99)))
		maybe(x, "parent", word())
		maybe(x, "tags", []any{word(), nil, true})
		maybe(x, "meta", map[string]any{"id": word()})
		if r.IntN(3) == 0 {
			x["input"] = "i" + word()
			x["prompt"] = word() + between + x["input"].(string)
		}
		if r.IntN(3) == 0 {
			for _, c := range []string{"prompt", "completion", "system", "input"} {
				delete(x, c)
			}
			turns := []any{map[string]any{"role": "user", "content": word()}, map[string]any{"role": "assistant", "content": word()}}
			for range 1 + r.IntN(2) {
				turns = append(turns, turns[0], turns[1])
			}
			x["messages"] = turns
		}
		x, _, err := Recognise(x, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range Shapes {
			out, err := As(x, s)
			if _, chat := x["messages"]; chat && (s == Alpaca || s == PromptCompletion) {
				if err == nil || !strings.Contains(err.Error(), "has no place in") {
					t.Fatalf("%s as %s: %v", text(t, x), s, err)
				}
				continue
			}
			if err != nil {
				t.Fatalf("%s as %s: %v", text(t, x), s, err)
			}
			shaped[s]++
			var p parser
			read, err := p.row([]byte(text(t, out)))
			if err != nil {
				t.Fatal(err)
			}
			back, _, err := Recognise(read, nil)
			if err != nil || text(t, back) != text(t, x) {
				t.Fatalf("%s\n as %s %s\nback %s %v", text(t, x), s, text(t, out), text(t, back), err)
			}
		}
	}
	if len(shaped) != len(Shapes) || shaped[Alpaca] < 1000 {
		t.Error(shaped)
	}
	if _, err := As(Row{"prompt": "p"}, "csv"); err == nil || !strings.Contains(err.Error(), `no shape is called "csv"`) {
		t.Error(err)
	}
	if _, err := As(Row{"text": "p"}, Chat); err == nil || !strings.Contains(err.Error(), "no prompt") {
		t.Error(err)
	}
}

// Whatever a file holds, a row that is taken is taken as itself the second
// time, and is the same after writing and reading.
func FuzzRecognise(f *testing.F) {
	f.Add([]byte(`{"instruction":"a","input":"b","output":"c","meta":{"id":1,"output":"d"}}`))
	f.Add([]byte(`{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":null,"tool_calls":[]}],"system":"s"}`))
	f.Add([]byte(`{"conversations":[{"from":"gpt","value":"a"}],"student":{"output":"x","output2":1},"meta":{"meta":{"prompt":2}}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var p parser
		r, err := p.row(b)
		if err != nil || checkText(b, 2) != nil {
			return
		}
		before := text(t, r)
		x, _, err := Recognise(r, nil)
		if text(t, r) != before {
			t.Fatalf("the row was changed: %s", before)
		}
		if err != nil {
			return
		}
		y, _, err := Recognise(x, nil)
		if err != nil || text(t, x) != text(t, y) {
			t.Fatalf("%s\nfirst %s\nagain %s %v", before, text(t, x), text(t, y), err)
		}
		for _, s := range Shapes {
			if out, err := As(x, s); err == nil {
				back, _, err := Recognise(out, nil)
				if err != nil || !maps.EqualFunc(back, x, equalValues) {
					t.Fatalf("%s as %s: %s, back %v %v", text(t, x), s, text(t, out), back, err)
				}
			}
		}
	})
}
