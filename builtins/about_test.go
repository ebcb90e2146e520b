package builtins

import (
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"starbook/builtins/teacher/stub"
)

const sums = `
rows = data.rows([{"id": "q%d" % i, "prompt": "What is %d plus 1?" % i, "answer": str(i + 1), "guess": str(i + 1 if i % 4 == 0 else i)} for i in range(1, 21)])
`

// taught runs src with a teacher that answers as answer does, twice: the second
// time nothing is asked.
func taught(t *testing.T, answer func(question string) string, src string) {
	t.Helper()
	b := newBench(t)
	b.host.Consent = agreed
	s := startStub(t, stub.Options{Answer: answer})
	src = sums + fmt.Sprintf("who = struct(teacher = %q)\n", s.URL+"/v1#m") + strings.ReplaceAll(src, "TEACHER", `teacher = who.teacher, price = [1, 1], budget_usd = 1, batch_size = 4`)
	if _, err := b.run(src); err != nil {
		t.Fatal(err)
	}
	asked := s.Ledger().Asked
	if _, err := b.run(src + "# again\n"); err != nil || s.Ledger().Asked != asked || asked == 0 {
		t.Errorf("%d requests the first time, then %d: %v", asked, s.Ledger().Asked-asked, err)
	}
}

// number returns the n of "What is n plus 1?" in a question.
func numberIn(question string) (n int) {
	_, rest, _ := strings.Cut(question, "What is ")
	_, _ = fmt.Sscan(rest, &n)
	return n
}

func TestCritique(t *testing.T) {
	taught(t, func(q string) string {
		n := numberIn(q)
		verdict, corrected := "wrong", n+1
		switch {
		case n == 7 || n == 0: // 0: what it said about 7 did not fit
			return `{"verdict": "wrong"}`
		case n%4 == 0:
			verdict = "right"
		case n == 5:
			verdict = "right" // it is not
		case n == 6:
			corrected = 99
		}
		return fmt.Sprintf(`{"critique":"Adding 1 to %d gives %d.","verdict":%q,"corrected":"%d"}`, n, n+1, verdict, corrected)
	}, `
made = distill.critique(rows, TEACHER, grader = grade.numeric())
eq(made.counts, {"right": 5, "wrong": 12})
eq(made.dropped, {"corrected": 1, "invalid": 1, "verdict": 1})
eq(data.read(made)[0], {"id": "q1/c", "parent": "q1", "kind": "critique", "prompt": "What is 1 plus 1?", "answer": "2", "guess": "1",
    "critique": "Adding 1 to 1 gives 2.", "verdict": "wrong", "corrected": "2"})
pairs = pair.critique(made, source = "self_critique")
eq(data.read(pairs)[0]["prompt"], "What is 1 plus 1?\n\nCandidate answer:\n1")
eq(data.read(pairs)[0]["completion"], "Adding 1 to 1 gives 2.\n\nConclusion: wrong")
`)
}

func TestSimilar(t *testing.T) {
	taught(t, func(q string) string {
		n := numberIn(q)
		if n == 3 {
			return `{"items":[{"task":"What is 4 plus 1?","answer":"5"},{"task":" ","answer":"5"}]}` // a row, and nothing
		}
		return fmt.Sprintf(`{"items":[{"task":"Ann has %d pears and gets %d more. How many has she?","answer":"%d"},{"task":"Bob runs %d miles, then %d. How far?","answer":"%d"},{"task":"x","answer":"y"}]}`, n, n, 2*n, n, n, 2*n)
	}, `
made = distill.similar(rows, TEACHER, n = 2)
eq(made.rows, 38)
eq(made.dropped, {"copy": 1, "empty": 1, "more than asked for": 19})
eq(data.read(made)[1], {"id": "q1/s2", "parent": "q1", "kind": "similar", "prompt": "Bob runs 1 miles, then 1. How far?", "completion": "2"})
`)
}

// Of four answers of a teacher that is right now and then, the right ones stay.
func TestSample(t *testing.T) {
	var mu sync.Mutex
	asked := map[int]int{}
	taught(t, func(q string) string {
		n := numberIn(q)
		mu.Lock()
		defer mu.Unlock()
		asked[n]++
		switch {
		case n == 1:
			return "no idea"
		case asked[n]%2 == 0:
			return fmt.Sprintf("It is %d.", n+1)
		}
		return "It is 0."
	}, `
best = distill.sample(rows, TEACHER, n = 4, grader = grade.numeric())
eq((best.rows, best.accepted), (19, 0.475))
eq(best.counts, {"rows": 20, "samples": 80, "accepted": 38, "solved": 19})
eq(data.read(best)[0]["completion"], "It is 3.")
every = distill.sample(rows, TEACHER, n = 4, grader = grade.numeric(), keep = 0)
eq((every.rows, data.read(every)[0]["parent"]), (19, "q2"))
`)
	if len(asked) != 20 || asked[2] != 4 {
		t.Errorf("asked %v", asked)
	}
}

func TestBackwardQuestion(t *testing.T) {
	taught(t, func(q string) string {
		n := numberIn(q)
		if _, rest, ok := strings.Cut(q, "Adding 1 gives "); ok && !strings.Contains(q, "Write the backward question") {
			_, _ = fmt.Sscan(rest, &n)
			if n == 9 {
				return "It was 77."
			}
			return fmt.Sprintf("It was %d.", n-1)
		}
		return fmt.Sprintf(`{"question":"Adding 1 gives %d. What was the number?","answer":"%d"}`, n+1, n)
	}, `
pairs = pair.backward_question(data.map(rows, lambda r: dict(r, completion = "It is " + r["answer"])), TEACHER, grader = grade.numeric(), source = "teacher", preview = 2)
eq(pairs.counts, {"forward": 20, "backward": 19})
eq(pairs.dropped, {"inconsistent": 1})
eq(data.read(pairs)[:2], [
    {"id": "q1/f", "parent": "q1", "direction": "forward", "source": "teacher", "prompt": "What is 1 plus 1?", "completion": "It is 2"},
    {"id": "q1/b", "parent": "q1", "direction": "backward", "source": "teacher", "prompt": "Adding 1 gives 2. What was the number?", "completion": "1"},
])
train, held = data.split(pairs, 0.2)
eq(data.exclude(train, held, fields = ["parent"]).rows, train.rows)
`)
}

func TestWritingRefuses(t *testing.T) {
	b := newBench(t)
	for src, want := range map[string]string{
		`distill.critique(rows, teacher = "http://localhost:1/v1#m", budget_usd = 1, schema = {})`:                                           "the form of these answers is fixed",
		`distill.similar(rows, teacher = "http://localhost:1/v1#m", budget_usd = 1, n = 0)`:                                                  "n: got 0",
		`distill.similar(rows, teacher = "http://localhost:1/v1#m", budget_usd = 1, near = 0.0)`:                                             "near: got 0",
		`distill.sample(rows, teacher = "http://localhost:1/v1#m", budget_usd = 1, grader = grade.exact(), temperature = 0)`:                 "at 0 all samples are one",
		`distill.sample(rows, teacher = "http://localhost:1/v1#m", budget_usd = 1, grader = 3)`:                                              "grader",
		`pair.backward_question(rows, teacher = "http://localhost:1/v1#m", budget_usd = 1, grader = "x", prompt = "{prompt}")`:               "grader",
		`pair.backward_question(data.rows([{"id": "1"}]), teacher = "http://localhost:1/v1#m", price = [1, 1], budget_usd = 1, delay = 0.0)`: `no text in column "prompt"`,
	} {
		if _, err := b.run(sums + src); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", src, err, want)
		}
	}
}

// The student's tokenizer and context decide what is too long.
func TestTooLong(t *testing.T) {
	path, err := filepath.Abs("../scripts/models/regex-base")
	if err != nil {
		t.Fatal(err)
	}
	b := newBench(t)
	if _, err := b.run(fmt.Sprintf(`
base = model.open(%q)
rows = data.rows([{"id": str(n), "prompt": "lines with a letter", "completion": "([A-Z])" * n} for n in [1, 10, 100]])
good, bad = data.validate(rows, model = base)
eq([(r["id"], r["rule"]) for r in data.read(bad)], [("100", "E-LONG")])
short, long = data.validate(rows, model = base, max_tokens = 40)
eq(long.counts, {"E-LONG": 2})
`, path)); err != nil {
		t.Fatal(err)
	}
}
