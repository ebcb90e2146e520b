package builtins

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"starbook/runtime"
)

// answer is what a model wrote.
type answer struct {
	Index     int      `json:"index"` // of the question
	Text      string   `json:"text"`
	Tokens    int      `json:"tokens"`
	Truncated bool     `json:"truncated,omitempty"` // stopped by the token limit
	Refused   bool     `json:"refused,omitempty"`   // the server says so
	Failed    string   `json:"failed,omitempty"`    // why there is none
	Mean      *float64 `json:"logprob,omitempty"`   // mean log-probability of its tokens, in nats; nil: not told
	Min       *float64 `json:"min_logprob,omitempty"`
}

// journal keeps the answers of a step at work, so that none is written twice. It
// survives the end of the process at any moment; what a power cut may take is
// the last second's.
type journal struct {
	file   *os.File
	synced time.Time
}

// openJournal opens the journal of a step and returns what is in it, by index. A
// line that a kill cut short does not count.
func openJournal(s *runtime.Step) (*journal, map[int]answer, error) {
	f, err := os.OpenFile(filepath.Join(s.Scratch(), "answers.jsonl"), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, nil, err
	}
	b, err := io.ReadAll(f)
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	done, whole := map[int]answer{}, 0
	for whole < len(b) {
		n := bytes.IndexByte(b[whole:], '\n')
		var a answer
		if n < 0 || json.Unmarshal(b[whole:whole+n], &a) != nil {
			break
		}
		done[a.Index] = a
		whole += n + 1
	}
	if err := f.Truncate(int64(whole)); err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	if _, err := f.Seek(int64(whole), io.SeekStart); err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	if len(done) > 0 {
		s.Log(fmt.Sprintf("going on after %s", plural(len(done), "answers")))
	}
	return &journal{f, time.Now()}, done, nil
}

// add writes an answer down.
func (j *journal) add(a answer) error {
	b, err := json.Marshal(a)
	if err != nil {
		return err
	}
	if _, err := j.file.Write(append(b, '\n')); err != nil { // one call: whole, or cut at its end
		return err
	}
	if time.Since(j.synced) < time.Second {
		return nil
	}
	j.synced = time.Now()
	return j.file.Sync()
}

// close ends the journal, which goes away with the step's scratch.
func (j *journal) close() error { return j.file.Close() }
