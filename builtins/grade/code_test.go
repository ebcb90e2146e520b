package grade

import (
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// pythonGrader is a Code grader, or the end of the test where there is no Python.
func pythonGrader(t *testing.T, o CodeOptions) *Code {
	t.Helper()
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip("no python3 here")
	}
	g, err := NewCode(o)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

const (
	addPrompt = "from typing import List\n\n\ndef add(a: int, b: int) -> int:\n    \"\"\" The sum.\n    >>> add(1, 2)\n    3\n    \"\"\"\n"
	addTest   = "def check(candidate):\n    assert candidate(1, 2) == 3\n    assert candidate(-1, 1) == 0\n"
)

func addItem(answer string) Item {
	row, _ := json.Marshal(map[string]string{"test": addTest, "entry_point": "add"})
	return Item{Prompt: addPrompt, Answer: answer, Row: row}
}

// A Python that cannot start says nothing about the answer.
func TestCodeNotBegun(t *testing.T) {
	g := pythonGrader(t, CodeOptions{Memory: 4 << 20})
	if score, err := g.Grade(t.Context(), addItem("    return a + b")); !errors.Is(err, errNotBegun) {
		t.Errorf("got %+v, %v", score, err)
	}
}

func TestCode(t *testing.T) {
	g := pythonGrader(t, CodeOptions{Deadline: 5 * time.Second})
	tests := []struct {
		answer  string
		outcome Outcome
		note    string
	}{
		{"    return a + b", Pass, ""},
		{"    return a + b\n\n\ndef main(:\n", Pass, ""}, // what a base model writes after the function
		{"    return a - b", Fail, "AssertionError"},
		{"```python\ndef add(a, b):\n    return a + b\n```\nThat is it.", Pass, ""},
		{"Here:\n```python\nprint(1)\n```\n```python\ndef add(a, b) -> int:\n    return sum([a, b])\n```", Pass, ""},
		{"<think>\ndef add(a, b): return 0\n</think>def add(a, b):\n    return a + b", Pass, ""},
		{"```\n    return a + b\n```", Pass, ""},
		{"    return a +", Unparsable, "SyntaxError"},
		{"    return undefined", Fail, "NameError"},
		{"    import sys\n    sys.exit(0)", Fail, "SystemExit"},
		{"    import os\n    os._exit(0)", Fail, "ended without a verdict"},
		{"    print('pass')\n    return 7", Fail, "AssertionError"},
		{"I'm sorry, but I can't help with that.", Refused, ""},
	}
	var items []Item
	for _, test := range tests {
		items = append(items, addItem(test.answer))
	}
	scores, err := All(t.Context(), g, items)
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range scores {
		if s.Outcome != tests[i].outcome || !strings.Contains(s.Note, tests[i].note) {
			t.Errorf("%q: %+v, want %s with %q", tests[i].answer, s, tests[i].outcome, tests[i].note)
		}
	}
}

// What programs may not do fails inside them, whatever they try, and the
// listening socket and the files outside see nothing of it.
func TestCodeIsConfined(t *testing.T) {
	g := pythonGrader(t, CodeOptions{Deadline: 5 * time.Second})
	outside := t.TempDir()
	secret := filepath.Join(outside, "secret")
	if err := os.WriteFile(secret, []byte("sk-very-secret"), 0o644); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	called := make(chan struct{}, 100)
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			c.Close()
			called <- struct{}{}
		}
	}()
	t.Setenv("OPENAI_API_KEY", "sk-very-secret")
	port := listener.Addr().(*net.TCPAddr).Port
	for what, attempt := range map[string]string{
		"read a file":             fmt.Sprintf("open(%q).read()", secret),
		"read the password file":  "open('/etc/passwd').read()",
		"list a folder":           fmt.Sprintf("os.listdir(%q)", outside),
		"write a file":            fmt.Sprintf("open(%q, 'w').write('x')", filepath.Join(outside, "new")),
		"write in its temp":       "open('/tmp/starbook-escape', 'w').write('x')",
		"remove a file":           fmt.Sprintf("os.remove(%q)", secret),
		"make a link out":         fmt.Sprintf("os.symlink(%q, 'link'); open('link').read()", secret),
		"truncate":                fmt.Sprintf("os.truncate(%q, 0)", secret),
		"change rights":           fmt.Sprintf("os.chmod(%q, 0)", secret),
		"connect":                 fmt.Sprintf("__import__('socket').create_connection(('127.0.0.1', %d))", port),
		"send a datagram":         "__import__('socket').socket(2, 2).sendto(b'x', ('127.0.0.1', 53))",
		"a unix socket":           "__import__('socket').socketpair()",
		"start a process":         "__import__('subprocess').run(['true'], check=True)",
		"fork":                    "os.fork()",
		"use the shell":           "assert os.system('true') == 0",
		"kill its parent":         "os.kill(os.getppid(), 9)",
		"signal everybody":        "os.kill(-1, 15)",
		"read the parent's":       "open(f'/proc/{os.getppid()}/environ').read()",
		"see the environment":     "assert any('sk-' in v for v in os.environ.values())",
		"limit others":            "__import__('resource').prlimit(os.getppid(), 7, (0, 0))",
		"eat the disk":            "f = open('big', 'wb'); [f.write(b'x' * (1 << 20)) for _ in range(64)]; f.flush()",
		"eat the memory":          "x = bytearray(8 << 30)",
		"many threads and memory": "x = [bytearray(1 << 26) for _ in range(200)]",
		"execute something else":  "os.execv('/bin/true', ['true'])",
		"a new user namespace":    "__import__('ctypes').CDLL(None, use_errno=True).unshare(0x10000000) == 0 or 1 / 0",
	} {
		answer := "    import os\n    " + attempt + "\n    return a + b"
		s, err := g.Grade(t.Context(), addItem(answer))
		if err != nil {
			t.Errorf("%s: %v", what, err)
		} else if s.Outcome != Fail {
			t.Errorf("%s: %+v, want a failure", what, s)
		}
	}
	s, err := pythonGrader(t, CodeOptions{Deadline: time.Second}).Grade(t.Context(), addItem("    while True: pass"))
	if err != nil || s.Outcome != Fail || !strings.Contains(s.Note, "longer than 1s") {
		t.Errorf("an endless loop: %+v, %v", s, err)
	}
	left, err := os.ReadDir(outside)
	if err != nil || len(left) != 1 {
		t.Errorf("outside lie %v, %v", left, err)
	}
	if b, err := os.ReadFile(secret); err != nil || string(b) != "sk-very-secret" {
		t.Errorf("the file outside holds %q, %v", b, err)
	}
	if _, err := os.Stat("/tmp/starbook-escape"); err == nil {
		t.Error("a file was written into the temporary folder of all")
	}
	select {
	case <-called:
		t.Error("a connection arrived")
	default:
	}
	// What is allowed works: files of its own, threads.
	s, err = g.Grade(t.Context(), addItem("    import threading, math, json\n    open('own', 'w').write('x')\n    t = threading.Thread(target=print); t.start(); t.join()\n    return a + b"))
	if err != nil || s.Outcome != Pass {
		t.Errorf("an honest program: %+v, %v", s, err)
	}
}

func TestCodeSaysWhatIsMissing(t *testing.T) {
	_, err := NewCode(CodeOptions{Python: "python-that-is-not-there"})
	if err == nil || !strings.Contains(err.Error(), "not in PATH") && !strings.Contains(err.Error(), "sandbox") {
		t.Errorf("no interpreter: %v", err)
	}
}

// The reference solutions of HumanEval pass their own tests; none of them passes
// with its first statement's result thrown away. STARBOOK_HUMANEVAL names HumanEval.jsonl.gz.
func TestCodeOnHumanEval(t *testing.T) {
	path := os.Getenv("STARBOOK_HUMANEVAL")
	if path == "" {
		t.Skip("STARBOOK_HUMANEVAL names no file")
	}
	g := pythonGrader(t, CodeOptions{})
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var items, broken []Item
	for dec := json.NewDecoder(z); dec.More(); {
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			t.Fatal(err)
		}
		var row struct {
			Prompt   string
			Solution string `json:"canonical_solution"`
		}
		if err := json.Unmarshal(raw, &row); err != nil {
			t.Fatal(err)
		}
		items = append(items, Item{Prompt: row.Prompt, Answer: row.Solution, Row: raw})
		broken = append(broken, Item{Prompt: row.Prompt, Answer: "    return None\n", Row: raw})
	}
	for _, part := range []struct {
		items []Item
		want  Outcome
	}{{items, Pass}, {broken, Fail}} {
		scores, err := All(t.Context(), g, part.items)
		if err != nil {
			t.Fatal(err)
		}
		for i, s := range scores {
			if s.Outcome != part.want {
				t.Errorf("item %d: %+v, want %s", i, s, part.want)
			}
		}
	}
	t.Logf("%d items", len(items))
}
