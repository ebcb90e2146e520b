package cas

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// Writer is a blob being written. It is for one goroutine.
type Writer struct {
	dir  *Dir
	file *os.File // nil once committed or aborted
	hash hash.Hash
}

var _ io.Writer = (*Writer)(nil)

// Create begins a blob whose digest is known when all is written. The caller
// ends it with Commit or Abort.
func (d *Dir) Create() (*Writer, error) {
	tmp := filepath.Join(d.path, "tmp")
	if err := os.MkdirAll(tmp, 0o755); err != nil {
		return nil, explain("create", err)
	}
	f, err := os.CreateTemp(tmp, "blob-")
	if err != nil {
		return nil, explain("create", err)
	}
	return &Writer{dir: d, file: f, hash: sha256.New()}, nil
}

// Write implements io.Writer.
func (w *Writer) Write(b []byte) (int, error) {
	if w.file == nil {
		return 0, errors.New("cas: write after the end of the blob")
	}
	n, err := w.file.Write(b)
	w.hash.Write(b[:n])
	if err != nil {
		return n, explain("write", err)
	}
	return n, nil
}

// Commit makes the blob durable and returns its digest. Bytes that are there
// already are kept once.
func (w *Writer) Commit() (Digest, error) {
	if w.file == nil {
		return Digest{}, errors.New("cas: commit after the end of the blob")
	}
	defer w.Abort()
	g := Digest(w.hash.Sum(nil))
	if w.dir.touch(g) {
		return g, nil
	}
	if err := w.file.Chmod(0o444); err != nil {
		return Digest{}, explain("commit", err)
	}
	if err := w.file.Sync(); err != nil {
		return Digest{}, explain("commit", err)
	}
	if err := w.dir.adopt(w.file.Name(), g); err != nil {
		return Digest{}, explain("commit", err)
	}
	return g, nil
}

// Abort drops the blob. After Commit it does nothing.
func (w *Writer) Abort() {
	if w.file == nil {
		return
	}
	w.file.Close()
	os.Remove(w.file.Name()) // gone if committed; else Sweep finds it
	w.file = nil
}

// touch reports whether the blob is there and, if so, makes it young, so that
// a collector leaves it alone until a row names it. The directory is synced
// because the writer that renamed the blob may not have come to that yet.
func (d *Dir) touch(g Digest) bool {
	unlock, err := d.lock(syscall.LOCK_SH)
	if err != nil {
		return false
	}
	defer unlock()
	now := time.Now()
	return os.Chtimes(d.Path(g), now, now) == nil && syncDir(filepath.Dir(d.Path(g))) == nil
}

// adopt gives a synced temporary file its name for good.
func (d *Dir) adopt(tmp string, g Digest) error {
	unlock, err := d.lock(syscall.LOCK_SH)
	if err != nil {
		return err
	}
	defer unlock()
	shard := filepath.Dir(d.Path(g))
	switch err := os.Mkdir(shard, 0o755); {
	case err == nil:
		if err := syncDir(d.path); err != nil {
			return err
		}
	case !errors.Is(err, fs.ErrExist):
		return err
	}
	if err := os.Rename(tmp, d.Path(g)); err != nil {
		return err
	}
	return syncDir(shard)
}

// syncDir makes the names in a directory durable.
func syncDir(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// explain adds what to do to errors that the user can end.
func explain(verb string, err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("cas: %s: %w: free space and run the same command again", verb, err)
	}
	return fmt.Errorf("cas: %s: %w", verb, err)
}

// Put keeps b.
func (d *Dir) Put(b []byte) (Digest, error) {
	if g := Sum(b); d.touch(g) {
		return g, nil
	}
	w, err := d.Create()
	if err != nil {
		return Digest{}, err
	}
	defer w.Abort()
	if _, err := w.Write(b); err != nil {
		return Digest{}, err
	}
	return w.Commit()
}

// PutFile keeps a copy of the file at path. The file is read once to see
// whether its bytes are there already, which saves writing a model of many GB again.
func (d *Dir) PutFile(path string) (Digest, error) {
	f, err := os.Open(path)
	if err != nil {
		return Digest{}, fmt.Errorf("cas: put: %w", err)
	}
	defer f.Close()
	g, err := sumReader(f)
	if err != nil {
		return Digest{}, fmt.Errorf("cas: put %s: %w", path, err)
	}
	if d.touch(g) {
		return g, nil
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return Digest{}, fmt.Errorf("cas: put %s: %w", path, err)
	}
	w, err := d.Create()
	if err != nil {
		return Digest{}, err
	}
	defer w.Abort()
	if _, err := io.Copy(w, f); err != nil {
		return Digest{}, fmt.Errorf("cas: put %s: %w", path, err)
	}
	return w.Commit() // the digest of what was copied, even if the file changed meanwhile
}

// sumReader returns the digest of all that r holds.
func sumReader(r io.Reader) (Digest, error) {
	h := sha256.New()
	if _, err := io.CopyBuffer(struct{ io.Writer }{h}, r, make([]byte, 1<<20)); err != nil {
		return Digest{}, err
	}
	return Digest(h.Sum(nil)), nil
}

// Sweep deletes what writers that died before the moment left behind and
// returns the number of files and their bytes.
func (d *Dir) Sweep(before time.Time) (files int, bytes int64, err error) {
	tmp := filepath.Join(d.path, "tmp")
	list, err := readDir(tmp)
	if err != nil {
		return 0, 0, err
	}
	for _, e := range list {
		fi, err := e.Info()
		if err != nil || fi.ModTime().After(before) {
			continue // finished meanwhile, or at work
		}
		if err := os.Remove(filepath.Join(tmp, e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return files, bytes, fmt.Errorf("cas: sweep: %w", err)
		}
		files, bytes = files+1, bytes+fi.Size()
	}
	return files, bytes, nil
}
