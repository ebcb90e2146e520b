package grade

import (
	"bytes"
	"context"
	"crypto/rand"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

// CodeOptions limit the programs that Code runs. Zero fields take the defaults.
type CodeOptions struct {
	Python     string        // name or path of the interpreter; python3
	Test       string        // column with the tests, which define check(candidate); test
	EntryPoint string        // column with the name of the function that is asked for; entry_point
	Deadline   time.Duration // of one answer, in processor time, whole seconds; 10 s
	Memory     int64         // bytes of address space of one answer; 1 GiB
	Processes  int           // at a time; one a core
}

// Code passes an answer that, as a Python program, passes the tests of its item
// (HumanEval's format: a prompt that ends in the head of a function, a test that
// defines check, an entry point).
//
// Every answer runs in a process of its own, in a folder of its own that is
// removed afterwards, without network, other processes or files but Python's,
// within limits of time and memory. That keeps the machine safe from the answer.
// It does not keep the test safe: a program that sets out to fool the tests it
// runs beside can.
type Code struct {
	o       CodeOptions
	python  string // the interpreter itself, not what stands for it in PATH
	version string
	box     sandbox
}

var _ Batch = (*Code)(nil)

// waitingDeadlines is after how many deadlines of the clock a program that waits is given up.
const waitingDeadlines = 6

//go:embed code.py
var driver string

// NewCode finds the interpreter; its error says what is missing.
func NewCode(o CodeOptions) (*Code, error) {
	if o.Python == "" {
		o.Python = "python3"
	}
	if o.Test == "" {
		o.Test = "test"
	}
	if o.EntryPoint == "" {
		o.EntryPoint = "entry_point"
	}
	if o.Deadline <= 0 {
		o.Deadline = 10 * time.Second
	}
	if o.Memory <= 0 {
		o.Memory = 1 << 30
	}
	if o.Processes <= 0 {
		o.Processes = runtime.NumCPU()
	}
	if err := sandboxed(); err != nil {
		return nil, fmt.Errorf("answers are programs of a model and run in a sandbox only: %w", err)
	}
	path, err := exec.LookPath(o.Python)
	if err != nil {
		return nil, fmt.Errorf("the answers are run by Python, and %q is not in PATH: install python3, or name it with python=", o.Python)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	ask := exec.CommandContext(ctx, path, "-I", "-c", "import sys, json; print(json.dumps([sys.executable, sys.base_prefix, sys.version.split()[0]]))")
	out, err := ask.Output()
	var said []string
	if err != nil || json.Unmarshal(out, &said) != nil || len(said) != 3 {
		return nil, fmt.Errorf("%s is no working Python 3: %v", path, errors.Join(err, errors.New(clip(string(out)))))
	}
	real, err := filepath.EvalSymlinks(said[0])
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("own program: %w", err)
	}
	g := &Code{o: o, python: real, version: said[2]}
	g.box = sandbox{Memory: o.Memory, CPU: max(1, int64(o.Deadline/time.Second)), Env: []string{"LANG=C.UTF-8", "OMP_NUM_THREADS=1"}}
	g.box.Read = append([]string{self, real}, libraries...)
	for _, dir := range []string{"lib", "lib64", "bin"} { // the prefix may be /usr: not all of it
		g.box.Read = append(g.box.Read, filepath.Join(said[1], dir))
	}
	return g, nil
}

// Name implements Grader.
func (g *Code) Name() string { return "code" }

// Version holds the interpreter's and the limits.
func (g *Code) Version() string {
	return fmt.Sprintf("2 python %s test=%s entry_point=%s deadline=%v memory=%d", g.version, g.o.Test, g.o.EntryPoint, g.o.Deadline, g.o.Memory)
}

// GradeAll runs several at a time.
func (g *Code) GradeAll(ctx context.Context, items []Item) ([]Score, error) {
	scores := make([]Score, len(items))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(g.o.Processes)
	for i := range items {
		group.Go(func() (err error) {
			scores[i], err = g.Grade(ctx, items[i])
			return err
		})
	}
	return scores, group.Wait()
}

// Grade runs one answer against the tests of its item.
func (g *Code) Grade(ctx context.Context, it Item) (Score, error) {
	var row map[string]any
	if err := json.Unmarshal(it.Row, &row); err != nil {
		return Score{}, fmt.Errorf("grade: code: the item's row: %w", err)
	}
	test, okTest := row[g.o.Test].(string)
	entry, okEntry := row[g.o.EntryPoint].(string)
	if !okTest || !okEntry {
		return Score{Outcome: Unscored, Note: fmt.Sprintf("the item has no text in %s or %s", g.o.Test, g.o.EntryPoint)}, nil
	}
	program := pythonProgram(it.Prompt, visibleCode(it.Answer), entry)
	for try := 1; ; try++ {
		score, err := g.run(ctx, program, test+"\n\ncheck("+entry+")\n")
		if !errors.Is(err, errNotBegun) || try == startTries {
			return score, err
		}
	}
}

// errNotBegun means that a process ended before the answer was looked at, as on a
// machine that has no thread left for it.
var errNotBegun = errors.New("grade: code: the interpreter did not start")

// startTries is how often an interpreter is started.
const startTries = 3

// run executes one program, then its tests, in the sandbox.
func (g *Code) run(ctx context.Context, program, test string) (Score, error) {
	dir, err := os.MkdirTemp("", "starbook-answer-")
	if err != nil {
		return Score{}, fmt.Errorf("grade: code: %w", err)
	}
	defer os.RemoveAll(dir)
	// The kernel counts processor time, so that a busy machine changes no score; the
	// clock is for programs that wait.
	ctx, cancel := context.WithTimeout(ctx, waitingDeadlines*g.o.Deadline)
	defer cancel()
	box := g.box
	box.Write = dir
	cmd := exec.Command(g.box.Read[0], g.python, "-I", "-S", "-B", "-c", driver)
	cmd.Env, cmd.Dir = box.environ(), dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for us to handle
	token := rand.Text()
	task, err := json.Marshal(map[string]string{"program": program, "test": test, "token": token})
	if err != nil {
		return Score{}, fmt.Errorf("grade: code: %w", err)
	}
	cmd.Stdin = bytes.NewReader(task)
	said, complaint := &bounded{limit: 8 << 10}, &bounded{limit: 8 << 10}
	cmd.Stdout, cmd.Stderr = said, complaint
	if err := cmd.Start(); err != nil {
		return Score{}, fmt.Errorf("grade: code: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = cmd.Process.Kill() })
	err = cmd.Wait()
	stop()
	switch {
	case errors.Is(context.Cause(ctx), context.Canceled):
		return Score{}, context.Cause(ctx)
	case cmd.ProcessState != nil && cmd.ProcessState.ExitCode() == sandboxExit:
		return Score{}, fmt.Errorf("grade: code: %s", strings.TrimSpace(complaint.String()))
	}
	verdict, begun := strings.CutPrefix(said.String(), "begun ")
	switch {
	case verdict == "pass "+token && err == nil:
		return Score{Value: 1, Outcome: Pass}, nil
	case !begun:
		return Score{}, fmt.Errorf("%w (%v): %s", errNotBegun, cmd.ProcessState, clip(complaint.String()))
	case ctx.Err() != nil, outOfTime(cmd.ProcessState):
		return Score{Outcome: Fail, Note: fmt.Sprintf("ran longer than %v", g.o.Deadline)}, nil
	}
	note, ok := strings.CutPrefix(verdict, "fail ")
	if !ok {
		note = fmt.Sprintf("ended without a verdict (%v)", cmd.ProcessState)
	}
	if strings.HasPrefix(note, "unparsable ") {
		return unparsable("%s", strings.TrimPrefix(note, "unparsable ")), nil
	}
	return Score{Outcome: Fail, Note: clip(note)}, nil
}

// outOfTime says whether the kernel ended a process for its use of the processor:
// by SIGXCPU at the limit, or by SIGKILL a second later if it would not hear that.
func outOfTime(p *os.ProcessState) bool {
	status, ok := p.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && (status.Signal() == syscall.SIGXCPU || status.Signal() == syscall.SIGKILL)
}

// bounded keeps the beginning of what is written to it.
type bounded struct {
	bytes.Buffer
	limit int
}

// Write never fails, so that a program that talks too much is not stopped by it.
func (b *bounded) Write(p []byte) (int, error) {
	b.Buffer.Write(p[:min(len(p), max(0, b.limit-b.Len()))])
	return len(p), nil
}

var (
	codeBlock = regexp.MustCompile("(?s)```(?:python|py|Python)?[ \t]*\n(.*?)(?:```|$)")
	// Where a completion of a base model goes on to something else (Chen et al. 2021).
	afterFunction = regexp.MustCompile(`\n(?:class |def |#|if |print\()`)
)

// visibleCode is the answer without reasoning, its leading indentation kept.
func visibleCode(answer string) string {
	return strings.TrimRight(reasoning.ReplaceAllString(answer, ""), " \t\n")
}

// pythonProgram puts prompt and answer together: an answer that defines the
// function stands behind the prompt's, whose imports and helpers it may use; any
// other is the function's body.
func pythonProgram(prompt, answer, entry string) string {
	code := answer
	blocks := codeBlock.FindAllStringSubmatch(answer, -1)
	if len(blocks) > 0 {
		code = blocks[0][1]
		for _, b := range blocks { // the first block that defines it
			if defines(b[1], entry) {
				code = b[1]
				break
			}
		}
	}
	if defines(code, entry) {
		return prompt + "\n    pass\n\n" + code + "\n"
	}
	if len(blocks) == 0 {
		if at := afterFunction.FindStringIndex(code); at != nil {
			code = code[:at[0]]
		}
	}
	return prompt + code + "\n"
}

func defines(code, entry string) bool {
	return regexp.MustCompile(`(?m)^(?:async )?def ` + regexp.QuoteMeta(entry) + `\b`).MatchString(code)
}
