package grade

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"
)

// childEnv marks a process that grades and does nothing else.
const childEnv = "STARBOOK_GRADER_CHILD"

// A deadline is processor time, so that a busy machine changes no score. A child that
// uses none, as one that sleeps does, is given up after this many deadlines of the clock.
const idleDeadlines = 20

// memoryExit is the exit status of a child that ran over its memory.
const memoryExit = 77

var errDeadline = errors.New("deadline")

// hello is the first frame to a child; ready is its answer.
type hello struct {
	Name   string `json:"name"` // for errors
	Source string `json:"source"`
	Memory int64  `json:"memory"`
}

type ready struct {
	Error string `json:"error,omitempty"`
}

// question and reply are the frames that follow: a frame of questions, then
// one frame for each reply, in order.
type question struct {
	Prompt string `json:"p"`
	Answer string `json:"a"`
	Want   string `json:"w"`
}

type reply struct {
	Value float64 `json:"v"`
	Note  string  `json:"n,omitempty"`
	Panic string  `json:"panic,omitempty"`
}

// child is a running grader process. It is used by one goroutine at a time.
type child struct {
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Reader
	pipe   *os.File // what out reads; carries the deadline
	opts   GoOptions
	killed bool
}

func startChild(ctx context.Context, path, source string, o GoOptions) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("grade: own program: %w", err)
	}
	cmd := exec.Command(self)
	cmd.Env = []string{childEnv + "=1"} // nothing of ours: it may hold keys
	if sandboxed() == nil {             // else the interpreter alone keeps it from files and sockets
		box := sandbox{Read: append([]string{self}, libraries...), Env: cmd.Env}
		cmd.Args = append(cmd.Args, self)
		cmd.Env = box.environ()
	}
	cmd.Dir = "/"
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("grade: %w", err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("grade: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("grade: start a child: %w", err)
	}
	c := &child{cmd: cmd, in: in, out: bufio.NewReader(out), pipe: out.(*os.File), opts: o}
	stop := context.AfterFunc(ctx, c.interrupt)
	defer stop()
	var r ready
	c.deadline(o.Start)
	if err = writeFrame(in, hello{Name: path, Source: source, Memory: o.Memory}); err == nil {
		err = readFrame(c.out, &r)
	}
	switch {
	case ctx.Err() != nil:
		err = ctx.Err()
	case errors.Is(err, os.ErrDeadlineExceeded):
		err = fmt.Errorf("grade: %s: not loaded after %v: does it work before it is asked to grade?", path, o.Start)
	case err != nil:
		err = fmt.Errorf("grade: %s: the child did not start: %w: does main call grade.ChildMain first?", path, err)
	case r.Error != "":
		err = fmt.Errorf("grade: %s", r.Error)
	}
	if err == nil {
		return c, nil
	}
	c.kill()
	switch c.cmd.ProcessState.ExitCode() {
	case sandboxExit:
		err = fmt.Errorf("grade: %s: the kernel did not lock the child in", path)
	case memoryExit:
		err = fmt.Errorf("grade: %s: it needs more than %d MiB before it grades anything", path, o.Memory>>20)
	}
	return nil, err
}

func (c *child) deadline(d time.Duration) { _ = c.pipe.SetReadDeadline(time.Now().Add(d)) }

// interrupt ends a read that is under way.
func (c *child) interrupt() { _ = c.pipe.SetReadDeadline(time.Unix(1, 0)) }

// grade returns how many items got a score; with an error, the next one is the
// item that the child died of.
func (c *child) grade(ctx context.Context, items []Item, scores []Score) (int, error) {
	questions := make([]question, len(items))
	for i, it := range items {
		questions[i] = question{it.Prompt, it.Answer, it.Want}
	}
	// A child reads a whole frame before it answers, so this cannot block on it.
	if err := writeFrame(c.in, questions); err != nil {
		return 0, err
	}
	for i := range items {
		stop := context.AfterFunc(ctx, c.interrupt)
		var r reply
		err := c.await(ctx)
		if err == nil {
			err = readFrame(c.out, &r)
		}
		if !stop() && err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return i, err
		}
		scores[i] = fromValue(r.Value, r.Note)
		if r.Panic != "" {
			scores[i] = Score{Outcome: Unscored, Note: "the grader panicked: " + r.Panic}
		}
	}
	return len(items), nil
}

// await waits until a reply begins, or for errDeadline.
func (c *child) await(ctx context.Context) error {
	if c.out.Buffered() > 0 {
		return nil
	}
	begun, end := c.processorTime(), time.Now().Add(idleDeadlines*c.opts.Deadline)
	for left := c.opts.Deadline; left > 0 && time.Now().Before(end); left = c.opts.Deadline - (c.processorTime() - begun) {
		c.deadline(max(left, 10*time.Millisecond))
		_, err := c.out.Peek(1)
		if ctx.Err() != nil { // its interrupt may have come before the deadline was set anew
			return ctx.Err()
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			c.deadline(c.opts.Start) // of the rest of the frame, which is on its way
			return err
		}
	}
	return errDeadline
}

// kill ends the process and waits for it. It may be called twice, and on nil.
func (c *child) kill() {
	if c == nil || c.killed {
		return
	}
	c.killed = true
	_ = c.in.Close()
	_ = c.cmd.Process.Kill()
	_ = c.cmd.Wait()
}

// epitaph says of what a killed child died.
func (c *child) epitaph(err error) string {
	switch {
	case errors.Is(err, errDeadline):
		return fmt.Sprintf("the grader took longer than %v of processor time", c.opts.Deadline)
	case c.cmd.ProcessState.ExitCode() == memoryExit:
		return fmt.Sprintf("the grader used more than %d MiB of memory", c.opts.Memory>>20)
	}
	return fmt.Sprintf("the grader's process ended (%v)", c.cmd.ProcessState)
}

// A frame is four bytes of length, big endian, and that much JSON.
const maxFrame = 256 << 20

func writeFrame(w io.Writer, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if len(body) > maxFrame {
		return fmt.Errorf("a frame of %d bytes", len(body))
	}
	_, err = w.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...))
	return err
}

func readFrame(r io.Reader, v any) error {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > maxFrame {
		return fmt.Errorf("a frame of %d bytes", n)
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(r, body); err != nil {
		return err
	}
	return json.Unmarshal(body, v)
}
