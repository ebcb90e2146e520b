package store

import (
	"fmt"
	"regexp"
	"time"
)

// Note is what a person wrote about a run.
type Note struct {
	Created time.Time `json:"created"`
	Text    string    `json:"text"`
}

// tagName is what a tag may look like: @latest and @best mean something else already.
var tagName = regexp.MustCompile(`^[\pL\pN][\pL\pN._-]{0,63}$`)

// checkTag says what is wrong with the name of a tag.
func checkTag(name string) error {
	if !tagName.MatchString(name) || name == "latest" || name == "best" {
		return fmt.Errorf("tag %q: want a word of letters, digits, - _ and ., other than latest and best", name)
	}
	return nil
}

// Tag gives a run a word by which it is found, as @name; it may have it already.
func (s *Store) Tag(run, name string) error {
	if err := checkTag(name); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	return s.say("INSERT INTO tag (run, name, created) VALUES (?, ?, ?) ON CONFLICT DO NOTHING", run, name, instant(time.Now()))
}

// Untag takes the word away; it may be gone already.
func (s *Store) Untag(run, name string) error {
	return s.say("DELETE FROM tag WHERE run = ? AND name = ?", run, name)
}

// AddNote keeps a text about a run.
func (s *Store) AddNote(run, text string) error {
	return s.say("INSERT INTO note (run, created, text) VALUES (?, ?, ?)", run, instant(time.Now()), text)
}

func (s *Store) say(query string, args ...any) error {
	if s.writer == nil {
		return errReadOnly
	}
	return s.writer.now(func(c *conn) error {
		_, err := c.exec(query, args...)
		return err
	})
}

// Notes returns what was written about a run, in order.
func (s *Store) Notes(run string) ([]Note, error) {
	return lookup(s, func(n *Note) []any { return []any{moment{&n.Created}, &n.Text} },
		"SELECT created, text FROM note WHERE run = ? ORDER BY created, text", run)
}
