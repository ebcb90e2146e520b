package store

import "fmt"

// Past is a finished step and the run that used it last.
type Past struct {
	Step
	Run      string `json:"run"`
	Notebook string `json:"notebook"`
	Cell     int    `json:"cell"`
	Line     int    `json:"line"`
}

// Past returns the limit finished steps of a built-in that were finished last, newest
// first, less those finished at or after the step with the sequence number before; 0: none are left out.
func (s *Store) Past(name string, before int64, limit int) ([]Past, error) {
	s.settle()
	return lookup(s, func(p *Past) []any {
		var seq int64
		return append(p.dest(), &p.Run, &p.Notebook, &p.Cell, &p.Line, &seq)
	}, `SELECT s.key, s.name, s.version, s.args, s.inputs, s.kind, s.output, s.refs, s.summary, s.seconds, s.cost_usd, s.device, s.created,
		u.run, r.notebook, u.cell, u.line, max(r.seq)
		FROM step AS s JOIN run_step AS u ON u.key = s.key JOIN run AS r ON r.id = u.run
		WHERE s.name = ? AND (? = 0 OR s.seq < ?) GROUP BY s.seq ORDER BY s.seq DESC LIMIT ?`, name, before, before, limit)
}

// StepSeq returns the sequence number of a finished step.
func (s *Store) StepSeq(st Step) (seq int64, err error) {
	err = s.readers.QueryRow("SELECT seq FROM step WHERE key = ?", st.Key.String()).Scan(&seq)
	return seq, noRows(err, "step %s", st.Key.Short())
}

// LastFailure returns the use that failed last of the step that ref means: the beginning of
// a fingerprint, or the name of a built-in. Steps that were done in the end do not count.
func (s *Store) LastFailure(ref string) (Use, error) {
	s.settle()
	list, err := lookup(s, (*Use).dest, "SELECT "+useColumns+` FROM run_step AS u JOIN run AS r ON r.id = u.run
		WHERE u.failed IS NOT NULL AND (u.name = ? OR u.key >= ? AND u.key < ?) AND NOT EXISTS (SELECT 1 FROM step AS s WHERE s.key = u.key)
		ORDER BY r.seq DESC, u.seq DESC LIMIT 1`, ref, ref, ref+"g")
	if err == nil && len(list) == 0 {
		err = fmt.Errorf("store: failed step %s: %w", ref, ErrNotFound)
	}
	if err != nil {
		return Use{}, err
	}
	return list[0], nil
}

// StepUses returns where a step was used, in order of the runs.
func (s *Store) StepUses(st Step) ([]Use, error) {
	s.settle()
	return lookup(s, (*Use).dest, "SELECT "+useColumns+" FROM run_step AS u JOIN run AS r ON r.id = u.run WHERE u.key = ? ORDER BY r.seq", st.Key.String())
}
