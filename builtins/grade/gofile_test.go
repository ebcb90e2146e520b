package grade

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// goGrader writes a grader whose Grade has the given body.
func goGrader(t *testing.T, imports, body string, o GoOptions) *GoFile {
	t.Helper()
	src := "package g\n\n" + imports + "\n\nfunc Grade(prompt, answer, want string) (float64, string) {\n" + body + "\n}\n"
	g, err := NewGoFile(writeFile(t, src), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.Close() })
	return g
}

func writeFile(t *testing.T, src string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.go")
	if err := os.WriteFile(path, []byte(src), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestGoFileKeepsOrderAcrossChildren(t *testing.T) {
	g := goGrader(t, `import "strings"`, `return float64(strings.Count(answer, want)) / 4, "n" + answer`, GoOptions{Children: 3})
	items := make([]Item, 200)
	for i := range items {
		items[i] = Item{Answer: fmt.Sprintf("%d%s", i, strings.Repeat("x", i%5)), Want: "x"}
	}
	scores, err := All(t.Context(), g, items)
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range scores {
		want := Score{Value: float64(i%5) / 4, Outcome: Fail, Note: "n" + items[i].Answer}
		if i%5 == 4 {
			want.Outcome = Pass
		}
		if s != want {
			t.Fatalf("score %d is %+v, want %+v", i, s, want)
		}
	}
}

// One bad answer must cost only itself, whatever it does to its child.
func TestGoFileSurvivesItsGraders(t *testing.T) {
	g := goGrader(t, `import "math"`, `
	switch answer {
	case "loop":
		for {
		}
	case "panic":
		var m map[string]int
		m["x"] = 1
	case "index":
		return float64(answer[100]), ""
	case "memory":
		all := [][]byte{}
		for {
			all = append(all, make([]byte, 1<<20))
		}
	case "stack":
		return Grade(prompt, answer, want+"x")
	case "nan":
		return math.NaN(), ""
	case "two":
		return 2, ""
	case "print":
		println("to stdout?")
	case "goroutine":
		go func() { panic("elsewhere") }()
		for {
		}
	}
	return 1, ""`, GoOptions{Deadline: time.Second, Memory: 128 << 20, Children: 2})
	tests := []struct{ answer, note string }{
		{"loop", "longer than 1s"},
		{"panic", "panicked: "},
		{"index", "panicked: "},
		{"memory", "more than 128 MiB"},
		{"stack", "the grader"}, // memory or stack, whichever ends first
		{"nan", "not in [0, 1]"},
		{"two", "returned 2"},
		{"goroutine", "the grader"},
		{"print", ""},
	}
	var items []Item
	for _, test := range tests {
		items = append(items, Item{Answer: "fine"}, Item{Answer: test.answer}, Item{Answer: "fine"})
	}
	scores, err := g.GradeAll(t.Context(), items)
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range scores {
		test := tests[i/3]
		if i%3 != 1 || test.note == "" {
			if s.Outcome != Pass {
				t.Errorf("an answer %q beside %q: %+v", items[i].Answer, test.answer, s)
			}
		} else if s.Outcome != Unscored || !strings.Contains(s.Note, test.note) {
			t.Errorf("%s: %+v, want unscored with %q", test.answer, s, test.note)
		}
	}
}

func TestGoFileIsRefused(t *testing.T) {
	const sig = "func Grade(prompt, answer, want string) (float64, string)"
	tests := []struct{ name, src, want string }{
		{"os", "package g\n\nimport \"os\"\n\n" + sig + " { return 1, os.Getenv(\"HOME\") }\n", `x.go:3:8: import "os"`},
		{"net", "package g\nimport \"net/http\"\nvar _ = http.Get\n" + sig + " { return 1, \"\" }\n", `x.go:2:8: import "net/http"`},
		{"syntax", "package g\n" + sig + " { return 1 \"\" }\n", "x.go:2:"},
		{"no Grade", "package g\n", "x.go:1: no Grade in the file"},
		{"method", "package g\ntype T struct{}\nfunc (T) Grade(prompt, answer, want string) (float64, string) { return 1, \"\" }\n", "no Grade"},
		{"signature", "package g\nfunc Grade(prompt, answer string) (float64, string) { return 1, \"\" }\n", "x.go:2:1: Grade has another signature"},
	}
	for _, test := range tests {
		_, err := NewGoFile(writeFile(t, test.src), GoOptions{})
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", test.name, err, test.want)
		}
	}
}

func TestGoFileDoesNotCompile(t *testing.T) {
	tests := []struct{ name, imports, body, want string }{
		{"undefined", "", "return score, \"\"", "x.go:6:8: undefined: score"},
		{"types", "", "return prompt, \"\"", "x.go:"},
		{"range over an integer", "", "for i := range 5 {\n_ = i\n}\nreturn 1, \"\"", "x.go"},
		{"missing symbol", `import "strings"`, "return strings.Nope(answer), \"\"", "x.go:6:"},
	}
	for _, test := range tests {
		g := goGrader(t, test.imports, test.body, GoOptions{Children: 1})
		_, err := g.GradeAll(t.Context(), []Item{{Answer: "a"}})
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", test.name, err, test.want)
		}
	}
}

func TestGoFileSeesNoSecrets(t *testing.T) {
	t.Setenv("OPENAI_API_KEY", "sk-very-secret")
	g := goGrader(t, "", `return 1, ""`, GoOptions{Children: 1})
	if _, err := g.Grade(t.Context(), Item{Answer: "a"}); err != nil {
		t.Fatal(err)
	}
	c := <-g.idle
	defer func() { g.idle <- c }()
	env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", c.cmd.Process.Pid))
	if err != nil {
		t.Skip("no /proc here")
	}
	if got := string(env); got != childEnv+"=1\x00" {
		t.Errorf("the child's environment is %q", got)
	}
}

func TestGoFileStopsWithItsContext(t *testing.T) {
	g := goGrader(t, "", "for {\n}", GoOptions{Deadline: time.Hour, Children: 1})
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err := g.GradeAll(ctx, []Item{{Answer: "a"}, {Answer: "b"}})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want the context's error", err)
	}
}

func TestGoFileVersionFollowsTheSource(t *testing.T) {
	a := goGrader(t, "", `return 1, ""`, GoOptions{})
	b := goGrader(t, "", `return 0, ""`, GoOptions{})
	if a.Version() == b.Version() || !strings.HasSuffix(a.Version(), " yaegi "+yaegiVersion) {
		t.Errorf("versions %q and %q", a.Version(), b.Version())
	}
	mod, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(mod), "github.com/traefik/yaegi "+yaegiVersion+"\n") {
		t.Errorf("go.mod has another yaegi than %s", yaegiVersion)
	}
}

// The quickstart's grader must mean the same interpreted as compiled.
func TestRegexGraderUnderYaegi(t *testing.T) {
	g, err := NewGoFile("../../scripts/graders/regex/regex.go", GoOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	tests := []struct {
		answer, want string
		outcome      Outcome
	}{
		{"(dog).*(([A-Za-z]){3,}).*", "dog.*[A-Za-z]{3}.*", Pass},
		{"~(a&b)", "~(a)|~(b)", Pass},
		{`\b[0-9]{5,}\b`, "[0-9]{5,}", Pass},
		{"dog", "dog.*", Fail},
		{"(dog", "dog.*", Unparsable},
		{".*a.{14}", ".*a.{14}|.*b.{14}", Unscored},
	}
	var items []Item
	for _, test := range tests {
		items = append(items, Item{Answer: test.answer, Want: test.want})
	}
	scores, err := All(t.Context(), g, items)
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range scores {
		if s.Outcome != tests[i].outcome {
			t.Errorf("%q against %q: %+v, want %s", tests[i].answer, tests[i].want, s, tests[i].outcome)
		}
	}
}

// A score may not depend on what else the machine does: a child that gets no
// processor is waited for.
func TestDeadlineIsProcessorTime(t *testing.T) {
	g := goGrader(t, "", `return 1, ""`, GoOptions{Deadline: 100 * time.Millisecond, Children: 1})
	if _, err := g.Grade(t.Context(), Item{}); err != nil { // starts the child
		t.Fatal(err)
	}
	c := <-g.idle
	g.idle <- c
	if err := c.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(400*time.Millisecond, func() { c.cmd.Process.Signal(syscall.SIGCONT) })
	score, err := g.Grade(t.Context(), Item{})
	if err != nil || score.Outcome != Pass {
		t.Errorf("a child that was held up for four deadlines: %+v, %v", score, err)
	}
}
