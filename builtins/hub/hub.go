// Package hub fetches repositories of the Hugging Face Hub into the cache that
// huggingface_hub keeps, so that both find what the other has fetched.
package hub

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"
)

// A Hub is where repositories come from and where they are kept. Its settings
// are those of huggingface_hub's environment.
type Hub struct {
	Endpoint string // HF_ENDPOINT
	Token    string // HF_TOKEN; sent to Endpoint only
	Cache    string // HF_HUB_CACHE, or hub in HF_HOME
	Offline  bool   // HF_HUB_OFFLINE
	Client   *http.Client
}

// FromEnv returns the Hub that the environment describes.
func FromEnv(getenv func(string) string) (*Hub, error) {
	home := getenv("HF_HOME")
	if home == "" {
		cache := getenv("XDG_CACHE_HOME")
		if cache == "" {
			user, err := os.UserHomeDir()
			if err != nil {
				return nil, fmt.Errorf("hub: no place for the cache: set HF_HOME: %w", err)
			}
			cache = filepath.Join(user, ".cache")
		}
		home = filepath.Join(cache, "huggingface")
	}
	offline := strings.ToUpper(getenv("HF_HUB_OFFLINE"))
	return &Hub{
		Endpoint: strings.TrimRight(cmp.Or(getenv("HF_ENDPOINT"), "https://huggingface.co"), "/"),
		Token:    getenv("HF_TOKEN"),
		Cache:    cmp.Or(getenv("HF_HUB_CACHE"), filepath.Join(home, "hub")),
		Offline:  offline == "1" || offline == "TRUE" || offline == "YES" || offline == "ON",
		Client:   &http.Client{Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, ResponseHeaderTimeout: 30 * time.Second}},
	}, nil
}

// A Repo names a repository at a revision.
type Repo struct {
	Kind     string // "models" or "datasets"
	Name     string // "org/name"
	Revision string // a branch, a tag or a commit
}

// ParseRepo reads org/name, or org/name@revision.
func ParseRepo(kind, s string) (Repo, error) {
	name, revision, _ := strings.Cut(s, "@")
	r := Repo{kind, name, cmp.Or(revision, "main")}
	for part := range strings.SplitSeq(name+"/"+r.Revision, "/") {
		if part == "" || part == "." || part == ".." || strings.ContainsAny(part, `\?#%`) || strings.Contains(part, "--") {
			return r, fmt.Errorf("hub: %q is no org/name@revision", s)
		}
	}
	return r, nil
}

// String is the repository as ParseRepo reads it.
func (r Repo) String() string { return r.Name + "@" + r.Revision }

// folder is the repository's place in the cache.
func (h *Hub) folder(r Repo) string {
	return filepath.Join(h.Cache, r.Kind+"--"+strings.ReplaceAll(r.Name, "/", "--"))
}

// Progress is told how many bytes of a file are there.
type Progress func(file string, done, size int64)

// Snapshot returns a folder with the files of a repository that want accepts,
// fetching what the cache lacks.
func (h *Hub) Snapshot(ctx context.Context, r Repo, want func(string) bool, progress Progress) (string, error) {
	if h.Offline {
		return h.cached(r)
	}
	commit, files, err := h.list(ctx, r)
	if err != nil {
		return "", err
	}
	n := 0
	for _, f := range files {
		if !want(f) {
			continue
		}
		n++
		if err := h.file(ctx, r, commit, f, progress); err != nil {
			return "", fmt.Errorf("hub: %s: %s: %w", r, f, err)
		}
	}
	if n == 0 {
		return "", fmt.Errorf("hub: %s has none of the files that are looked for", r)
	}
	ref := filepath.Join(h.folder(r), "refs", filepath.FromSlash(r.Revision))
	if commit != r.Revision {
		if err := replace(ref, []byte(commit)); err != nil {
			return "", fmt.Errorf("hub: %w", err)
		}
	}
	return h.snapshot(r, commit), nil
}

func (h *Hub) snapshot(r Repo, commit string) string {
	return filepath.Join(h.folder(r), "snapshots", commit)
}

// cached is a snapshot that was fetched before.
func (h *Hub) cached(r Repo) (string, error) {
	commit := r.Revision
	b, err := os.ReadFile(filepath.Join(h.folder(r), "refs", filepath.FromSlash(r.Revision)))
	if err == nil {
		commit = strings.TrimSpace(string(b))
	}
	dir := h.snapshot(r, commit)
	if _, err := os.Stat(dir); err != nil || !filepath.IsLocal(commit) {
		return "", fmt.Errorf("hub: %s is not in the cache (%s), and HF_HUB_OFFLINE forbids to fetch it", r, h.Cache)
	}
	return dir, nil
}

// list asks for the commit of a revision and the names of its files.
func (h *Hub) list(ctx context.Context, r Repo) (commit string, files []string, err error) {
	res, err := h.do(ctx, http.MethodGet, h.Endpoint+"/api/"+r.Kind+"/"+r.Name+"/revision/"+url.PathEscape(r.Revision), "")
	if err != nil {
		return "", nil, fmt.Errorf("hub: %s: %w", r, err)
	}
	defer res.Body.Close()
	var answer struct {
		SHA      string
		Siblings []struct{ RFilename string }
	}
	if err := json.NewDecoder(io.LimitReader(res.Body, 64<<20)).Decode(&answer); err != nil {
		return "", nil, fmt.Errorf("hub: %s: the list of files: %w", r, err)
	}
	if !isHex(answer.SHA, 40) {
		return "", nil, fmt.Errorf("hub: %s: the list of files names no commit", r)
	}
	for _, s := range answer.Siblings {
		if name := s.RFilename; path.Clean(name) != name || !filepath.IsLocal(filepath.FromSlash(name)) {
			return "", nil, fmt.Errorf("hub: %s: the list of files holds %q", r, name)
		}
		files = append(files, s.RFilename)
	}
	return answer.SHA, files, nil
}

// do sends a request, and turns a refusal into an error that says what to do.
func (h *Hub) do(ctx context.Context, method, address, span string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, address, http.NoBody)
	if err != nil {
		return nil, err
	}
	if h.Token != "" && strings.HasPrefix(address, h.Endpoint+"/") {
		req.Header.Set("Authorization", "Bearer "+h.Token)
	}
	req.Header.Set("Accept-Encoding", "identity") // sizes and hashes are of the bytes themselves
	if span != "" {
		req.Header.Set("Range", span)
	}
	client := *h.Client
	client.CheckRedirect = func(next *http.Request, via []*http.Request) error {
		switch {
		case len(via) > 5:
			return errors.New("too many redirects")
		case next.URL.Host == via[0].URL.Host:
			return nil
		case method == http.MethodHead: // the Hub's own answer names the file; the store's does not
			return http.ErrUseLastResponse
		}
		next.Header.Del("Authorization") // net/http would keep it for subdomains, and for other ports
		return nil
	}
	res, err := client.Do(req)
	var at *url.Error
	if errors.As(err, &at) { // its address may be a signed one
		return nil, fmt.Errorf("%s: %w", req.URL.Host, at.Err)
	}
	if err != nil {
		return nil, err
	}
	if res.StatusCode < 400 {
		return res, nil
	}
	res.Body.Close()
	switch res.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden:
		return nil, fmt.Errorf("%s: access refused: set HF_TOKEN to a token of an account that may read it", res.Status)
	case http.StatusNotFound:
		return nil, errors.New("there is no such repository, revision or file, or it is private and HF_TOKEN is not set")
	}
	return nil, fmt.Errorf("the Hub answered %s", res.Status)
}

func isHex(s string, n int) bool {
	return len(s) == n && strings.Trim(s, "0123456789abcdef") == ""
}

// replace writes a small file in one go.
func replace(name string, b []byte) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(name+".new", b, 0o644); err != nil {
		return err
	}
	return os.Rename(name+".new", name)
}
