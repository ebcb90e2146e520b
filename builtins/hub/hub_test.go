package hub

import (
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
)

const commit = "0123456789abcdef0123456789abcdef01234567"

// A fake speaks the Hub's protocol: small files from itself, large ones from a
// store on another host.
type fake struct {
	hub, store *httptest.Server
	files      map[string]string // those with .safetensors are large

	mu      sync.Mutex
	cut     int // so many transfers break off in the middle
	corrupt int // so many carry a wrong byte
	gets    []string
	denied  bool
	leaked  bool // the token reached the store
}

func newFake(t *testing.T) (*fake, *Hub) {
	t.Helper()
	f := &fake{files: map[string]string{
		"config.json": `{"a": 1}`, "tokenizer.json": strings.Repeat("token ", 5000), "model.safetensors": strings.Repeat("weights\x00", 40_000),
		"sub/dir/é x.json": "deep", "pytorch_model.bin": "pickle",
	}}
	f.store = httptest.NewServer(http.HandlerFunc(f.large))
	f.hub = httptest.NewServer(http.HandlerFunc(f.serve))
	t.Cleanup(f.store.Close)
	t.Cleanup(f.hub.Close)
	return f, &Hub{Endpoint: f.hub.URL, Token: "hf_secret", Cache: t.TempDir(), Client: &http.Client{}}
}

func (f *fake) serve(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	denied := f.denied
	f.mu.Unlock()
	if denied || r.Header.Get("Authorization") != "Bearer hf_secret" {
		http.Error(w, "no", http.StatusUnauthorized)
		return
	}
	if r.URL.Path == "/api/models/org/name/revision/main" {
		type sibling struct {
			RFilename string `json:"rfilename"`
		}
		var names []sibling
		for n := range f.files {
			names = append(names, sibling{n})
		}
		json.NewEncoder(w).Encode(map[string]any{"sha": commit, "siblings": names})
		return
	}
	name, ok := strings.CutPrefix(r.URL.Path, "/org/name/resolve/"+commit+"/")
	body, there := f.files[name]
	if !ok || !there {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("X-Repo-Commit", commit)
	if strings.HasSuffix(name, ".safetensors") {
		sum := sha256.Sum256([]byte(body))
		w.Header().Set("X-Linked-Etag", `"`+hex.EncodeToString(sum[:])+`"`)
		w.Header().Set("X-Linked-Size", strconv.Itoa(len(body)))
		http.Redirect(w, r, f.store.URL+"/"+name, http.StatusFound)
		return
	}
	sum := sha1.Sum([]byte(fmt.Sprintf("blob %d\x00%s", len(body), body)))
	w.Header().Set("ETag", `W/"`+hex.EncodeToString(sum[:])+`"`)
	f.send(w, r, name, body)
}

func (f *fake) large(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	f.leaked = f.leaked || r.Header.Get("Authorization") != ""
	f.mu.Unlock()
	name := strings.TrimPrefix(r.URL.Path, "/")
	f.send(w, r, name, f.files[name])
}

// send answers with a file or a range of it, and with what is wrong today.
func (f *fake) send(w http.ResponseWriter, r *http.Request, name, body string) {
	if r.Method == http.MethodHead {
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		return
	}
	f.mu.Lock()
	f.gets = append(f.gets, name+" "+r.Header.Get("Range"))
	cut, corrupt := f.cut > 0, f.corrupt > 0
	f.cut, f.corrupt = max(0, f.cut-1), max(0, f.corrupt-1)
	f.mu.Unlock()
	from := 0
	if _, err := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &from); err == nil {
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(body)-1, len(body)))
	}
	b := []byte(body[from:])
	w.Header().Set("Content-Length", strconv.Itoa(len(b)))
	if from > 0 {
		w.WriteHeader(http.StatusPartialContent)
	}
	if corrupt {
		b[len(b)/2] ^= 1
	}
	if cut {
		w.Write(b[:len(b)/2])
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	w.Write(b)
}

func ours(name string) bool { return !strings.HasSuffix(name, ".bin") }

func snapshot(t *testing.T, h *Hub) (string, error) {
	t.Helper()
	r, err := ParseRepo("models", "org/name")
	if err != nil {
		t.Fatal(err)
	}
	return h.Snapshot(context.Background(), r, ours, func(string, int64, int64) {})
}

func (f *fake) check(t *testing.T, dir string) {
	t.Helper()
	for name, want := range f.files {
		got, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(name)))
		if ours(name) && (err != nil || string(got) != want) || !ours(name) && err == nil {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
}

func TestSnapshot(t *testing.T) {
	f, h := newFake(t)
	dir, err := snapshot(t, h)
	if err != nil {
		t.Fatal(err)
	}
	f.check(t, dir)
	if f.leaked {
		t.Error("the token went to the store")
	}
	// The layout is huggingface_hub's.
	ref, err := os.ReadFile(filepath.Join(h.Cache, "models--org--name", "refs", "main"))
	if err != nil || string(ref) != commit || dir != filepath.Join(h.Cache, "models--org--name", "snapshots", commit) {
		t.Errorf("%s %v %s", ref, err, dir)
	}
	sum := sha256.Sum256([]byte(f.files["model.safetensors"]))
	if to, err := os.Readlink(filepath.Join(dir, "model.safetensors")); err != nil || to != filepath.Join("..", "..", "blobs", hex.EncodeToString(sum[:])) {
		t.Errorf("%s %v", to, err)
	}
	// What is there is not fetched again, and found without a network.
	gets := len(f.gets)
	if _, err := snapshot(t, h); err != nil || len(f.gets) != gets {
		t.Errorf("%v, fetched %v", err, f.gets[gets:])
	}
	f.hub.Close()
	h.Offline = true
	if again, err := snapshot(t, h); err != nil || again != dir {
		t.Errorf("%s %v", again, err)
	}
	h.Cache = t.TempDir()
	if _, err := snapshot(t, h); err == nil || !strings.Contains(err.Error(), "HF_HUB_OFFLINE") {
		t.Error(err)
	}
}

func TestBrokenTransfers(t *testing.T) {
	f, h := newFake(t)
	f.cut = 3
	dir, err := snapshot(t, h)
	if err != nil {
		t.Fatal(err)
	}
	f.check(t, dir)
	if !strings.Contains(strings.Join(f.gets, "\n"), "bytes=") {
		t.Errorf("nothing was gone on from: %v", f.gets)
	}
	// When it keeps breaking, what came stays for the next time.
	h.Cache = t.TempDir()
	f.cut = 1000
	if _, err := snapshot(t, h); err == nil {
		t.Fatal("fetched from a server that always breaks off")
	}
	f.cut, f.gets = 0, nil
	if dir, err = snapshot(t, h); err != nil {
		t.Fatal(err)
	}
	f.check(t, dir)
	if !strings.Contains(strings.Join(f.gets, "\n"), "bytes=") {
		t.Errorf("nothing was gone on from: %v", f.gets)
	}
}

func TestCorruptTransfer(t *testing.T) {
	f, h := newFake(t)
	f.corrupt = 1
	if _, err := snapshot(t, h); err == nil || !strings.Contains(err.Error(), "run again") {
		t.Fatal(err)
	}
	dir, err := snapshot(t, h)
	if err != nil {
		t.Fatal(err)
	}
	f.check(t, dir)
}

func TestRefusals(t *testing.T) {
	f, h := newFake(t)
	f.denied = true
	_, err := snapshot(t, h)
	if err == nil || !strings.Contains(err.Error(), "HF_TOKEN") || strings.Contains(err.Error(), "hf_secret") {
		t.Error(err)
	}
	f.denied = false
	r, _ := ParseRepo("models", "org/none@v1")
	if _, err := h.Snapshot(context.Background(), r, ours, nil); err == nil || !strings.Contains(err.Error(), "org/none@v1: there is no such") {
		t.Error(err)
	}
	f.files["../../evil"] = "x"
	if _, err := snapshot(t, h); err == nil || !strings.Contains(err.Error(), "evil") {
		t.Error(err)
	}
	for _, bad := range []string{"", "a//b", "../x", "a/b@", "a/b@../..", "a/b?x", "a--b/c"} {
		if r, err := ParseRepo("models", bad); err == nil && bad != "a/b@" {
			t.Errorf("%q: %v", bad, r)
		}
	}
}

func TestFromEnv(t *testing.T) {
	env := map[string]string{"HF_HOME": "/h", "HF_ENDPOINT": "http://mirror/", "HF_HUB_OFFLINE": "true", "HF_TOKEN": "t"}
	h, err := FromEnv(func(k string) string { return env[k] })
	if err != nil || h.Cache != filepath.Join("/h", "hub") || h.Endpoint != "http://mirror" || !h.Offline || h.Token != "t" {
		t.Errorf("%+v %v", h, err)
	}
	env["HF_HUB_CACHE"] = "/c"
	if h, err = FromEnv(func(k string) string { return env[k] }); err != nil || h.Cache != "/c" {
		t.Errorf("%+v %v", h, err)
	}
}
