package store

import (
	"database/sql"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/mattn/go-sqlite3"
)

// applicationID stands in the header of the file, so that file(1) and we can tell
// a store from other SQLite files: "STBK".
const applicationID = 0x5354424b

//go:embed schema.sql
var schema1 string

//go:embed schema2.sql
var schema2 string

//go:embed schema3.sql
var schema3 string

//go:embed schema4.sql
var schema4 string

// schemas bring the file from version i to i+1. They are only ever added to, and
// take no column away.
var schemas = []string{schema1, schema2, schema3, schema4}

// version is the schema that this program reads and writes.
func version() int { return len(schemas) }

// migrate brings the file to version len(steps) in one transaction, after keeping a
// copy of an older one beside it. The caller holds the lock of the directory.
func migrate(c *conn, dir string, steps []string) error {
	have, err := readVersion(c, dir, len(steps))
	if err != nil || have == len(steps) {
		return err
	}
	if have > 0 {
		if err := backup(c, fmt.Sprintf("%s.v%d.bak", databasePath(dir), have)); err != nil {
			return explain(dir, err)
		}
	}
	if err := c.script("BEGIN EXCLUSIVE"); err != nil {
		return explain(dir, err)
	}
	for _, step := range steps[have:] {
		if err := c.script(step); err != nil {
			c.rollback()
			return fmt.Errorf("store: migrating %s to schema %d: %w", databasePath(dir), len(steps), err)
		}
	}
	end := fmt.Sprintf("PRAGMA application_id = %d; PRAGMA user_version = %d; COMMIT", applicationID, len(steps))
	if err := c.script(end); err != nil {
		c.rollback()
		return explain(dir, err)
	}
	return nil
}

// backup writes a whole, compact copy of the file, also while others write to it.
func backup(c *conn, path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err // a half copy of a migration that was killed is replaced
	}
	_, err := c.exec("VACUUM INTO ?", path)
	return err
}

// readVersion returns the schema of the file, 0 if it is new. It judges again, under
// the lock.
func readVersion(c *conn, dir string, known int) (int, error) {
	var app, have, tables int
	for _, q := range []struct {
		dest  *int
		query string
	}{
		{&app, "PRAGMA application_id"},
		{&have, "PRAGMA user_version"},
		{&tables, "SELECT count(*) FROM sqlite_schema"},
	} {
		if err := c.get([]any{q.dest}, q.query); err != nil {
			return 0, explain(dir, err)
		}
	}
	return have, judge(dir, app, have, tables, known)
}

// judge refuses files that are not ours to write.
func judge(dir string, app, have, tables, known int) error {
	path := databasePath(dir)
	switch {
	case app != applicationID && (app != 0 || tables > 0):
		return fmt.Errorf("store: %s is an SQLite file, but not of starbook: choose another directory", path)
	case have > known:
		return fmt.Errorf("store: %s was written by a newer starbook (schema %d; this one knows %d): update starbook, or choose another directory", path, have, known)
	}
	return nil
}

// inspect looks at a file that exists and returns its schema, after refusing
// strangers' files and newer ones. All that it may change is what a process left
// half done that was killed while it made the file.
func inspect(db *sql.DB, dir string) (have int, err error) {
	var app, tables int
	look := func() error {
		return db.QueryRow("SELECT a.application_id, v.user_version, (SELECT count(*) FROM sqlite_schema) FROM pragma_application_id AS a, pragma_user_version AS v").
			Scan(&app, &have, &tables)
	}
	err = look()
	var e sqlite3.Error
	if errors.As(err, &e) && e.ExtendedCode == sqlite3.ErrReadonlyRollback {
		if err = rollBack(dir); err == nil {
			err = look()
		}
	}
	if err != nil {
		return 0, explain(dir, err)
	}
	return have, judge(dir, app, have, tables, version())
}

// rollBack undoes the transaction of a dead process that has a journal beside the file,
// which needs the right to write.
func rollBack(dir string) error {
	c, err := newConnector(dir, "mode=rw", nil, registerFunctions)
	if err != nil {
		return err
	}
	db := sql.OpenDB(c)
	defer db.Close()
	var tables int
	return db.QueryRow("SELECT count(*) FROM sqlite_schema").Scan(&tables)
}

// checkReadable is inspect for those who cannot migrate.
func checkReadable(db *sql.DB, dir string) error {
	have, err := inspect(db, dir)
	switch {
	case err != nil:
		return err
	case have == 0: // who made it was killed
		return fmt.Errorf("store: the store in %s is empty: %w: run a notebook first", dir, ErrNotFound)
	case have < version():
		return fmt.Errorf("store: %s was written by an older starbook (schema %d; this one reads %d): run a notebook once to bring it up to date", databasePath(dir), have, version())
	}
	return nil
}
