package store

import (
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// bump makes a good store and sets the number of its schema.
func bump(t *testing.T, number int) (dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), ".starbook")
	s, err := Open(dir)
	must(t, err)
	must(t, s.BeginRun(Run{ID: "aa"}))
	must(t, s.Close())
	c, err := openForWriting(dir)
	must(t, err)
	must(t, c.script(fmt.Sprintf("PRAGMA user_version = %d", number)))
	must(t, c.close())
	return dir
}

func TestNewerSchemaIsRefused(t *testing.T) {
	dir := bump(t, 7)
	for name, open := range map[string]func(string) (*Store, error){"Open": Open, "OpenReadOnly": OpenReadOnly} {
		_, err := open(dir)
		want := fmt.Sprintf("store.db was written by a newer starbook (schema 7; this one knows %d)", version())
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	must(t, reset(dir, version()))
	s := openAt(t, dir) // refused, not changed
	if _, err := s.Run("aa"); err != nil {
		t.Error(err)
	}
}

func reset(dir string, number int) error {
	c, err := openForWriting(dir)
	if err != nil {
		return err
	}
	if err := c.script(fmt.Sprintf("PRAGMA user_version = %d", number)); err != nil {
		return err
	}
	return c.close()
}

func TestStrangersFilesAreRefused(t *testing.T) {
	for name, make := range map[string]func(path string) error{
		"another program's database": func(path string) error {
			db, err := sql.Open("sqlite3", path)
			if err != nil {
				return err
			}
			defer db.Close()
			_, err = db.Exec("CREATE TABLE t (a)")
			return err
		},
		"no database": func(path string) error {
			return os.WriteFile(path, []byte(strings.Repeat("hello ", 1000)), 0o644)
		},
	} {
		dir := t.TempDir()
		must(t, make(databasePath(dir)))
		before, err := os.ReadFile(databasePath(dir))
		must(t, err)
		if _, err := Open(dir); err == nil {
			t.Errorf("%s was opened", name)
		}
		if _, err := OpenReadOnly(dir); err == nil {
			t.Errorf("%s was opened for reading", name)
		}
		if after, err := os.ReadFile(databasePath(dir)); err != nil || string(after) != string(before) {
			t.Errorf("%s was changed", name)
		}
	}
}

func TestOlderSchemaIsMigrated(t *testing.T) {
	dir := bump(t, version())
	next := append(slices.Clone(schemas), "ALTER TABLE run ADD COLUMN mood TEXT; CREATE TABLE extra (a INTEGER) STRICT;", "INSERT INTO extra VALUES (5);")
	c, err := openForWriting(dir)
	must(t, err)
	must(t, migrate(c, dir, next))
	must(t, migrate(c, dir, next)) // a second time there is nothing to do
	var number, five int
	var mood sql.NullString
	must(t, c.get([]any{&number}, "PRAGMA user_version"))
	must(t, c.get([]any{&five}, "SELECT a FROM extra"))
	must(t, c.get([]any{&mood}, "SELECT mood FROM run WHERE id = 'aa'"))
	must(t, c.close())
	if number != version()+2 || five != 5 {
		t.Errorf("schema %d, row %d", number, five)
	}
	must(t, os.Rename(fmt.Sprintf("%s.v%d.bak", databasePath(dir), version()), databasePath(dir)))
	s := openAt(t, dir) // the copy is the store as it was
	if _, err := s.Run("aa"); err != nil {
		t.Error(err)
	}
	sound(t, s)
}

// What was asked is still there when schema 4 has moved it.
func TestRequestsSurviveMigration(t *testing.T) {
	dir := t.TempDir()
	c, err := openForWriting(dir)
	must(t, err)
	must(t, migrate(c, dir, schemas[:3]))
	for i := range 3 {
		_, err := c.exec("INSERT INTO request (key, body) VALUES (?, ?)", key(fmt.Sprint(i)).String(), fmt.Sprint("body ", i))
		must(t, err)
	}
	must(t, c.close())
	s := openAt(t, dir)
	for i := range 3 {
		if body, err := s.Request(key(fmt.Sprint(i))); err != nil || string(body) != fmt.Sprint("body ", i) {
			t.Errorf("request %d is %q, %v", i, body, err)
		}
	}
	sound(t, s)
}

func TestFailedMigrationChangesNothing(t *testing.T) {
	dir := bump(t, version())
	c, err := openForWriting(dir)
	must(t, err)
	if err := migrate(c, dir, append(slices.Clone(schemas), "CREATE TABLE extra (a); CREATE TABLE run (again)")); err == nil {
		t.Fatal("a bad migration succeeded")
	}
	must(t, c.close())
	s := openAt(t, dir)
	if _, err := s.Query(t.Context(), "SELECT * FROM extra"); err == nil {
		t.Error("half a migration stayed")
	}
}

// An older file cannot be brought up to date by those who only read.
func TestOlderSchemaReadOnly(t *testing.T) {
	if err := judge("d", applicationID, version(), 9, version()); err != nil {
		t.Error(err)
	}
	if _, err := OpenReadOnly(bump(t, 0)); err == nil {
		t.Error("a file of schema 0 was read")
	}
}

// The header says whose file it is, and the pragmas hold.
func TestFileSettings(t *testing.T) {
	s := open(t)
	for pragma, want := range map[string]string{
		"application_id": fmt.Sprint(applicationID), "user_version": fmt.Sprint(version()), "page_size": "8192",
		"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1",
	} {
		must(t, s.writer.now(func(c *conn) error {
			var got string
			err := c.get([]any{&got}, "PRAGMA "+pragma)
			if got != want {
				t.Errorf("%s is %s, want %s", pragma, got, want)
			}
			return err
		}))
	}
}

// A process that is killed while it makes the file leaves a journal, which readers may
// not roll back: here of a transaction whose first pages were in the file already.
func TestKilledWhileTheFileWasMade(t *testing.T) {
	half := t.TempDir()
	db, err := sql.Open("sqlite3", databasePath(half))
	must(t, err)
	defer db.Close()
	db.SetMaxOpenConns(1)
	for _, q := range []string{"PRAGMA cache_size = 1", "BEGIN IMMEDIATE", "CREATE TABLE run (x)", "INSERT INTO run VALUES (zeroblob(1000000))"} {
		_, err := db.Exec(q)
		must(t, err)
	}
	for name, open := range map[string]func(string) (*Store, error){"to read": OpenReadOnly, "to write": Open} {
		dir := t.TempDir()
		for _, suffix := range []string{"", "-journal"} {
			data, err := os.ReadFile(databasePath(half) + suffix)
			must(t, err)
			if len(data) == 0 {
				t.Fatalf("store.db%s is empty: that is not what is meant here", suffix)
			}
			must(t, os.WriteFile(databasePath(dir)+suffix, data, 0o644))
		}
		s, err := open(dir)
		switch {
		case name == "to write" && err != nil, name == "to read" && !errors.Is(err, ErrNotFound):
			t.Errorf("%s: %v", name, err)
		case err == nil:
			must(t, s.Close())
		}
	}
}
