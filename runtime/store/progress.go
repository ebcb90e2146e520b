package store

import (
	"encoding/json"
	"os"
	"path/filepath"

	"starbook/runtime/cas"
)

// Progress is how far a step at work says that it is.
type Progress struct {
	Done  int64  `json:"done"`
	Total int64  `json:"total"`
	Text  string `json:"text,omitempty"` // what is counted: answers, graded
}

// progressFile lies in the step's scratch, and goes with it: what is done has no progress.
const progressFile = "progress.json"

// SetProgress notes how far a step is, for other processes to show. Whoever calls it holds
// the step's lock. It is no row and not synced: a bar that a crash takes is no loss.
func (s *Store) SetProgress(key cas.Digest, p Progress) error {
	b, err := json.Marshal(p)
	if err != nil {
		return err
	}
	path := filepath.Join(s.ScratchDir(key), progressFile)
	if err := os.WriteFile(path+".new", b, 0o644); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// Progress returns what the step said last; false if it says nothing.
func (s *Store) Progress(key cas.Digest) (p Progress, known bool) {
	b, err := os.ReadFile(filepath.Join(s.ScratchDir(key), progressFile))
	return p, err == nil && json.Unmarshal(b, &p) == nil && p.Total > 0
}
