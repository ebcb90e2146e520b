// Package cas keeps immutable bytes under their SHA-256: bytes are written to
// a temporary name, synced and renamed, so that a blob is there whole or not at all.
package cas

import (
	"io"
	"os"
	"time"
)

// Digest is the SHA-256 of some bytes.
type Digest [32]byte

func Sum(b []byte) Digest                      { panic("skeleton") }
func Parse(s string) (Digest, error)           { panic("skeleton") }
func (d Digest) String() string                { panic("skeleton") } // 64 hex digits
func (d Digest) Short() string                 { panic("skeleton") } // 8 hex digits
func (d Digest) IsZero() bool                  { return d == Digest{} }
func (d Digest) MarshalText() ([]byte, error)  { panic("skeleton") }
func (d *Digest) UnmarshalText(b []byte) error { panic("skeleton") }

// Dir is a directory of blobs.
type Dir struct{}

func Open(path string) (*Dir, error)                                        { panic("skeleton") }
func (d *Dir) Create() (*Writer, error)                                     { panic("skeleton") }
func (d *Dir) Put(b []byte) (Digest, error)                                 { panic("skeleton") }
func (d *Dir) PutFile(path string) (Digest, error)                          { panic("skeleton") }
func (d *Dir) Path(Digest) string                                           { panic("skeleton") }
func (d *Dir) Open(Digest) (*os.File, error)                                { panic("skeleton") } // ErrNotFound names the digest
func (d *Dir) ReadAll(Digest) ([]byte, error)                               { panic("skeleton") }
func (d *Dir) Has(Digest) bool                                              { panic("skeleton") }
func (d *Dir) Each(f func(g Digest, size int64, mod time.Time) error) error { panic("skeleton") }
func (d *Dir) Remove(Digest) error                                          { panic("skeleton") }

// Writer is a blob being written.
type Writer struct{}

var _ io.Writer = (*Writer)(nil)

func (w *Writer) Write(b []byte) (int, error) { panic("skeleton") }
func (w *Writer) Commit() (Digest, error)     { panic("skeleton") }
func (w *Writer) Abort()                      { panic("skeleton") } // no-op after Commit

// Entry is one file of a Tree.
type Entry struct {
	Name   string `json:"name"`
	Digest Digest `json:"digest"`
	Size   int64  `json:"size"`
}

// Tree is a directory artifact: files under slash-separated names, sorted. Its
// digest is that of its canonical JSON, itself a blob.
type Tree []Entry

func (d *Dir) PutTree(t Tree) (Digest, error)  { panic("skeleton") } // sorts, checks names and that the blobs exist
func (d *Dir) ReadTree(g Digest) (Tree, error) { panic("skeleton") }
func (t Tree) Find(name string) (Entry, bool)  { panic("skeleton") }
