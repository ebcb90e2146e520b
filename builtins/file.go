package builtins

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"

	"starbook/runtime/store"
)

// resolve finds the digests of the File arguments, from the store's memo if
// the file has not been touched since.
func (h *Host) resolve(ctx context.Context, st *store.Store, spec []Arg, v reflect.Value) error {
	for _, a := range spec {
		f := v.FieldByIndex(a.field)
		if f.Type() == fileType && f.Interface().(File).Path != "" {
			file := f.Addr().Interface().(*File)
			file.Path = h.path(file.Path)
			err := file.of(a.kinds)
			if err == nil {
				err = file.resolve(ctx, st)
			}
			if err != nil {
				return fmt.Errorf("%s: %w", a.Name, err)
			}
		}
	}
	return nil
}

// of says what is wrong with a path that should be a file, or of one of the kinds file and folder.
func (f *File) of(kinds []string) error {
	info, err := os.Stat(f.Path)
	switch {
	case err != nil:
		return fileError(err)
	case info.IsDir() && !slices.Contains(kinds, "folder"):
		return fmt.Errorf("%s is a folder: name a file in it", f.Path)
	case !info.IsDir() && len(kinds) > 0 && !slices.Contains(kinds, "file"):
		return fmt.Errorf("%s is a file: name its folder", f.Path)
	}
	return nil
}

// resolve sets f.Digest: of the bytes of a file, or of the names and digests
// of all files under a directory, in the order of their names.
func (f *File) resolve(ctx context.Context, st *store.Store) error {
	info, err := os.Stat(f.Path)
	if err != nil {
		return fileError(err)
	}
	if !info.IsDir() {
		f.Digest, err = fileDigest(ctx, st, f.Path, info)
		return err
	}
	sum, n := sha256.New(), 0
	err = filepath.WalkDir(within(f.Path), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := os.Stat(path) // models are often links into a cache
		if err != nil || !info.Mode().IsRegular() {
			return err
		}
		g, err := fileDigest(ctx, st, path, info)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(f.Path, path)
		fmt.Fprintf(sum, "%s %q\n", g, filepath.ToSlash(name))
		n++
		return err
	})
	if err == nil && n == 0 {
		err = fmt.Errorf("%s: the directory is empty", f.Path)
	}
	f.Digest = digest(sum.Sum(nil))
	return err
}

// within returns a name of dir that WalkDir goes into, even if it is a link.
func within(dir string) string { return dir + string(filepath.Separator) }

func fileDigest(ctx context.Context, st *store.Store, path string, info fs.FileInfo) (digest, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return digest{}, err
	}
	if g, ok, err := st.FileDigest(abs, info.Size(), info.ModTime()); ok || err != nil {
		return g, err
	}
	f, err := os.Open(path)
	if err != nil {
		return digest{}, fileError(err)
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, reader{ctx, f}); err != nil {
		return digest{}, fmt.Errorf("%s: %w", path, err)
	}
	g := digest(sum.Sum(nil))
	return g, st.PutFileDigest(abs, info.Size(), info.ModTime(), g)
}

// Open opens f for reading. The reader's Close reports if the bytes read are
// not those that were fingerprinted; all of them must have been read.
func (f File) Open() (io.ReadCloser, error) {
	file, err := os.Open(f.Path)
	if err != nil {
		return nil, fileError(err)
	}
	sum := sha256.New()
	return &checked{io.TeeReader(file, sum), func() error {
		if err := file.Close(); err != nil {
			return err
		}
		if digest(sum.Sum(nil)) != f.Digest {
			return fmt.Errorf("%s changed while it was read: run again", f.Path)
		}
		return nil
	}}, nil
}

type checked struct {
	io.Reader
	close func() error
}

// Close implements io.Closer.
func (c *checked) Close() error { return c.close() }

// reader stops reading when ctx ends.
type reader struct {
	ctx context.Context
	r   io.Reader
}

// Read implements io.Reader.
func (r reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}

// fileError says "no such file" without the name of a system call.
func fileError(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return fmt.Errorf("%s: %w", pe.Path, pe.Err)
	}
	return err
}
