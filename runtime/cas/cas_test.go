package cas

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

func open(t *testing.T) *Dir {
	t.Helper()
	d, err := Open(filepath.Join(t.TempDir(), "blobs"))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func put(t *testing.T, d *Dir, s string) Digest {
	t.Helper()
	g, err := d.Put([]byte(s))
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestDigestText(t *testing.T) {
	// FIPS 180-2, appendix B.1.
	const abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
	d := Sum([]byte("abc"))
	if d.String() != abc || d.Short() != abc[:8] {
		t.Fatalf("got %s and %s", d, d.Short())
	}
	b, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	var back Digest
	if err := json.Unmarshal(b, &back); err != nil || back != d {
		t.Fatalf("through JSON: %v, %v", back, err)
	}
	for _, bad := range []string{"", "abc", abc[:63], abc + "0", "g" + abc[1:]} {
		if _, err := Parse(bad); err == nil {
			t.Errorf("Parse(%q) succeeded", bad)
		}
	}
}

func TestPutReadRemove(t *testing.T) {
	d := open(t)
	for _, s := range []string{"", "hello", strings.Repeat("x", 1<<20)} {
		g := put(t, d, s)
		if g != Sum([]byte(s)) {
			t.Fatalf("Put of %d bytes named them %s", len(s), g)
		}
		if again := put(t, d, s); again != g {
			t.Fatalf("a second Put named them %s", again)
		}
		b, err := d.ReadAll(g)
		if err != nil || string(b) != s {
			t.Fatalf("ReadAll: %d bytes, %v", len(b), err)
		}
	}
	n := 0
	if err := d.Each(func(Digest, int64, time.Time) error { n++; return nil }); err != nil || n != 3 {
		t.Fatalf("Each saw %d blobs, %v", n, err)
	}
	left, err := os.ReadDir(filepath.Join(d.path, "tmp"))
	if err != nil || len(left) != 0 {
		t.Fatalf("left in tmp: %v, %v", left, err)
	}
	g := Sum([]byte("hello"))
	if err := d.Remove(g); err != nil {
		t.Fatal(err)
	}
	_, err = d.ReadAll(g)
	if !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), g.String()) {
		t.Fatalf("after Remove: %v", err)
	}
	if d.Has(g) {
		t.Fatal("Has after Remove")
	}
}

func TestAbortLeavesNothing(t *testing.T) {
	d := open(t)
	w, err := d.Create()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("half")); err != nil {
		t.Fatal(err)
	}
	w.Abort()
	w.Abort()
	if _, err := w.Commit(); err == nil {
		t.Fatal("Commit after Abort succeeded")
	}
	if d.Has(Sum([]byte("half"))) {
		t.Fatal("an aborted blob is there")
	}
}

func TestDamageIsFound(t *testing.T) {
	d := open(t)
	g := put(t, d, "right")
	if err := os.Chmod(d.Path(g), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(d.Path(g), []byte("wrong"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := d.ReadAll(g); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Fatalf("ReadAll: %v", err)
	}
	if err := d.Verify(g); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Fatalf("Verify: %v", err)
	}
}

func TestPutFile(t *testing.T) {
	d := open(t)
	path := filepath.Join(t.TempDir(), "data")
	want := bytes.Repeat([]byte("abcdefg"), 300_000)
	if err := os.WriteFile(path, want, 0o644); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		g, err := d.PutFile(path)
		if err != nil || g != Sum(want) {
			t.Fatalf("PutFile: %s, %v", g, err)
		}
	}
	if _, err := d.PutFile(path + ".none"); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("PutFile of nothing: %v", err)
	}
}

// Many writers of the same few blobs and a collector that thinks all of them
// old: whatever a writer has just put must be there.
func TestPutBesideRemoveUnused(t *testing.T) {
	d := open(t)
	old := time.Now().Add(-48 * time.Hour)
	texts := []string{"a", "b", "c"}
	for _, s := range texts {
		if err := os.Chtimes(d.Path(put(t, d, s)), old, old); err != nil {
			t.Fatal(err)
		}
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range 30 {
				g, err := d.Put([]byte(texts[i%len(texts)]))
				if err != nil || !d.Has(g) {
					t.Errorf("a blob just put: there %v, %v", d.Has(g), err)
				}
			}
		})
	}
	wg.Go(func() {
		for i := range 100 {
			if _, err := d.RemoveUnused(Sum([]byte(texts[i%len(texts)])), old.Add(time.Hour)); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Wait()
}

func TestRemoveUnusedAndSweep(t *testing.T) {
	d := open(t)
	g := put(t, d, "x")
	if gone, err := d.RemoveUnused(g, time.Now().Add(-time.Hour)); gone || err != nil {
		t.Fatalf("a young blob: %v, %v", gone, err)
	}
	if gone, err := d.RemoveUnused(g, time.Now().Add(time.Hour)); !gone || err != nil {
		t.Fatalf("an old blob: %v, %v", gone, err)
	}
	if gone, err := d.RemoveUnused(g, time.Now().Add(time.Hour)); gone || err != nil {
		t.Fatalf("a blob that is gone: %v, %v", gone, err)
	}
	w, err := d.Create()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	if _, err := w.Write([]byte("12345")); err != nil {
		t.Fatal(err)
	}
	if n, size, err := d.Sweep(time.Now().Add(time.Hour)); n != 1 || size != 5 || err != nil {
		t.Fatalf("Sweep: %d files, %d bytes, %v", n, size, err)
	}
}

func TestTree(t *testing.T) {
	d := open(t)
	a, b := put(t, d, "a"), put(t, d, "bb")
	g, err := d.PutTree(Tree{{"w/b.bin", b, 2}, {"a.json", a, 1}})
	if err != nil {
		t.Fatal(err)
	}
	same, err := d.PutTree(Tree{{"a.json", a, 1}, {"w/b.bin", b, 2}})
	if err != nil || same != g {
		t.Fatalf("another order gave another digest: %v", err)
	}
	tree, err := d.ReadTree(g)
	if err != nil || len(tree) != 2 || tree[0].Name != "a.json" {
		t.Fatalf("ReadTree: %v, %v", tree, err)
	}
	if e, ok := tree.Find("w/b.bin"); !ok || e.Digest != b {
		t.Fatalf("Find: %v %v", e, ok)
	}
	if _, ok := tree.Find("w"); ok {
		t.Fatal("Find of a directory succeeded")
	}
}

func TestTreeRefuses(t *testing.T) {
	d := open(t)
	a := put(t, d, "a")
	for name, tree := range map[string]Tree{
		"parent":    {{"../a", a, 1}},
		"absolute":  {{"/a", a, 1}},
		"empty":     {{"", a, 1}},
		"dot":       {{".", a, 1}},
		"backslash": {{`..\a`, a, 1}},
		"twice":     {{"a", a, 1}, {"a", a, 1}},
		"file/dir":  {{"a", a, 1}, {"a.b", a, 1}, {"a/b", a, 1}},
		"size":      {{"a", a, 2}},
		"no blob":   {{"a", Sum([]byte("none")), 4}},
	} {
		if _, err := d.PutTree(tree); err == nil {
			t.Errorf("%s: PutTree succeeded", name)
		}
	}
	for name, text := range map[string]string{
		"escape": `[{"name":"../../etc/passwd","digest":"` + a.String() + `","size":1}]`,
		"prose":  "hello",
	} {
		if _, err := d.ReadTree(put(t, d, text)); err == nil {
			t.Errorf("%s: ReadTree succeeded", name)
		}
	}
}
