package live

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"starbook/reports"
)

// browser is a headless Chromium with one page, driven by the DevTools protocol over a pipe.
type browser struct {
	t       *testing.T
	to      io.Writer
	answers chan message
	session string
	n       int
	dialogs int // that a page has opened: none of ours does
}

// message is an answer of the protocol, or an event.
type message struct {
	ID     int             `json:"id"`
	Method string          `json:"method"`
	Result json.RawMessage `json:"result"`
	Error  *struct{ Message string }
}

// newBrowser starts the Chromium that STARBOOK_CHROMIUM names, or skips the test.
func newBrowser(t *testing.T) *browser {
	t.Helper()
	path := os.Getenv("STARBOOK_CHROMIUM")
	if path == "" {
		t.Skip("STARBOOK_CHROMIUM names no Chromium: .ci/full live does")
	}
	profile, err := os.MkdirTemp("", "chromium") // its children write for a moment after it has gone: t.TempDir would mind
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, "--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe", "--user-data-dir="+profile, "about:blank")
	in, to, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	from, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.ExtraFiles = []*os.File{in, out} // descriptors 3 and 4
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	in.Close()
	out.Close()
	b := &browser{t: t, to: to, answers: make(chan message, 1000)}
	go b.read(from)
	t.Cleanup(func() {
		b.session = ""
		b.call("Browser.close", nil, nil)
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
		to.Close()
		for range 50 {
			if os.RemoveAll(profile) == nil {
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
	})
	var target struct{ TargetID string }
	b.call("Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	var session struct{ SessionID string }
	b.call("Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &session)
	b.session = session.SessionID
	b.call("Page.enable", nil, nil)
	b.call("Page.addScriptToEvaluateOnNewDocument", map[string]any{
		"source": `window.violations = []; document.addEventListener("securitypolicyviolation", e => violations.push(e.violatedDirective + " " + e.blockedURI)); window.addEventListener("error", e => violations.push(e.message));`,
	}, nil)
	return b
}

// read takes messages apart, which end in a zero byte.
func (b *browser) read(from io.Reader) {
	defer close(b.answers)
	in := bufio.NewReader(from)
	for {
		raw, err := in.ReadBytes(0)
		if err != nil {
			return
		}
		var m message
		if json.Unmarshal(bytes.TrimSuffix(raw, []byte{0}), &m) == nil && (m.ID > 0 || m.Method == "Page.javascriptDialogOpening") {
			b.answers <- m
		}
	}
}

// call sends a command and waits for its answer.
func (b *browser) call(method string, params, result any) {
	b.t.Helper()
	b.n++
	command := map[string]any{"id": b.n, "method": method}
	if params != nil {
		command["params"] = params
	}
	if b.session != "" {
		command["sessionId"] = b.session
	}
	raw, err := json.Marshal(command)
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := b.to.Write(append(raw, 0)); err != nil {
		b.t.Fatal(err)
	}
	for timeout := time.After(time.Minute); ; {
		select {
		case m, ok := <-b.answers:
			switch {
			case !ok:
				b.t.Fatalf("%s: Chromium is gone", method)
			case m.Method != "":
				b.dialogs++
				continue
			case m.ID != b.n:
				continue
			case m.Error != nil:
				b.t.Fatalf("%s: %s", method, m.Error.Message)
			case result != nil:
				if err := json.Unmarshal(m.Result, result); err != nil {
					b.t.Fatal(err)
				}
			}
			return
		case <-timeout:
			b.t.Fatalf("%s: no answer", method)
		}
	}
}

// open goes to a page and waits until it is there.
func (b *browser) open(url string) {
	b.t.Helper()
	b.call("Page.navigate", map[string]any{"url": url}, nil)
	b.until(`location.href.startsWith(` + quote(url) + `) && document.readyState == "complete"`)
}

// eval returns the value of an expression in the page, as JSON.
func (b *browser) eval(expression string) string {
	b.t.Helper()
	var out struct {
		Result           struct{ Value json.RawMessage }
		ExceptionDetails json.RawMessage
	}
	b.call("Runtime.evaluate", map[string]any{"expression": expression, "returnByValue": true}, &out)
	if out.ExceptionDetails != nil {
		b.t.Fatalf("%s: %s", expression, out.ExceptionDetails)
	}
	return string(out.Result.Value)
}

// until waits for an expression to become true.
func (b *browser) until(expression string) {
	b.t.Helper()
	for end := time.Now().Add(time.Minute); b.eval(expression) != "true"; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			b.t.Fatalf("not within a minute: %s; the page says %.2000s", expression, b.eval("document.body.innerText"))
		}
	}
}

// want fails unless an expression has this value in JSON.
func (b *browser) want(expression, value string) {
	b.t.Helper()
	if got := b.eval(expression); got != value {
		b.t.Errorf("%s: got %.500s, want %s", expression, got, value)
	}
}

func quote(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// harmless are expressions about a page with hostile text on it.
func (b *browser) harmless(scripts string) {
	b.t.Helper()
	b.want(`violations.join("; ")`, `""`)
	b.want(`document.scripts.length`, scripts)
	b.want(`document.querySelectorAll("img, iframe, object, embed, template, svg[onload], [href^='javascript:']").length`, "0")
	b.want(`document.title`, `"Watched"`)
	b.want(`document.body.textContent.includes('</template><svg onload=')`, "true")
	if b.dialogs != 0 {
		b.t.Error("a page has opened a dialog")
	}
}

// TestBrowserFollowsAndStops: the page of a run in another process grows while it is looked
// at, keeps what the reader has opened, and its button stops the run.
func TestBrowserFollowsAndStops(t *testing.T) {
	b := newBrowser(t)
	l := newLab(t, "")
	b.open(l.url + "/runs/feed0001")
	b.until(`document.getElementById("pulse").className == "pulse on"`)
	b.eval(`document.querySelector(".shelf").open = true; document.querySelector("details.code").open = false; window.kept = document.querySelector(".shelf")`)
	for n := 1; n <= 30; n++ {
		_, err := l.feed.Write([]byte("\n"))
		l.ok(err)
		if n%10 == 0 {
			b.until(fmt.Sprintf(`document.body.textContent.includes("At update %d:")`, n))
		}
	}
	b.until(`document.querySelectorAll("svg.chart").length > 0`) // the curve
	b.want(`kept.isConnected && kept.open && !document.querySelector("details.code").open`, "true")
	b.want(`violations.join("; ")`, `""`)
	b.eval(`document.querySelector(".stop button").click()`)
	b.until(`document.readyState == "complete" && location.pathname == "/runs/feed0001" && window.kept === undefined`)
	_, err := l.feed.Write([]byte("\n")) // the next update looks whether it is to stop
	l.ok(err)
	l.ok(l.child.Wait())
	b.until(`document.querySelector("header .status").textContent == "interrupted" && !document.querySelector(".stop")`)
	b.want(`violations.join("; ")`, `""`)
}

// TestBrowserFollowsDeath: a killed process is told without a word of its own.
func TestBrowserFollowsDeath(t *testing.T) {
	b := newBrowser(t)
	l := newLab(t, "")
	b.open(l.url + "/")
	b.until(`document.querySelector("#run-feed0001 .status").textContent == "running"`)
	b.eval(`document.querySelector("#run-feed0001 input").checked = true; document.getElementById("q").value = "lr >"`)
	l.ok(l.child.Process.Kill())
	b.until(`document.querySelector("#run-feed0001 .status").textContent == "interrupted"`)
	b.want(`document.querySelector("#run-feed0001 input").checked && document.getElementById("q").value == "lr >"`, "true")
	b.want(`violations.join("; ")`, `""`)
}

// TestBrowserHostileText: ten megabytes of markup stay text, on the live page and in the report.
func TestBrowserHostileText(t *testing.T) {
	b := newBrowser(t)
	t.Setenv(hugeEnv, "1")
	l := newLab(t, "")
	b.open(l.url + "/runs/feed0001")
	b.harmless("1") // ours
	_, err := l.feed.Write([]byte("\n"))
	l.ok(err)
	b.until(`document.body.textContent.includes("At update 1:")`)
	b.harmless("1")
	b.open(l.url + "/runs/feed0001/log")
	b.want(`violations.join("; ")`, `""`)
	b.want(`document.querySelectorAll("img, template, svg").length`, "0")

	path := filepath.Join(t.TempDir(), "report.html")
	var page bytes.Buffer
	l.ok(reports.Write(&page, l.st, []string{"feed0001"}, reports.Options{}))
	if page.Len() > 2<<20 {
		t.Errorf("the report has %d bytes", page.Len())
	}
	l.ok(os.WriteFile(path, page.Bytes(), 0o644))
	b.open("file://" + path)
	b.harmless("0")
}

// TestBrowserPolicyHolds: if our escaping failed, a script would still not run. Without this
// the counts of violations above would say nothing.
func TestBrowserPolicyHolds(t *testing.T) {
	b := newBrowser(t)
	l := newLab(t, "")
	b.open(l.url + "/runs/feed0001")
	b.eval(`const s = document.createElement("script"); s.textContent = "window.ran = true"; document.body.append(s);
		document.body.insertAdjacentHTML("beforeend", "<img src='http://example.invalid/x.png'><p style='color: red'>x</p>")`)
	b.until(`violations.length >= 3`)
	b.want(`window.ran === undefined`, "true")
	for _, directive := range []string{"script-src-elem", "img-src", "style-src-attr"} {
		if got := b.eval(`violations.join("; ")`); !strings.Contains(got, directive) {
			t.Errorf("violations %s, without %s", got, directive)
		}
	}
}
