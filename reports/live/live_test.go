package live

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"starbook/runtime/cas"
	"starbook/runtime/event"
	"starbook/runtime/store"
)

// childEnv names a store's folder for the process that writes to it: this test binary.
// With hugeEnv set it writes ten megabytes of what a model might say, too.
const (
	childEnv = "STARBOOK_LIVE_CHILD"
	hugeEnv  = "STARBOOK_LIVE_HUGE"
)

func TestMain(m *testing.M) {
	dir := os.Getenv(childEnv)
	if dir == "" {
		os.Exit(m.Run())
	}
	if err := write(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// hostile is what a model might say.
const hostile = `<script>document.title="pwned"</script></template><svg onload="alert(1)"><img src=x onerror=alert(1)>`

// write is a run in another process: it trains for ever, one point for each line on its
// standard input, until it is asked to stop or killed.
func write(dir string) error {
	st, err := store.Open(dir)
	if err != nil {
		return err
	}
	source, err := st.Blobs.Put([]byte("# %% [markdown]\n# # Watched\n# %% Train\na = lora.train(base, data)\n"))
	if err != nil {
		return err
	}
	for id, sweep := range map[string]string{"0dead000": "", "feed0001": "5eeb0001"} {
		err := st.BeginRun(store.Run{
			ID: id, Notebook: "nb.star", Source: source, Started: time.Now(), Sweep: sweep, Trial: len(sweep) / 8,
			Params: []byte(`{"lr": {"value": 0.001, "default": 0.001}}`),
		})
		if err != nil {
			return err
		}
	}
	if err := st.EndRun("0dead000", store.Failed, 1, hostile); err != nil {
		return err
	}
	if err := st.Tag("0dead000", "paper"); err != nil {
		return err
	}
	key := cas.Sum([]byte("training"))
	st.Emit(event.Event{Run: "feed0001", Step: key.String(), Time: time.Now(), Kind: event.StepStart, Name: "lora.train", Cell: 2, Line: 4})
	st.Emit(event.Event{Run: "feed0001", Time: time.Now(), Kind: event.Print, Cell: 2, Line: 4, Text: hostile})
	if err := answers(st); err != nil {
		return err
	}
	if err := st.Flush(context.Background()); err != nil {
		return err
	}
	fmt.Println("begun")
	lines := bufio.NewScanner(os.Stdin)
	for x := int64(1); lines.Scan(); x++ {
		st.Point(key, "train/loss", x, 1/float64(x))
		if err := st.Flush(context.Background()); err != nil {
			return err
		}
		if st.StopRequested("feed0001") {
			return st.EndRun("feed0001", store.Interrupted, 3, "interrupted")
		}
	}
	return nil
}

// answers puts an evaluation of hostile answers.
func answers(st *store.Store) error {
	text := hostile
	if os.Getenv(hugeEnv) != "" {
		text = strings.Repeat(hostile, 10<<20/len(hostile))
		st.Emit(event.Event{Run: "feed0001", Time: time.Now(), Kind: event.Print, Cell: 2, Line: 4, Text: text})
		st.Emit(event.Event{Run: "feed0001", Time: time.Now(), Kind: event.Note, Cell: 2, Line: 4, Text: "# Note\n\n" + hostile + "\n\n[link](javascript:alert(1))"})
	}
	key := cas.Sum([]byte("answers"))
	rows := []store.Sample{
		{Index: 0, ID: hostile, Prompt: text, Want: text, Answer: text, Outcome: "fail", Note: hostile, Group: hostile},
		{Index: 1, ID: "b", Prompt: hostile, Want: "x", Answer: "x", Outcome: "pass"},
	}
	if err := st.PutSamples(key, rows); err != nil {
		return err
	}
	out, err := st.Blobs.Put([]byte("scores"))
	if err != nil {
		return err
	}
	err = st.PutStep(store.Step{Key: key, Name: "eval.run", Kind: "scores", Output: out, Summary: []byte(`{"n": 2, "passed": 1, "model": "</template><b>m"}`)})
	if err != nil {
		return err
	}
	return st.PutUse(store.Use{Run: "feed0001", Seq: 1, Key: key, Name: "eval.run", Cell: 2, Line: 4})
}

// lab is a server of a store that another process writes to.
type lab struct {
	t     *testing.T
	st    *store.Store
	url   string
	feed  io.WriteCloser // a line makes a point
	child *exec.Cmd
}

func newLab(t *testing.T, token string) *lab {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "store")
	l := &lab{t: t, child: exec.Command(os.Args[0])}
	l.child.Env = append(os.Environ(), childEnv+"="+dir)
	l.child.Stderr = os.Stderr
	out, err := l.child.StdoutPipe()
	l.ok(err)
	l.feed, err = l.child.StdinPipe()
	l.ok(err)
	l.ok(l.child.Start())
	t.Cleanup(func() {
		_ = l.child.Process.Kill() // some tests have done so
		_ = l.child.Wait()
	})
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "begun\n" {
		t.Fatalf("the other process said %q, %v", line, err)
	}
	st, err := store.OpenReadOnly(dir)
	l.ok(err)
	l.st = st
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	l.ok(err)
	l.url = "http://" + listener.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- (&Server{Store: st, Token: token, Hosts: []string{"box"}}).Serve(ctx, listener) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
		l.ok(st.Close())
	})
	return l
}

func (l *lab) ok(err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
}

// do sends a request; header holds pairs.
func (l *lab) do(client *http.Client, method, path string, header ...string) (*http.Response, string) {
	l.t.Helper()
	r, err := http.NewRequest(method, l.url+path, nil)
	l.ok(err)
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Host" {
			r.Host = header[i+1]
			continue
		}
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := client.Do(r)
	l.ok(err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	l.ok(err)
	return resp, string(b)
}

func (l *lab) get(path string, header ...string) (*http.Response, string) {
	l.t.Helper()
	return l.do(http.DefaultClient, "GET", path, header...)
}

func TestPages(t *testing.T) {
	l := newLab(t, "")
	for path, want := range map[string]string{
		"/":                                  `href="/runs/feed0001"`,
		"/?q=status+%3D%3D+%22failed%22":     `<code>0dead000</code>`,
		"/?q=tag+%3D%3D+%22paper%22":         `<code>0dead000</code></a> <span class="soft">paper</span>`,
		"/?q=lr+%3D+1":                       `column 4: = is no comparison: write ==`,
		"/?q=lrr+%3E+1":                      `no run has “lrr”`,
		"/runs/feed":                         `at work`,
		"/runs/@latest":                      `<title>Watched</title>`,
		"/runs/feed0001/log":                 `step.start`,
		"/compare?run=feed0001&run=0dead000": `Leader board`,
		"/sweeps/5eeb0001":                   `action="/runs/feed0001/stop"`,
	} {
		resp, body := l.get(path)
		if resp.StatusCode != 200 || !strings.Contains(body, want) {
			t.Errorf("GET %s: %s, without %q", path, resp.Status, want)
		}
		if csp := resp.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") {
			t.Errorf("GET %s: policy %q", path, csp)
		}
		if strings.Contains(body, "<script>") || strings.Contains(body, "<img") || regexp.MustCompile(`(?i) (on\w+|style)=["']`).MatchString(regexp.MustCompile(`>[^<]*<`).ReplaceAllString(body, "><")) {
			t.Errorf("GET %s: something on it could act", path)
		}
	}
	for path, want := range map[string]int{"/runs/beef": 404, "/runs/..%2f..": 404, "/sweeps/beef": 404, "/compare?run=feed0001": 400, "/nowhere": 404, "/runs/feed0001/stop": 405} {
		if resp, _ := l.get(path); resp.StatusCode != want {
			t.Errorf("GET %s: %s, want %d", path, resp.Status, want)
		}
	}
}

func TestUnchangedIsNotSentAgain(t *testing.T) {
	l := newLab(t, "")
	first, _ := l.get("/runs/feed0001")
	again, body := l.get("/runs/feed0001", "If-None-Match", first.Header.Get("ETag"))
	if again.StatusCode != http.StatusNotModified || body != "" {
		t.Errorf("%s with %d bytes", again.Status, len(body))
	}
}

// TestFollows: a point in another process is told, and is on the page; the death of that
// process is told too.
func TestFollows(t *testing.T) {
	l := newLab(t, "")
	resp, err := http.Get(l.url + "/changes")
	l.ok(err)
	defer resp.Body.Close()
	told := make(chan string, 100)
	go func() {
		lines := bufio.NewScanner(resp.Body)
		for lines.Scan() {
			if strings.HasPrefix(lines.Text(), "data:") {
				told <- lines.Text()
			}
		}
		close(told)
	}()
	until := func(what string, holds func(page string) bool) {
		t.Helper()
		timeout := time.After(20 * time.Second)
		for {
			select {
			case _, ok := <-told:
				if !ok {
					t.Fatal("the stream has ended")
				}
			case <-timeout:
				t.Fatalf("no change says %s", what)
			}
			if _, page := l.get("/runs/feed0001"); holds(page) {
				return
			}
		}
	}
	for range 3 {
		_, err := l.feed.Write([]byte("\n"))
		l.ok(err)
	}
	until("update 3", func(page string) bool { return strings.Contains(page, "At update 3: train loss 0.3333") })
	l.ok(l.child.Process.Kill())
	until("interrupted", func(page string) bool {
		return strings.Contains(page, `class="status interrupted"`) && !strings.Contains(page, "/stop") && strings.Contains(page, "unfinished")
	})
}

func TestStop(t *testing.T) {
	l := newLab(t, "")
	stay := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	for _, from := range []string{"cross-site", "same-site"} {
		if resp, _ := l.do(stay, "POST", "/runs/feed0001/stop", "Sec-Fetch-Site", from); resp.StatusCode != http.StatusForbidden {
			t.Errorf("a %s page may stop runs: %s", from, resp.Status)
		}
	}
	if resp, _ := l.do(stay, "POST", "/runs/feed0001/stop", "Origin", "http://evil.example"); resp.StatusCode != http.StatusForbidden {
		t.Errorf("a page of another origin may stop runs: %s", resp.Status)
	}
	if resp, _ := l.do(stay, "POST", "/runs/0dead000/stop", "Sec-Fetch-Site", "same-origin"); resp.StatusCode != http.StatusConflict {
		t.Errorf("a run that has ended was stopped: %s", resp.Status)
	}
	resp, _ := l.do(stay, "POST", "/runs/feed/stop", "Sec-Fetch-Site", "same-origin")
	if resp.StatusCode != http.StatusSeeOther || resp.Header.Get("Location") != "/runs/feed0001" {
		t.Errorf("%s to %q", resp.Status, resp.Header.Get("Location"))
	}
	_, err := l.feed.Write([]byte("\n"))
	l.ok(err)
	l.ok(l.child.Wait())
	if _, page := l.get("/runs/feed0001"); !strings.Contains(page, `class="status interrupted"`) {
		t.Error("the other process did not stop")
	}
}

func TestGuard(t *testing.T) {
	l := newLab(t, "")
	for host, want := range map[string]int{
		"localhost": 200, "LOCALHOST.:80": 200, "127.0.0.1:1": 200, "[::1]:99": 200, "192.168.1.7": 200, "box:7777": 200,
		"evil.example": 421, "localhost.evil.example": 421, "127.0.0.1.evil.example": 421,
	} {
		if resp, _ := l.get("/", "Host", host); resp.StatusCode != want {
			t.Errorf("Host %s: %s, want %d", host, resp.Status, want)
		}
	}
}

func TestToken(t *testing.T) {
	l := newLab(t, "sesame")
	for _, path := range []string{"/", "/live.js", "/changes", "/?token=other", "/runs/feed0001"} {
		if resp, _ := l.get(path); resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("GET %s without the token: %s", path, resp.Status)
		}
	}
	jar, err := cookiejar.New(nil)
	l.ok(err)
	browser := &http.Client{Jar: jar}
	resp, body := l.do(browser, "GET", "/runs/feed0001?token=sesame")
	if resp.StatusCode != 200 || strings.Contains(resp.Request.URL.String(), "sesame") || !strings.Contains(body, "Watched") {
		t.Errorf("with the token: %s at %s", resp.Status, resp.Request.URL)
	}
	if resp, _ := l.do(browser, "GET", "/"); resp.StatusCode != 200 {
		t.Errorf("with the cookie: %s", resp.Status)
	}
	here, err := url.Parse(l.url)
	l.ok(err)
	if c := jar.Cookies(here); len(c) != 1 {
		t.Errorf("cookies %v", c)
	}
}
