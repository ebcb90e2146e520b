package dataset

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
)

// gsm8k reads real questions and answers.
func gsm8k(t testing.TB) []Row {
	t.Helper()
	b, err := os.ReadFile("testdata/gsm8k/test.jsonl.gz")
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	rows, err := Collect(JSONL(z, "gsm8k"))
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range rows {
		rows[i] = Row{"id": fmt.Sprintf("g-%d", i), "prompt": r["question"], "completion": r["answer"]}
	}
	return rows
}

// defects break a row so that a rule must find it. A defect that needs a second
// row returns that too.
var defects = []struct {
	name  string
	code  Code
	apply func(*rand.Rand, Row) []Row
}{
	{"blank completion", Empty, change(func(r *rand.Rand, x Row) { x["completion"] = pick(r, "", " ", "\n\n", "\u00a0\t") })},
	{"completion repeats prompt", Same, change(func(r *rand.Rand, x Row) {
		x["completion"] = pick(r, "", " ") + strings.ToUpper(x["prompt"].(string)) + "\n"
	})},
	{"completion is the student's", Same, change(func(_ *rand.Rand, x Row) { x["guess"] = x["completion"].(string) + " " })},
	{"finish reason", Truncated, change(func(r *rand.Rand, x Row) {
		x["completion"] = cutAt(r, x["completion"].(string))
		if r.IntN(2) == 0 {
			x["finish_reason"] = "length"
		} else {
			x["teacher"] = map[string]any{"finish_reason": "max_tokens"}
		}
	})},
	{"open code fence", Truncated, change(func(r *rand.Rand, x Row) {
		x["completion"] = "In Python:\n\n```python\n" + cutAt(r, x["completion"].(string))
	})},
	{"JSON without end", Truncated, change(func(r *rand.Rand, x Row) {
		b, _ := AppendJSON(nil, Row{"steps": []any{x["completion"], x["prompt"]}, "n": 3})
		x["completion"] = string(b[:len(b)-1-r.IntN(len(b)/2)])
		x["completion"] = strings.TrimRight(strings.ToValidUTF8(x["completion"].(string), ""), `\`)
	})},
	{"refusal", Refused, change(func(r *rand.Rand, x Row) {
		switch r.IntN(3) {
		case 0:
			x["finish_reason"] = pick(r, "refusal", "content_filter")
		default:
			x["completion"] = pick(r,
				"I'm sorry, but I can't help with that.", "I’m sorry, but I cannot assist with that request.", "I cannot provide an answer to this question.",
				"I can't assist with this.", "Sorry, I can’t do that.", "As an AI language model, I cannot solve this.", "I am unable to help with this problem.",
				"Es tut mir leid, aber dabei kann ich nicht helfen.", "Je suis désolé, mais je ne peux pas répondre.", "Lo siento, pero no puedo ayudar con eso.",
				"抱歉,我无法回答这个问题。", "申し訳ありませんが、お手伝いできません。", "Извините, я не могу помочь с этим.")
		}
	})},
	{"scaffolding", LeakPrompt, change(func(r *rand.Rand, x Row) {
		x["completion"] = pick(r, "The student's answer is wrong. ", "The student made an error in step 2. ", "The reference answer is reached as follows. ", "As an AI teacher, I would say: ", "Your previous answer misses a step. ") + x["completion"].(string)
	})},
	{"lost characters", Encoding, change(func(r *rand.Rand, x Row) { insert(r, x, pick(r, "\uFFFD", "\x00", "\x08")) })},
	{"mojibake", Encoding, change(func(r *rand.Rand, x Row) {
		insert(r, x, pick(r, "â€™", "Ã©", "â€œ", "Ã¼", "Â£", "Ð´Ð°"))
	})},
	{"schema", Schema, change(func(r *rand.Rand, x Row) {
		switch r.IntN(4) {
		case 0:
			delete(x, "completion")
		case 1:
			x["prompt"] = []any{x["prompt"]}
		case 2:
			x["messages"] = []any{map[string]any{"role": "assistant", "content": x["completion"]}, map[string]any{"role": "user", "content": x["prompt"]}}
		default:
			x["messages"] = []any{map[string]any{"role": "user", "content": x["prompt"]}, map[string]any{"role": "bot", "content": x["completion"]}}
		}
	})},
	{"same id", Schema, func(_ *rand.Rand, x Row) []Row {
		return []Row{x, {"id": x["id"], "prompt": "Another question?", "completion": "Another answer."}}
	}},
	{"duplicate", Duplicate, func(r *rand.Rand, x Row) []Row {
		y := maps.Clone(x)
		y["id"] = x["id"].(string) + "/2"
		y["prompt"] = pick(r, x["prompt"].(string), strings.ToUpper(x["prompt"].(string)), strings.ReplaceAll(x["prompt"].(string), " ", "  "))
		return []Row{x, y}
	}},
	{"near duplicate", NearTwin, func(r *rand.Rand, x Row) []Row {
		y := maps.Clone(x)
		y["id"] = x["id"].(string) + "/2"
		if r.IntN(2) == 0 {
			y["completion"] = x["completion"].(string) + pick(r, " is right.", "\nDone.", " (checked)")
		} else {
			y["prompt"] = pick(r, "Well, ", "Question: ", "1. ") + x["prompt"].(string)
		}
		return []Row{x, y}
	}},
	{"other language", Language, change(func(r *rand.Rand, x Row) {
		x["completion"] = pick(r,
			"Zuerst rechnet sie, wie viel die Äpfel kosten, und dann zieht sie das Geld ab. Das ist nicht schwer, und die Antwort ist 12.",
			"D'abord, il faut compter les pommes et les poires dans le panier, puis soustraire le prix que vous avez payé. Le résultat est 12.",
			"Primero hay que contar las manzanas y los plátanos que tiene, y luego restar lo que gastó por la compra. El resultado es 12.",
			"Сначала надо посчитать, сколько стоят яблоки, а потом вычесть деньги. Ответ: 12.", "首先计算苹果的价格,然后减去她花掉的钱,剩下的就是她还有的钱,所以答案是十二元。")
	})},
	{"e-mail", Personal, change(func(r *rand.Rand, x Row) { insert(r, x, fmt.Sprintf(" anna.%d@mail.ru ", r.IntN(1000))) })},
	{"key", Key, change(func(r *rand.Rand, x Row) {
		insert(r, x, pick(r, " sk-proj-", " ghp_", " hf_")+strings.Repeat("aB3xY9", 6)+" ")
	})},
}

func change(f func(*rand.Rand, Row)) func(*rand.Rand, Row) []Row {
	return func(r *rand.Rand, x Row) []Row { f(r, x); return []Row{x} }
}

func pick(r *rand.Rand, list ...string) string { return list[r.IntN(len(list))] }

// insert puts text between two words of the prompt or the completion.
func insert(r *rand.Rand, x Row, s string) {
	field := pick(r, "prompt", "completion")
	w := strings.Split(x[field].(string), " ")
	x[field] = strings.Join(slices.Insert(w, 1+r.IntN(len(w)), s), " ")
}

func cutAt(r *rand.Rand, s string) string {
	return strings.ToValidUTF8(s[:1+r.IntN(len(s)-1)], "")
}

func findings(t testing.TB, rows []Row) []Finding {
	t.Helper()
	all, err := Check{Need: []string{Prompt, Completion}, Near: true, Workers: 2}.Run(rows)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// Every class of defects is seeded into a third of the rows of a real data set:
// at least 99 % must be found, and at most 0.5 % of the others may be accused.
func TestSeededDefects(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	clean := gsm8k(t)
	natural := map[int]bool{} // what is wrong with the data set itself
	for _, f := range findings(t, clean) {
		natural[f.Row] = true
		t.Logf("as published: %s %s: %s", clean[f.Row]["id"], f.Code, f.Why)
	}
	if len(natural)*200 > len(clean) {
		t.Errorf("%d of %d rows as published are accused", len(natural), len(clean))
	}
	for k, d := range defects {
		var rows []Row
		var broken []bool
		seeded, hit, accused := 0, 0, 0
		for i := k % 3; i < len(clean); i += 3 {
			x := clean[i]
			if r.IntN(3) > 0 {
				rows, broken = append(rows, x), append(broken, false)
				continue
			}
			made := d.apply(r, maps.Clone(x))
			rows = append(rows, made...)
			broken = append(broken, slices.Repeat([]bool{false}, len(made)-1)...)
			broken = append(broken, true)
			seeded++
		}
		found := map[int]bool{}
		for _, f := range findings(t, rows) {
			switch {
			case broken[f.Row] && f.Code == d.code:
				found[f.Row] = true
			case !broken[f.Row]:
				accused++
				if accused < 4 {
					t.Logf("%s: accused: row %d %s %s: %.150v", d.name, f.Row, f.Code, f.Why, rows[f.Row])
				}
			}
		}
		hit = len(found)
		for i, b := range broken {
			if b && !found[i] {
				t.Logf("%s: missed: %.200v", d.name, rows[i])
			}
		}
		if float64(hit) < 0.99*float64(seeded) || float64(accused) > 0.005*float64(len(rows)-seeded) {
			t.Errorf("%s: found %d of %d, accused %d of %d others", d.name, hit, seeded, accused, len(rows)-seeded)
		}
	}
}

// What single rows are accused of, and what they are not.
func TestRules(t *testing.T) {
	chat := func(roles ...string) Row {
		var turns []any
		for _, r := range roles {
			turns = append(turns, map[string]any{"role": r, "content": "says " + r})
		}
		return Row{"messages": turns}
	}
	qa := func(prompt, completion string) Row { return Row{"prompt": prompt, "completion": completion} }
	for i, c := range []struct {
		row  Row
		want string
	}{
		{chat("system", "user", "assistant"), ""},
		{chat("user", "assistant", "tool", "assistant", "user", "assistant"), ""},
		{chat("user", "assistant", "user"), "E-SCHEMA"},
		{chat("assistant", "user", "assistant"), "E-SCHEMA"},
		{chat("user", "user", "assistant"), "E-SCHEMA"},
		{qa("Macht das Spaß?", "„Ja, das macht Spaß“, sagte Ü–Ä."), ""},
		{qa("l'été", "à Noël… «oui»"), ""},
		{qa("a regex", "[A-Z]+.*(dog){2,}"), ""},
		{qa("a list", `[1, 2`), "E-TRUNC"},
		{qa("a list", `{"a": [1, 2]}`), ""},
		{qa("code", "```go\nx := 1\n```"), ""},
		{qa("a question", "First we take the"), "E-TRUNC"},
		{qa("a question", "I'm sorry to say that she lost 3 of her 8 apples, so 5 are left."), ""},
		{qa("write an excuse", "I am sorry for your loss. "+strings.Repeat("We think of you. ", 40)), ""},
		{qa("how to say no?", "I can't answer that."), "E-REFUSE"},
		{qa("a", "The students answered 12 questions; the given answer sheet has 20."), ""},
		{qa("a", "The student's answer is 12, which is wrong."), "E-LEAKPROMPT"},
		{Row{"prompt": "a", "completion": "The student's answer is 12, which is wrong.", "kind": "critique"}, ""},
		{qa("a", "one\r\ntwo\nthree"), "E-ENC repair"},
		{qa("a", "\uFEFFone"), "E-ENC repair"},
		{Row{"prompt": "a", "completion": "b", "guess": "\uFFFD\x00"}, ""}, // the student's
		{qa("mail me", "a@b.example and x@example.org"), ""},
		{qa("mail me", "ann@gmail.com"), "W-PII warn"},
		{qa("translate: How many apples has she, and what is the price?", "¿Cuántos plátanos y manzanas tiene, y cuánto es lo que cuestan por kilo las dos?"), "W-LANG warn"},
	} {
		var got []string
		for _, f := range findings(t, []Row{c.row}) {
			got = append(got, strings.TrimSuffix(string(f.Code)+" "+string(f.Action), " drop"))
		}
		if strings.Join(got, ", ") != c.want {
			t.Errorf("%d, %v: got %q, want %q", i, c.row, got, c.want)
		}
	}
	var same []Row
	for i := range 300 {
		prompt := fmt.Sprintf("question %d of many", i)
		if i%30 == 0 {
			prompt = "the same each time"
		}
		same = append(same, qa(prompt, fmt.Sprintf("answer %d", i)))
	}
	if f := findings(t, same); len(f) != 1 || f[0].Code != Skew || f[0].Why != "10 of 300 rows have this prompt" {
		t.Errorf("%v", f)
	}
}

// An instruction before every prompt makes no row the twin of another.
func TestCommonInstruction(t *testing.T) {
	rows := gsm8k(t)
	for i, r := range rows {
		x := maps.Clone(r)
		x["prompt"] = strings.Repeat("Answer the question below, think step by step, and end with four signs and the number. ", 12) + r["prompt"].(string)
		rows[i] = x
	}
	twin := maps.Clone(rows[7])
	twin["id"], twin["completion"] = "twin", twin["completion"].(string)+" Done."
	f := findings(t, append(rows, twin))
	if len(f) != 1 || f[0].Code != NearTwin || !strings.HasSuffix(f[0].Why, " of row 8, g-7") {
		t.Errorf("%v", f)
	}
}

func TestMend(t *testing.T) {
	for in, want := range map[string]string{
		"donâ€™t â€œsayâ€\u009d cafÃ©": "don’t “say” café", "\uFEFFa\r\nb\nc": "a\nb\nc", "Привет, Ã¼ber": "Привет, über", "Spaß“ Ü–": "Spaß“ Ü–", "ðŸ˜€": "😀",
	} {
		if got := Mend(Row{"prompt": in})["prompt"]; got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
	if r, did := Redact(Row{"a": "x ann@gmail.com y", "b": []any{"sk-proj-" + strings.Repeat("aB3", 12)}, "c": "x@example.org"}); !did || text(t, r) != `{"a":"x [e-mail address] y","b":["[key]"],"c":"x@example.org"}` {
		t.Errorf("%v %v", r, did)
	}
}
