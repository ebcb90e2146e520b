package store

import (
	"fmt"

	"starbook/runtime/cas"
)

// Sample is one graded answer of an evaluation.
type Sample struct {
	Index   int     `json:"index"`
	ID      string  `json:"id"`
	Parent  string  `json:"parent,omitempty"`
	Group   string  `json:"group,omitempty"`
	Prompt  string  `json:"prompt"`
	Want    string  `json:"want"`
	Answer  string  `json:"answer"`
	Outcome string  `json:"outcome"` // pass, fail, truncated, empty, unparsable, refused, unscored
	Score   float64 `json:"score"`
	Note    string  `json:"note,omitempty"` // what the grader said
	Tokens  int     `json:"tokens"`
	LogProb float64 `json:"logprob"`        // mean per token
	Leak    string  `json:"leak,omitempty"` // how the item was met in training; "": it was not
}

// PutSamples makes samples of a step durable in one transaction; one with the same
// index replaces the other.
func (s *Store) PutSamples(step cas.Digest, rows []Sample) error {
	if s.writer == nil {
		return errReadOnly
	}
	return s.writer.now(func(c *conn) error {
		for _, r := range rows {
			_, err := c.exec(`INSERT OR REPLACE INTO sample (step, idx, id, parent, grp, prompt, want, answer, outcome, score, note, tokens, logprob, leak)
				VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
				step.String(), r.Index, r.ID, text(r.Parent), text(r.Group), r.Prompt, r.Want, r.Answer, r.Outcome,
				null(r.Score), text(r.Note), r.Tokens, null(r.LogProb), text(r.Leak))
			if err != nil {
				return fmt.Errorf("store: sample %d of step %s: %w", r.Index, step.Short(), err)
			}
		}
		return nil
	})
}

// Samples returns the samples of a step by index.
func (s *Store) Samples(step cas.Digest) ([]Sample, error) {
	return lookup(s, func(r *Sample) []any {
		return []any{
			&r.Index, &r.ID,
			words{&r.Parent},
			words{&r.Group},
			&r.Prompt, &r.Want, &r.Answer, &r.Outcome,
			real{&r.Score},
			words{&r.Note},
			&r.Tokens,
			real{&r.LogProb},
			words{&r.Leak},
		}
	}, `SELECT idx, id, parent, grp, prompt, want, answer, outcome, score, note, tokens, logprob, leak
		FROM sample WHERE step = ? ORDER BY idx`, step.String())
}
