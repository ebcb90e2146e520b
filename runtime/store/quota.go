package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"starbook/runtime/cas"
)

// Quota says how many bytes artifacts may take, and whose stay whatever they take.
type Quota struct {
	Max    int64 // bytes, of all blobs
	Best   bool  // keep what the best run of each notebook used, as @best has it
	Tagged bool  // keep what runs with a tag used
	Delete bool  // do it, do not just say
}

// Shrunk is what Shrink would give up or gave up.
type Shrunk struct {
	Before int64   `json:"before"` // bytes of all blobs
	After  int64   `json:"after"`
	Steps  []Given `json:"steps"` // whose artifacts went, longest unused first
}

// Given is a step whose artifact is given up.
type Given struct {
	Key     cas.Digest `json:"key"`
	Name    string     `json:"name"`
	Run     string     `json:"run"` // that used it last; "": it is what steps share
	Bytes   int64      `json:"bytes"`
	Seconds float64    `json:"seconds"` // that doing it again would take
	CostUSD float64    `json:"cost_usd"`
	blobs   []cas.Digest
}

// holder is a step that has an artifact.
type holder struct {
	Given
	output cas.Digest
	refs   []cas.Digest
	used   int64 // sequence number of the run that used it last
	kept   bool
}

// Shrink gives up artifacts, longest unused first, until all blobs take no more than
// q.Max bytes, or until only those are left that stay. Rows, points, samples and what a teacher was
// paid for stay. It is refused while a run is at work, which may be about to read what goes.
func (s *Store) Shrink(q Quota) (Shrunk, error) {
	var out Shrunk
	if q.Delete {
		if s.writer == nil {
			return out, errReadOnly
		}
		if id := s.atWork(); id != "" {
			return out, fmt.Errorf("store: run %s is at work: wait for it, or stop it", id)
		}
	}
	size := map[cas.Digest]int64{}
	err := s.Blobs.Each(func(g cas.Digest, n int64, _ time.Time) error {
		size[g] = n
		out.Before += n
		return nil
	})
	if err != nil {
		return out, err
	}
	holders, err := s.holders(q)
	if err != nil {
		return out, err
	}
	others, err := lookup(s, func(g *cas.Digest) []any { return []any{hash{g}} }, namedByRuns)
	if err != nil {
		return out, err
	}
	needed := map[cas.Digest]int{} // by so many steps and other rows
	for _, g := range others {
		needed[g]++
	}
	for _, h := range holders {
		for _, g := range h.blobs {
			needed[g]++
		}
	}
	out.After = out.Before
	for _, h := range holders {
		if out.After <= q.Max {
			break
		}
		if h.kept {
			continue
		}
		var free []cas.Digest
		for _, g := range h.blobs {
			if needed[g]--; needed[g] == 0 && size[g] > 0 {
				free = append(free, g)
				h.Bytes += size[g]
			}
		}
		out.After -= h.Bytes
		h.blobs = free
		out.Steps = append(out.Steps, h.Given)
	}
	if q.Delete {
		err = s.giveUp(out.Steps)
	}
	return out, err
}

// atWork returns a run that somebody holds, or "".
func (s *Store) atWork() string {
	list, _ := os.ReadDir(filepath.Join(s.dir, "runs")) // none: none is at work
	for _, e := range list {
		if isHeld(filepath.Join(s.dir, "runs", e.Name())) {
			return strings.TrimSuffix(e.Name(), ".lock")
		}
	}
	return ""
}

// holders returns the steps that have an artifact, longest unused first.
func (s *Store) holders(q Quota) ([]*holder, error) {
	best := []string{}
	if q.Best {
		var err error
		if best, err = s.bestRuns(); err != nil {
			return nil, err
		}
	}
	list, err := lookup(s, func(h *holder) []any {
		return []any{hash{&h.Key}, &h.Name, hash{&h.output}, decoded{&h.refs}, &h.Seconds, &h.CostUSD, words{&h.Run}, &h.used, &h.kept}
	}, `WITH stays AS (SELECT value AS id FROM json_each(?) UNION SELECT run FROM tag WHERE ?)
		SELECT s.key, s.name, s.output, s.refs, s.seconds, s.cost_usd, r.id, coalesce(max(r.seq), 0),
			EXISTS (SELECT 1 FROM run_step AS k WHERE k.key = s.key AND k.run IN (SELECT id FROM stays))
		FROM step AS s LEFT JOIN run_step AS u ON u.key = s.key LEFT JOIN run AS r ON r.id = u.run
		WHERE s.collected IS NULL GROUP BY s.key ORDER BY 8, s.seq`, encoded(best), q.Tagged)
	out := make([]*holder, len(list))
	for i := range list {
		h := &list[i]
		h.blobs = append(slices.Clone(h.refs), h.output)
		slices.SortFunc(h.blobs, func(a, b cas.Digest) int { return slices.Compare(a[:], b[:]) })
		h.blobs = slices.Compact(h.blobs)
		out[i] = h
	}
	return out, err
}

// giveUp marks the rows, then removes the bytes: a crash leaves orphans, which GC finds.
func (s *Store) giveUp(steps []Given) error {
	err := s.writer.now(func(c *conn) error {
		for _, g := range steps {
			if _, err := c.exec("UPDATE step SET collected = ? WHERE key = ?", instant(time.Now()), g.Key.String()); err != nil {
				return err
			}
		}
		return nil
	})
	for _, g := range steps {
		for _, b := range g.blobs {
			err = errors.Join(err, s.Blobs.Remove(b))
		}
	}
	return err
}
