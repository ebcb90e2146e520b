package store

import (
	"fmt"

	"starbook/runtime/cas"
)

// ForgetStep removes a step with its points and samples, so that it can be done
// again: because somebody asked for that, or because its bytes are gone. Uses
// of it stay, and name it still. The caller holds the step's lock. Forgetting a
// step that is not there removes what an unfinished one left.
func (s *Store) ForgetStep(key cas.Digest) error {
	if s.writer == nil {
		return errReadOnly
	}
	return s.writer.now(func(c *conn) error {
		for _, table := range []string{"step WHERE key", "sample WHERE step", "series WHERE step"} { // points go with their series
			if _, err := c.exec("DELETE FROM "+table+" = ?", key.String()); err != nil {
				return fmt.Errorf("store: forgetting step %s: %w", key.Short(), err)
			}
		}
		s.writer.curves.forget()
		return nil
	})
}
