package store

import (
	"errors"
	"fmt"
	"strings"
	"syscall"

	"github.com/mattn/go-sqlite3"
)

// explain puts what SQLite says into words that tell what to do.
func explain(dir string, err error) error {
	path := databasePath(dir)
	var e sqlite3.Error
	if !errors.As(err, &e) {
		if strings.HasPrefix(err.Error(), "store: ") {
			return err // in our words already
		}
		return fmt.Errorf("store: %w", err)
	}
	switch {
	case isFull(e):
		return fmt.Errorf("store: no space left on the disk of %s: free space and run the same command again: %w", path, err)
	case e.Code == sqlite3.ErrBusy || e.Code == sqlite3.ErrLocked:
		return fmt.Errorf("store: another program has kept %s locked for %d s: end its transaction (an open sqlite3 shell?) and run the same command again: %w", path, busyTimeout/1000, err)
	case e.Code == sqlite3.ErrCorrupt || e.Code == sqlite3.ErrNotADB:
		return fmt.Errorf("store: %s is damaged: move it away and restore a copy, or begin anew: %w", path, err)
	case e.Code == sqlite3.ErrReadonly || e.Code == sqlite3.ErrPerm || e.Code == sqlite3.ErrCantOpen:
		return fmt.Errorf("store: %s cannot be opened or written: look at its permissions: %w", path, err)
	}
	return fmt.Errorf("store: %s: %w", path, err)
}

// isFull knows the ways in which a disk, a quota or a limit on file size is full.
func isFull(e sqlite3.Error) bool {
	switch e.SystemErrno {
	case syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG:
		return true
	}
	return e.Code == sqlite3.ErrFull
}

// spoilsGroup reports whether err is about the file and not about one request, so that
// the whole transaction is lost.
func spoilsGroup(err error) bool {
	var e sqlite3.Error
	if !errors.As(err, &e) {
		return false
	}
	switch e.Code {
	case sqlite3.ErrFull, sqlite3.ErrIoErr, sqlite3.ErrNomem, sqlite3.ErrCorrupt, sqlite3.ErrNotADB,
		sqlite3.ErrBusy, sqlite3.ErrReadonly, sqlite3.ErrCantOpen, sqlite3.ErrProtocol, sqlite3.ErrInterrupt:
		return true
	}
	return isFull(e)
}
