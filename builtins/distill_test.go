package builtins

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"starbook/builtins/teacher/stub"
	"starbook/reports"
	"starbook/runtime/event"
	"starbook/runtime/store"
)

func startStub(t testing.TB, o stub.Options) *stub.Server {
	t.Helper()
	s, err := stub.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// agreed agrees to everything.
func agreed(context.Context, string) error { return nil }

// said joins the texts of events of a kind.
func (b *bench) said(kind event.Kind) string {
	var lines []string
	for _, e := range b.events {
		if e.Kind == kind {
			lines = append(lines, e.Text)
		}
	}
	return strings.Join(lines, "\n")
}

const ask = `
rows = data.rows([{"id": "q%%d" %% i, "prompt": "question %%d" %% i} for i in range(%d)])
got = distill.generate(rows, teacher = %q, price = [1, 5], batch_size = 6, max_tokens = 2000, %s)
`

// number asks the store for one number.
func (b *bench) number(query string) (n float64) {
	b.t.Helper()
	rows, err := b.store.Query(context.Background(), query)
	if err != nil || len(rows.Rows) != 1 {
		b.t.Fatal(rows, err)
	}
	if _, err := fmt.Sscan(fmt.Sprint(rows.Rows[0][0]), &n); err != nil {
		b.t.Fatal(err)
	}
	return n
}

func TestGenerate(t *testing.T) {
	for protocol, format := range map[string]string{"openai": "%s/v1#m", "anthropic": "anthropic+%s#m"} {
		t.Run(protocol, func(t *testing.T) {
			b := newBench(t)
			s := startStub(t, stub.Options{Faults: stub.Rates(2, stub.Chance{Name: "429 retry-after-ms", Rate: 0.1}, stub.Chance{Name: "refusal", Rate: 0.05})})
			src := fmt.Sprintf(ask, 150, fmt.Sprintf(format, s.URL), "budget_usd = 10")
			var quotes []string
			b.host.Consent = func(_ context.Context, quote string) error { quotes = append(quotes, quote); return nil }
			if _, err := b.run(src + `
eq(got.rows + got.dropped["refused"], 150)
eq(list(got.dropped), ["refused"])
`); err != nil {
				t.Fatal(err)
			}
			if len(quotes) != 2 || !strings.Contains(quotes[0], "pilot of 40") || !strings.Contains(quotes[1], "nine times in ten") {
				t.Errorf("asked for consent with %q", quotes)
			}
			billed := s.Ledger()
			want := (float64(billed.Input) + 5*float64(billed.Output)) / 1e6
			if got := b.number("SELECT total(cost_usd) FROM step WHERE name = 'distill.generate'"); got < want*0.999999 || got > want*1.000001 {
				t.Errorf("the step cost $%v, the bill is $%v", got, want)
			}
			if n := b.number("SELECT count(*) FROM answer WHERE fault IS NULL"); n != 150 {
				t.Errorf("%v usable answers in the ledger", n)
			}
			// Another notebook, other words around it, one question more: one request.
			s2 := s.Ledger().Asked
			if _, err := b.run(fmt.Sprintf(ask, 151, fmt.Sprintf(format, s.URL), `budget_usd = 10, field = "answer", pilot = 0`)); err != nil {
				t.Fatal(err)
			}
			if n := s.Ledger().Asked - s2; n < 1 || n > 2 {
				t.Errorf("%d requests for one new question", n)
			}
		})
	}
}

// A no sends nothing; so does a quote, an unknown price, a model that is gone.
func TestNothingIsSent(t *testing.T) {
	b := newBench(t)
	s := startStub(t, stub.Options{})
	b.host.Consent = func(context.Context, string) error { return errors.New("no") }
	url := s.URL + "/v1#m"
	for src, want := range map[string]string{
		fmt.Sprintf(ask, 9, url, "budget_usd = 10"):                                                                           "no",
		fmt.Sprintf(ask, 9, url, "budget_usd = -1"):                                                                           "negative",
		fmt.Sprintf(ask, 9, url, `budget_usd = 1, key = "sk-in-the-notebook"`):                                                "secret",
		strings.Replace(fmt.Sprintf(ask, 9, "openai:gpt-99", "budget_usd = 1"), "price = [1, 5], ", "", 1):                    "price of openai:gpt-99 is not known",
		fmt.Sprintf(ask, 9, "anthropic:claude-sonnet-4-20250514", "budget_usd = 1"):                                           "ask anthropic:claude-sonnet-5-5 instead ($2",
		fmt.Sprintf(ask, 9, "openai:gpt-4.1-nano", "budget_usd = 1"):                                                          "shut down on 2026-10-23",
		fmt.Sprintf(ask, 9, "anthropic:claude-haiku-5-5", "budget_usd = 1, temperature = 0.7"):                                "takes no temperature",
		strings.Replace(fmt.Sprintf(ask, 9, "openai:gpt-6-luna", "budget_usd = 1"), "price = [1, 5]", "price = [5e-6, 1]", 1): "for a million tokens",
	} {
		if _, err := b.run(src); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q in it", err, want)
		}
	}
	if n := s.Ledger().Asked; n != 0 {
		t.Errorf("%d requests", n)
	}
}

// A quote ends the notebook, and well: what is below it does not run, also once everything is answered.
func TestEstimateOnly(t *testing.T) {
	b := newBench(t)
	b.host.Consent = agreed
	s := startStub(t, stub.Options{})
	src := fmt.Sprintf(ask, 9, s.URL+"/v1#m", "budget_usd = 10, estimate_only = ONLY") + "data.rows([{\"a\": 1}])\n"
	for _, c := range []struct {
		only, quote  string
		asked, steps int
	}{{"True", "estimate only: 9 questions, 0 answered before", 0, 1}, {"False", "", 9, 3}, {"True", "9 answered before; nothing to pay", 9, 1}} {
		r, err := b.run(strings.Replace(src, "ONLY", c.only, 1))
		if err != nil {
			t.Fatal(err)
		}
		run, err := b.store.Run(r.ID)
		if err != nil || run.Status != store.Done || run.Exit != 0 {
			t.Errorf("the run is %+v, %v", run, err)
		}
		if text := b.said(event.Print); !strings.Contains(text, c.quote) {
			t.Errorf("printed %q, want %q in it", text, c.quote)
		}
		if n := s.Ledger().Asked; n != c.asked {
			t.Errorf("%d requests, want %d", n, c.asked)
		}
		if n := b.number("SELECT count(*) FROM run_step WHERE run = '" + r.ID + "'"); int(n) != c.steps {
			t.Errorf("%v steps in the run, want %d", n, c.steps)
		}
	}
}

// The cap holds over restarts, and what was paid is not lost.
func TestBudgetOverRestarts(t *testing.T) {
	b := newBench(t)
	b.host.Consent = agreed
	s := startStub(t, stub.Options{})
	cap := 0.04
	src := func(usd float64) string {
		return fmt.Sprintf(ask, 120, s.URL+"/v1#m", fmt.Sprintf("budget_usd = %g", usd))
	}
	for range 3 {
		if _, err := b.run(src(cap)); err == nil || !strings.Contains(err.Error(), "over budget") {
			t.Fatalf("got %v", err)
		}
		billed := s.Ledger()
		if usd := (float64(billed.Input) + 5*float64(billed.Output)) / 1e6; usd > cap || usd < 0.6*cap {
			t.Errorf("billed $%v of $%v", usd, cap)
		}
	}
	if _, err := b.run(src(1)); err != nil {
		t.Fatal(err)
	}
	if n := s.Ledger().Asked; n != 120 {
		t.Errorf("%d requests for 120 questions", n)
	}
}

// A key is nowhere, even if the server shows it around.
func TestPlantedSecret(t *testing.T) {
	const key = "planted-0123456789abcdef"
	b := newBench(t)
	b.host.Consent = agreed
	s := startStub(t, stub.Options{
		Key:    key,
		Answer: func(q string) string { return "You said Bearer " + key + " and " + q },
		Faults: func(q string, nth int) stub.Fault {
			switch {
			case strings.Contains(q, "question 3") && nth == 1:
				return stub.Named("500 with the key")
			case strings.Contains(q, "question 4"):
				return stub.Named("400 with the key")
			}
			return stub.Fault{}
		},
	})
	for _, from := range []string{"STARBOOK_TEACHER_KEY", "MINE"} {
		b.host.Getenv = func(name string) string {
			if name == from {
				return key
			}
			return ""
		}
		option := `budget_usd = 1, system = "` + from + `"`
		if from == "MINE" {
			option += `, key = secret("MINE")`
		}
		r, err := b.run(fmt.Sprintf(ask, 8, s.URL+"/v1#m", option) + "print(got)\nprint(data.preview(got))\n")
		if err != nil {
			t.Fatal(err)
		}
		var page bytes.Buffer
		if err := reports.Write(&page, b.store, []string{r.ID}, reports.Options{}); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(page.String(), key) {
			t.Error("the report shows the key")
		}
		for _, e := range b.events {
			if strings.Contains(e.Text+string(e.Data)+e.Name, key) {
				t.Errorf("the log shows the key: %v", e)
			}
		}
	}
	if n := b.number("SELECT count(*) FROM answer WHERE instr(body, '[key]')"); n < 14 {
		t.Errorf("the server's echo is in %v answers only: this test shows nothing", n)
	}
	if err := b.store.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	files := 0
	err := filepath.WalkDir(b.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		files++
		text, err := os.ReadFile(path)
		if bytes.Contains(text, []byte(key)) {
			t.Errorf("%s holds the key", d.Name())
		}
		return err
	})
	if err != nil || files < 3 {
		t.Errorf("looked into %d files: %v", files, err)
	}
}

func TestProgressSaysMoney(t *testing.T) {
	b := newBench(t)
	b.host.Consent = agreed
	s := startStub(t, stub.Options{Latency: 20 * time.Millisecond})
	if _, err := b.run(fmt.Sprintf(ask, 100, s.URL+"/v1#m", "budget_usd = 1, pilot = 0")); err != nil {
		t.Fatal(err)
	}
	if text := b.said(event.Progress); !strings.Contains(text, "/s, $") || !strings.Contains(text, " of about $") {
		t.Errorf("progress: %q", text)
	}
}

// A batch is shipped once, at half the price, also by a run that was interrupted.
func TestGenerateByBatch(t *testing.T) {
	for protocol, format := range map[string]string{"openai": "%s/v1#m", "anthropic": "anthropic+%s#m"} {
		t.Run(protocol, func(t *testing.T) {
			b := newBench(t)
			b.host.Consent, b.host.BatchPoll = agreed, 10*time.Millisecond
			s := startStub(t, stub.Options{BatchTime: 200 * time.Millisecond})
			src := fmt.Sprintf(ask, 60, fmt.Sprintf(format, s.URL), `budget_usd = 1, mode = "batch", pilot = 0`)
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(100*time.Millisecond, cancel)
			if _, err := b.runIn(ctx, src); err == nil {
				t.Fatal("the interrupt came too late for this test")
			}
			if _, err := b.run(src + "eq(got.rows, 60)\n"); err != nil {
				t.Fatal(err)
			}
			if s.Batches() != 1 || s.Ledger().Billed != 60 {
				t.Errorf("%d batches, %d rows billed", s.Batches(), s.Ledger().Billed)
			}
			billed := s.Ledger()
			want := (float64(billed.Input) + 5*float64(billed.Output)) / 2e6
			if got := b.number("SELECT total(cost_usd) FROM step WHERE name = 'distill.generate'"); got < want*0.999999 || got > want*1.000001 {
				t.Errorf("the step cost $%v, the bill is $%v", got, want)
			}
			if n := b.number("SELECT count(*) FROM batch WHERE ended IS NULL"); n != 0 {
				t.Errorf("%v batches are open", n)
			}
		})
	}
}

// Whatever asks about rows can ask by batch, at half the price.
func TestSampleByBatch(t *testing.T) {
	b := newBench(t)
	b.host.Consent, b.host.BatchPoll = agreed, 10*time.Millisecond
	s := startStub(t, stub.Options{BatchTime: 20 * time.Millisecond})
	if _, err := b.run(fmt.Sprintf(`
rows = data.rows([{"id": "q%%d" %% i, "prompt": "question %%d" %% i, "answer": "x"} for i in range(5)])
def good(prompt, answer, want):
    return True
got = distill.sample(rows, teacher = %q, price = [1, 5], max_tokens = 2000, n = 2, grader = good, budget_usd = 1, mode = "batch")
eq(got.rows, 5)
`, s.URL+"/v1#m")); err != nil {
		t.Fatal(err)
	}
	billed := s.Ledger()
	if s.Batches() != 1 || billed.Billed != 10 {
		t.Errorf("%d batches, %d answers billed", s.Batches(), billed.Billed)
	}
	want := (float64(billed.Input) + 5*float64(billed.Output)) / 2e6
	if got := b.number("SELECT total(cost_usd) FROM step WHERE name = 'distill.sample'"); got < want*0.999999 || got > want*1.000001 {
		t.Errorf("the step cost $%v, the bill is $%v", got, want)
	}
}

// Refusals alone are no dataset, and no error of the teacher's to be quoted.
func TestOnlyRefusals(t *testing.T) {
	_, err := newBench(t).run(`
book = data.rows([{"id": "a", "prompt": "known", "answer": "yes"}])
distill.generate(data.rows([{"id": "b", "prompt": "not in it"}]), teacher = distill.practice(book), budget_usd = 1.0)
`)
	if err == nil || !strings.HasSuffix(err.Error(), "no usable answer among 1 (refused 1)") {
		t.Errorf("got %v", err)
	}
}
