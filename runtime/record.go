package runtime

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"starbook/runtime/cas"
)

// Limits of what is kept of a dirty work tree, in bytes.
const (
	maxDiff      = 8 << 20
	maxUntracked = 64 << 10
)

// sources are the endings of untracked files worth keeping. Data and
// configuration are not: they are large, or hold secrets.
var sources = []string{".star", ".go", ".py", ".sh", ".md"}

// environment returns what the run ran on.
func environment() map[string]string {
	env := map[string]string{
		"go": runtime.Version(), "os": runtime.GOOS, "arch": runtime.GOARCH,
		"cpus": fmt.Sprint(runtime.NumCPU()), "starbook": Revision(),
	}
	if host, err := os.Hostname(); err == nil {
		env["host"] = host
	}
	return env
}

// Revision says which source this binary was built from.
func Revision() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	rev, dirty := info.Main.Version, ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			rev = s.Value[:min(12, len(s.Value))]
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = "+changes"
		}
	}
	return rev + dirty
}

// git is a work tree as git sees it.
type git struct{ dir string }

// gitState returns the commit that dir is at and a blob of what differs from
// it. Both are empty where there is no git or no repository: a run does not
// depend on them.
func gitState(ctx context.Context, dir string, blobs *cas.Dir) (commit string, dirty cas.Digest) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	out, err := git{dir}.run(ctx, "rev-parse", "--show-toplevel", "HEAD")
	top, commit, ok := strings.Cut(strings.TrimSpace(string(out)), "\n")
	if err != nil || !ok {
		return "", cas.Digest{}
	}
	g := git{top}
	diff, err := g.run(ctx, "diff", "--no-ext-diff", "--no-textconv", "--no-color", "HEAD", "--")
	if err != nil {
		return commit, cas.Digest{}
	}
	diff = append(diff, g.untracked(ctx)...)
	if len(diff) == 0 || len(diff) > maxDiff {
		return commit, cas.Digest{}
	}
	if dirty, err = blobs.Put(diff); err != nil {
		return commit, cas.Digest{}
	}
	return commit, dirty
}

// run runs git without any program that a repository's settings could name.
func (g git) run(ctx context.Context, args ...string) ([]byte, error) {
	args = append([]string{"-C", g.dir, "-c", "core.fsmonitor=false", "-c", "core.quotePath=false"}, args...)
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Env = append(os.Environ(), "GIT_OPTIONAL_LOCKS=0", "GIT_TERMINAL_PROMPT=0")
	cmd.WaitDelay = time.Second
	var out capped
	cmd.Stdout = &out
	err := cmd.Run()
	return out.Bytes(), err
}

// capped is a buffer that refuses to hold more than maxDiff bytes.
type capped struct{ bytes.Buffer }

// Write implements io.Writer.
func (c *capped) Write(b []byte) (int, error) {
	if c.Len()+len(b) > maxDiff {
		return 0, errors.New("too much output")
	}
	return c.Buffer.Write(b)
}

// untracked returns small source files that git does not know, as a diff.
func (g git) untracked(ctx context.Context) []byte {
	out, err := g.run(ctx, "ls-files", "--others", "--exclude-standard", "-z")
	if err != nil {
		return nil
	}
	var diff bytes.Buffer
	for name := range strings.SplitSeq(string(out), "\x00") {
		if !slices.Contains(sources, path.Ext(name)) || diff.Len() > maxDiff {
			continue
		}
		file := filepath.Join(g.dir, filepath.FromSlash(name))
		info, err := os.Lstat(file)
		if err != nil || !info.Mode().IsRegular() || info.Size() > maxUntracked {
			continue
		}
		if b, err := os.ReadFile(file); err == nil && utf8.Valid(b) {
			newFile(&diff, name, string(b))
		}
	}
	return diff.Bytes()
}

// newFile writes text as a diff that "git apply" understands.
func newFile(w *bytes.Buffer, name, text string) {
	fmt.Fprintf(w, "diff --git a/%s b/%s\nnew file mode 100644\n", name, name)
	if text == "" {
		return
	}
	lines := strings.SplitAfter(text, "\n")
	if lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	fmt.Fprintf(w, "--- /dev/null\n+++ b/%s\n@@ -0,0 +1,%d @@\n", name, len(lines))
	for _, l := range lines {
		w.WriteString("+" + l)
	}
	if !strings.HasSuffix(text, "\n") {
		w.WriteString("\n\\ No newline at end of file\n")
	}
}
