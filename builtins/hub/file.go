package hub

import (
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// file puts a file of a commit into its snapshot.
func (h *Hub) file(ctx context.Context, r Repo, commit, name string, progress Progress) error {
	link := filepath.Join(h.snapshot(r, commit), filepath.FromSlash(name))
	if _, err := os.Stat(link); err == nil {
		return nil // a commit does not change
	}
	address := h.Endpoint + "/" + prefix(r.Kind) + r.Name + "/resolve/" + commit + "/" + (&url.URL{Path: name}).EscapedPath()
	b, err := h.head(ctx, address)
	if err != nil {
		return err
	}
	blob := filepath.Join(h.folder(r), "blobs", b.etag)
	if _, err := os.Stat(blob); err != nil {
		if err := h.fetch(ctx, address, blob, b, func(done int64) { progress(name, done, b.size) }); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(filepath.Dir(link), 0o755); err != nil {
		return err
	}
	to, err := filepath.Rel(filepath.Dir(link), blob)
	if err != nil {
		return err
	}
	if err := os.Symlink(to, link); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return nil
}

// prefix is what the addresses of files begin with.
func prefix(kind string) string {
	if kind == "models" {
		return ""
	}
	return kind + "/"
}

// A blob is what the Hub says of a file: its ETag is the SHA-256 of a large
// file, and git's hash of a small one.
type blob struct {
	etag string
	size int64
}

func (h *Hub) head(ctx context.Context, address string) (blob, error) {
	res, err := h.do(ctx, http.MethodHead, address, "")
	if err != nil {
		return blob{}, err
	}
	defer res.Body.Close()
	etag, size := res.Header.Get("X-Linked-Etag"), res.Header.Get("X-Linked-Size")
	if etag == "" {
		etag = res.Header.Get("ETag")
	}
	if size == "" {
		size = res.Header.Get("Content-Length")
	}
	b := blob{etag: strings.Trim(strings.TrimPrefix(etag, "W/"), `"`)}
	if b.size, err = strconv.ParseInt(size, 10, 64); err != nil || b.size < 0 {
		return blob{}, fmt.Errorf("the Hub names no size: %q", size)
	}
	if !isHex(b.etag, 64) && !isHex(b.etag, 40) {
		return blob{}, fmt.Errorf("the Hub names no hash: the ETag is %q", etag)
	}
	return b, nil
}

// hasher computes what the ETag of a file is.
func (b blob) hasher() hash.Hash {
	if len(b.etag) == 64 {
		return sha256.New()
	}
	h := sha1.New()
	fmt.Fprintf(h, "blob %d\x00", b.size)
	return h
}

// attempts bounds how often a transfer that broke off is taken up again.
const attempts = 5

// fetch downloads a blob. What a broken transfer left is gone on from, in this
// call or in a later one.
func (h *Hub) fetch(ctx context.Context, address, to string, b blob, progress func(int64)) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	part, err := os.OpenFile(to+".incomplete", os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	defer part.Close()
	if err := syscall.Flock(int(part.Fd()), syscall.LOCK_EX); err != nil { // another process may be at it
		return err
	}
	if _, err := os.Stat(to); err == nil {
		return nil // it has finished
	}
	for try := 1; ; try++ {
		err := h.goOn(ctx, address, part, b, progress)
		if err == nil {
			break
		}
		if try == attempts || ctx.Err() != nil {
			return err
		}
	}
	if err := b.verify(part); err != nil {
		return errors.Join(err, os.Remove(part.Name()))
	}
	if err := part.Sync(); err != nil {
		return err
	}
	return os.Rename(part.Name(), to)
}

// goOn asks for the bytes that are missing.
func (h *Hub) goOn(ctx context.Context, address string, part *os.File, b blob, progress func(int64)) error {
	have, err := part.Seek(0, io.SeekEnd)
	if err != nil || have == b.size {
		return err
	}
	span := ""
	if have > 0 && have < b.size {
		span = fmt.Sprintf("bytes=%d-", have)
	}
	res, err := h.do(ctx, http.MethodGet, address, span)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusPartialContent || span == "" { // all of it
		if have, err = 0, part.Truncate(0); err != nil {
			return err
		}
		if _, err := part.Seek(0, io.SeekStart); err != nil {
			return err
		}
	}
	got, err := io.Copy(part, io.LimitReader(&counted{res.Body, have, progress}, b.size-have+1))
	if err == nil && have+got != b.size {
		err = fmt.Errorf("the transfer ended after %d of %d bytes", have+got, b.size)
	}
	return err
}

// verify compares a file with its hash.
func (b blob) verify(f *os.File) error {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	sum := b.hasher()
	if _, err := io.Copy(sum, f); err != nil {
		return err
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != b.etag {
		return fmt.Errorf("the bytes that came have the hash %s, not %s: run again to fetch them anew", got, b.etag)
	}
	return nil
}

// counted tells how many bytes were read, since the beginning of the file.
type counted struct {
	io.Reader
	done     int64
	progress func(int64)
}

// Read implements io.Reader.
func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.done += int64(n)
	c.progress(c.done)
	return n, err
}
