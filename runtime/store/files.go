package store

import (
	"database/sql"
	"errors"
	"time"

	"starbook/runtime/cas"
)

// settled is how old a file must be before its time of modification tells its states
// apart: clocks of file systems are coarse, some tick every 2 s.
const settled = 2 * time.Second

// FileDigest answers from the memo if path has this size and modification time. The
// blob need not be there any more.
func (s *Store) FileDigest(path string, size int64, mod time.Time) (cas.Digest, bool, error) {
	var g cas.Digest
	err := s.readers.QueryRow("SELECT digest FROM file WHERE path = ? AND size = ? AND mtime = ?", path, size, instant(mod)).Scan(hash{&g})
	if errors.Is(err, sql.ErrNoRows) {
		return cas.Digest{}, false, nil
	}
	if err != nil {
		return cas.Digest{}, false, explain(s.dir, err)
	}
	return g, true, nil
}

// PutFileDigest notes the digest of a file. A file modified less than two
// seconds ago is not noted: a change right after would not show in its time.
// Nor does a store note anything that is open for reading only: it is a memo.
func (s *Store) PutFileDigest(path string, size int64, mod time.Time, g cas.Digest) error {
	if s.writer == nil || time.Since(mod) < settled {
		return nil
	}
	return s.writer.now(func(c *conn) error {
		_, err := c.exec("INSERT OR REPLACE INTO file (path, size, mtime, digest) VALUES (?, ?, ?, ?)", path, size, instant(mod), g.String())
		return err
	})
}
