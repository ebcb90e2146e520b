package grade

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// hostile makes the i-th of very many Go graders that mean harm: a way to do it
// in a place to do it from.
func hostile(r *rand.Rand, dir string, port int) string {
	imports, extra := map[string]bool{}, ""
	need := func(names ...string) {
		for _, n := range names {
			imports[n] = true
		}
	}
	ways := []func() string{
		func() string { return "for {\n}" },
		func() string { return "for i := 0; ; i++ {\n\tanswer += prompt\n}" },
		func() string { return "panic(answer)" },
		func() string { return "var m map[string]int\nm[answer] = 1" },
		func() string { return "return float64(answer[1<<20]), want" },
		func() string {
			return fmt.Sprintf("x := [][]byte{}\nfor {\n\tx = append(x, make([]byte, %d))\n}", 1<<(10+r.IntN(20)))
		},
		func() string { return "x := make([]int, 8<<30)\nx[0] = 1" },
		func() string { return "m := map[int]string{}\nfor i := 0; ; i++ {\n\tm[i] = answer\n}" },
		func() string { return "return Grade(prompt+answer, answer, want)" },
		func() string { return "for {\n\tgo func() {\n\t\tfor {\n\t\t}\n\t}()\n}" },
		func() string { return "go func() { panic(want) }()\nfor {\n}" },
		func() string { return "c := make(chan int)\n<-c" },
		func() string { return "select {}" },
		func() string {
			need("strings")
			return fmt.Sprintf("return 1, strings.Repeat(answer, 1<<%d)", 20+r.IntN(12))
		},
		func() string {
			need("math/big")
			return "x := big.NewInt(3)\nfor {\n\tx.Mul(x, x)\n}"
		},
		func() string {
			need("regexp")
			return "return 1, regexp.MustCompile(\"(((a{1000}){1000}){1000})\").FindString(answer)"
		},
		func() string {
			need("fmt")
			return "for {\n\tfmt.Println(prompt)\n}"
		},
		func() string {
			need("fmt")
			return "var s string\nfmt.Scanln(&s)\nreturn 1, s"
		},
		func() string {
			need("os")
			return fmt.Sprintf("b, _ := os.ReadFile(%q)\nreturn 1, string(b)", filepath.Join(dir, "secret"))
		},
		func() string {
			need("os")
			return fmt.Sprintf("os.WriteFile(%q, []byte(answer), 0o644)", filepath.Join(dir, "new"))
		},
		func() string { need("os"); return "os.Exit(0)" },
		func() string { need("os"); return "return 1, os.Getenv(\"OPENAI_API_KEY\")" },
		func() string {
			need("net")
			return fmt.Sprintf("net.Dial(\"tcp\", \"127.0.0.1:%d\")", port)
		},
		func() string {
			need("net/http")
			return fmt.Sprintf("http.Get(\"http://127.0.0.1:%d\")", port)
		},
		func() string { need("os/exec"); return "exec.Command(\"kill\", \"-9\", \"-1\").Run()" },
		func() string { need("syscall"); return "syscall.Kill(syscall.Getppid(), 9)" },
		func() string { need("unsafe"); return "*(*int)(unsafe.Pointer(uintptr(1))) = 1" },
		func() string { need("reflect"); return "reflect.ValueOf(answer).SetString(want)" },
		func() string { need("runtime"); return "runtime.Goexit()" },
		func() string {
			need("math")
			return []string{"return math.NaN(), \"\"", "return math.Inf(1), \"\"", "return -math.MaxFloat64, \"\""}[r.IntN(3)]
		},
		func() string { return "for i := range 5 {\n\t_ = i\n}" },
		func() string { return "return 1, \"\\xff\\x00\\x1b[2J\"" },
		func() string { return "if true {\n" + strings.Repeat("{", 500) + strings.Repeat("}", 500) + "\n}" },
		func() string {
			return "x := " + strings.Repeat("(", 2000) + "1" + strings.Repeat(")", 2000) + "\n_ = x"
		},
		func() string { return strconv.Quote(string([]byte{0, 1, 2, 255})) },
	}
	body := ways[r.IntN(len(ways))]()
	switch r.IntN(5) {
	case 0: // later, from a deferred function
		body = "defer func() {\n\tgraded()\n}()"
		extra = "func graded() {\n\tprompt, answer, want := \"p\", \"a\", \"w\"\n\t_, _, _ = prompt, answer, want\n\t_, _ = again(prompt, answer, want)\n}\n\n"
		extra += "func again(prompt, answer, want string) (float64, string) {\n" + ways[r.IntN(len(ways))]() + "\nreturn 1, \"\"\n}\n"
	case 1: // when the file is loaded
		extra = "var started = start()\n\nfunc start() int {\n\tagain(\"p\", \"a\", \"w\")\n\treturn 1\n}\n\nfunc again(prompt, answer, want string) (float64, string) {\n" +
			ways[r.IntN(len(ways))]() + "\nreturn 1, \"\"\n}\n"
	}
	head := "package g\n\n"
	for name := range imports {
		head += "import " + strconv.Quote(name) + "\n"
	}
	return head + "\nfunc Grade(prompt, answer, want string) (float64, string) {\n" + body + "\nreturn 1, \"\"\n}\n\n" + extra
}

// None of very many hostile graders ends this process, reads or writes a file
// outside, connects, or makes the honest one beside it fail. STARBOOK_HOSTILE
// says how many; the number decides which.
func TestHostileGraders(t *testing.T) {
	n := 30
	if s := os.Getenv("STARBOOK_HOSTILE"); s != "" {
		var err error
		if n, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "secret"), []byte("sk-very-secret"), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Setenv("OPENAI_API_KEY", "sk-very-secret")
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	var calls atomic.Int32
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			calls.Add(1)
			c.Close()
		}
	}()
	honest := goGrader(t, "", `return 1, "fine"`, GoOptions{Children: 1})
	r := rand.New(rand.NewPCG(uint64(n), 9))
	refused, unscored, judged := 0, 0, 0
	for i := range n {
		src := hostile(r, dir, listener.Addr().(*net.TCPAddr).Port)
		g, err := NewGoFile(writeFile(t, src), GoOptions{Deadline: 100 * time.Millisecond, Start: 2 * time.Second, Memory: 96 << 20, Children: 1})
		if err != nil {
			refused++
			continue
		}
		scores, err := g.GradeAll(t.Context(), []Item{{Prompt: "p", Answer: "a", Want: "w"}})
		_ = g.Close()
		switch {
		case err != nil:
			refused++
		case scores[0].Outcome == Unscored:
			unscored++
		default:
			judged++
		}
		if err == nil && strings.Contains(scores[0].Note, "very-secret") {
			t.Errorf("grader %d read a secret:\n%s", i, src)
		}
		if i%10 == 0 {
			if s, err := honest.Grade(t.Context(), Item{Answer: "a"}); err != nil || s.Outcome != Pass {
				t.Fatalf("after grader %d the honest one says %+v, %v:\n%s", i, s, err, src)
			}
		}
	}
	t.Logf("%d hostile graders: %d refused before they ran, %d cost their sample, %d did no harm", n, refused, unscored, judged)
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("outside lie %v, %v", left, err)
	}
	if c := calls.Load(); c != 0 {
		t.Errorf("%d connections arrived", c)
	}
}

// The interpreter's process is locked in by the kernel as well.
func TestGoFileIsConfined(t *testing.T) {
	if err := sandboxed(); err != nil {
		t.Skip(err)
	}
	g := goGrader(t, "", `return 1, ""`, GoOptions{Children: 1})
	if _, err := g.Grade(t.Context(), Item{Answer: "a"}); err != nil {
		t.Fatal(err)
	}
	c := <-g.idle
	defer func() { g.idle <- c }()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.cmd.Process.Pid))
	if err != nil {
		t.Skip("no /proc here")
	}
	for _, want := range []string{"\nSeccomp:\t2\n", "\nNoNewPrivs:\t1\n"} {
		if !strings.Contains(string(status), want) {
			t.Errorf("no %q in the status of the child:\n%s", want, status)
		}
	}
}

// A numeric grader of the usual kind, through the child and its pipe.
func BenchmarkGoFile(b *testing.B) {
	path := filepath.Join(b.TempDir(), "x.go")
	src := `package g

import "strings"

func Grade(prompt, answer, want string) (float64, string) {
	i := strings.LastIndex(answer, "####")
	if i < 0 {
		return 0, "unparsable: no mark"
	}
	got := strings.ReplaceAll(strings.TrimSpace(answer[i+4:]), ",", "")
	if got == want {
		return 1, ""
	}
	return 0, "got " + got
}
`
	if err := os.WriteFile(path, []byte(src), 0o600); err != nil {
		b.Fatal(err)
	}
	g, err := NewGoFile(path, GoOptions{Children: 1})
	if err != nil {
		b.Fatal(err)
	}
	defer g.Close()
	items := make([]Item, 20_000)
	for i := range items {
		items[i] = Item{Prompt: strings.Repeat("How many? ", 20), Answer: strings.Repeat("He has 3 + 4 = 7 apples. ", 8) + "#### 1,0" + strconv.Itoa(i%90+10), Want: "1042"}
	}
	if _, err := g.GradeAll(b.Context(), items[:1]); err != nil { // starts the child
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := g.GradeAll(b.Context(), items); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N*len(items))/b.Elapsed().Seconds(), "grades/s")
}
