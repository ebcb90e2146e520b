package reports

import (
	"math"
	"strings"
	"testing"

	"gonum.org/v1/plot/vg"

	"starbook/runtime/cas"
	"starbook/runtime/event"
	"starbook/runtime/store"
)

func TestFormats(t *testing.T) {
	plain := strings.NewReplacer(nb, " ")
	for _, c := range []struct{ got, want string }{
		{number(0.41271), "0.4127"},
		{number(12345), "12,345"},
		{number(-1234567), "−1,234,567"},
		{number(3e-6), "3×10⁻⁶"},
		{number(0.0005), "0.0005"},
		{number(123456.7), "123,457"},
		{number(math.Inf(-1)), "-∞"},
		{number(math.NaN()), "not a number"},
		{number(0), "0"},
		{number(-0.25), "−0.25"},
		{percent(0.8741), "87.4 %"},
		{points(0.217), "+21.7 points"},
		{points(-0.004), "−0.4 points"},
		{points(0), "0.0 points"},
		{seconds(0.0123), "12 ms"},
		{seconds(3.21), "3.2 s"},
		{seconds(59.96), "1 min 00 s"},
		{seconds(104.6), "1 min 45 s"},
		{seconds(2471), "41 min"},
		{seconds(7500), "2 h 05 min"},
		{seconds(3599), "1 h 00 min"},
		{seconds(1e6), "278 h"},
		{seconds(math.NaN()), "–"},
		{dollars(0), "$0"},
		{dollars(3.2046), "$3.20"},
		{dollars(0.00421), "$0.0042"},
		{dollars(12345.6), "$12,346"},
		{pvalue(3e-41), "= 3×10⁻⁴¹"},
		{pvalue(0.031), "= 0.031"},
		{pvalue(0), "< 10⁻³⁰⁰"},
		{pvalue(1), "= 1"},
		{pvalue(math.NaN()), "unknown"},
		{bytesize(512), "512 bytes"},
		{bytesize(3 << 19), "1.5 MiB"},
		{plural(1, "row"), "1 row"},
		{plural(2000, "row"), "2,000 rows"},
		{plural(2, "batch"), "2 batches"},
		{ordinal(2), "2nd"},
		{ordinal(11), "11th"},
		{ordinal(23), "23rd"},
		{shellQuote("a b"), "'a b'"},
		{shellQuote("lr=1e-5"), "lr=1e-5"},
		{shellQuote(""), "''"},
		{shellQuote("it's"), `'it'\''s'`},
	} {
		if got := plain.Replace(c.got); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

func TestInert(t *testing.T) {
	for in, want := range map[string]string{
		"plain\ttext\n": "plain\ttext\n", "a\r\nb\rc": "a\nb␍c", "\x00\x1b[31m\x7f": "␀␛[31m␡", "\u202eabc\u2069": "⟨U+202E⟩abc⟨U+2069⟩",
		"\xffé\x80": "⟨FF⟩é⟨80⟩", "\u0085\u200b\ufeff": "⟨U+0085⟩⟨U+200B⟩⟨U+FEFF⟩", "👩\u200d🔬": "👩\u200d🔬", "\U000e0041": "⟨U+E0041⟩", "\ufffd": "⟨U+FFFD⟩",
	} {
		if got := inert(in); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
}

func FuzzInert(f *testing.F) {
	f.Add("a\u202eb\r\n\xf0\x28")
	f.Fuzz(func(t *testing.T, s string) {
		once := inert(s)
		if strings.ContainsFunc(once, deceptive) || inert(once) != once {
			t.Errorf("%q became %q", s, once)
		}
	})
}

func TestHighlightKeepsTheText(t *testing.T) {
	src := "def f(x):  # a \"comment\"\n    return data.map(x, 'a\\'b', 1e-5, not True)\ns = \"\"\"long\n# no comment\n\"\"\"\n\"open\n<&>"
	out := string(highlight(src))
	text := strings.NewReplacer("&lt;", "<", "&gt;", ">", "&amp;", "&", "&#34;", `"`, "&#39;", "'").Replace(tags.ReplaceAllString(out, ""))
	if text != src {
		t.Errorf("got %q, want %q", text, src)
	}
	for _, want := range []string{`<span class="com"># a &#34;comment&#34;</span>`, `<span class="key">return</span>`, `<span class="fun">data.map</span>`, `<span class="str">&#39;a\&#39;b&#39;</span>`, `<span class="num">1e-5</span>`, "<span class=\"str\">&#34;&#34;&#34;long\n# no comment\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %s in %s", want, out)
		}
	}
}

func TestDiff(t *testing.T) {
	write := func(ls []DiffLine) string {
		s := ""
		for _, l := range ls {
			s += l.Sign() + l.Text + "\n"
		}
		return s
	}
	a := "1\n2\n3\n4\n5\n6\n7\n8\n9"
	if d := Diff(a, a); d != nil {
		t.Errorf("a text differs from itself: %v", d)
	}
	got := write(Diff(a, "1\n2\n3\nfour\n5\n6\n7\n8\n9\n10"))
	want := " 2\n 3\n-4\n+four\n 5\n 6\n@…\n 8\n 9\n+10\n"
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	if got := write(Diff("a", "b")); got != "-a\n+b\n" {
		t.Errorf("got %q", got)
	}
}

func TestSmoothDoesNotLag(t *testing.T) {
	ys := make([]float64, 200)
	for i := range ys {
		ys[i] = float64(i)
	}
	ys[50] = math.NaN()
	for i, y := range smooth(ys) {
		if i == 50 != math.IsNaN(y) {
			t.Fatalf("at %d: %v", i, y)
		}
		if i != 50 && math.Abs(y-float64(i)) > 1 {
			t.Errorf("the mean of a line is %v at %d", y, i)
		}
	}
}

func TestCanvas(t *testing.T) {
	c := newCanvas(100, 50)
	var p vg.Path
	p.Move(vg.Point{X: 10, Y: 10})
	p.Line(vg.Point{X: 20, Y: 10})
	c.SetColor(ink("c3"))
	c.Push()
	c.Translate(vg.Point{X: 5, Y: 5})
	c.Rotate(math.Pi / 2)
	c.Stroke(p)
	c.Pop()
	c.Stroke(p)
	p = nil
	p.Arc(vg.Point{X: 50, Y: 25}, 10, 0, 2*math.Pi)
	c.Fill(p)
	want := `<path class="l c3" stroke-width="1" d="M-5 35L-5 25"/>` + // turned to the left, about (5, 5)
		`<path class="l c3" stroke-width="1" d="M10 40L20 40"/>` +
		`<path class="f c3" d="M60 25A10 10 0 0 0 40 25A10 10 0 0 0 60 25"/>`
	if got := c.b.String(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// lineageRun is a run whose steps read each other's outputs.
func lineageRun(edges map[string][]string, order ...string) *run {
	r := &run{}
	for i, name := range order {
		var in []cas.Digest
		for _, e := range edges[name] {
			in = append(in, cas.Sum([]byte(e)))
		}
		r.Uses = append(r.Uses, use{
			Use:  store.Use{Seq: i + 1, Key: cas.Sum([]byte("key " + name)), Name: name},
			Step: store.Step{Inputs: in, Output: cas.Sum([]byte(name)), Kind: "model"}, Done: true,
		})
	}
	return r
}

func TestLineage(t *testing.T) {
	l := lineageOf(lineageRun(map[string][]string{"eval": {"base", "test"}, "train": {"base", "data"}, "merge": {"base", "train"}, "after": {"merge", "test", "elsewhere"}},
		"base", "data", "test", "eval", "train", "merge", "after"))
	layer := map[string]int{}
	for _, n := range l.nodes {
		if n.state != "ghost" {
			layer[n.name] = n.layer
		}
		for _, f := range n.from {
			if f.layer != n.layer-1 {
				t.Errorf("an arrow goes from layer %d to %d", f.layer, n.layer)
			}
		}
	}
	want := map[string]int{"base": 0, "data": 0, "test": 0, "eval": 1, "train": 1, "merge": 2, "after": 3, "given": 2}
	for name, at := range want {
		if layer[name] != at {
			t.Errorf("%s stands in layer %d, want %d", name, layer[name], at)
		}
	}
	for _, ns := range l.layers {
		for i, n := range ns {
			for _, m := range ns[i+1:] {
				if n.y < m.y+m.height() && m.y < n.y+n.height() {
					t.Errorf("%q and %q overlap", n.name, m.name)
				}
			}
		}
	}
}

// The classes of samples stand in attributes and in the stylesheet: only known
// words do, and each of them has its rule.
func TestFiltersAreKnownToTheStyle(t *testing.T) {
	samples := []store.Sample{
		{ID: "a", Outcome: "pass"},
		{ID: "b", Outcome: "fail", Leak: "exact"},
		{ID: "c", Outcome: `x" onclick="alert(1)`},
		{ID: "d", Outcome: "truncated"},
		{ID: "e", Outcome: "empty"},
		{ID: "f", Outcome: "unparsable"},
		{ID: "g", Outcome: "refused"},
		{ID: "h", Outcome: "unscored"},
	}
	s := answersShelf("x", samples)
	if len(s.Rows) != len(samples) || len(s.Filters) != len(outcomeOrder)+1 {
		t.Errorf("%d rows and filters %v", len(s.Rows), s.Filters)
	}
	flipped := flipsShelf("x", samples[:2], []store.Sample{{ID: "a", Outcome: "empty"}, {ID: "b", Outcome: "pass"}})
	if len(flipped.Rows) != 2 || flipped.Rows[0].Classes != "broken empty" || flipped.Rows[1].Classes != "fixed fail leaked" {
		t.Errorf("flips %+v", flipped.Rows)
	}
	for _, f := range append(s.Filters, flipped.Filters...) {
		if !strings.Contains(stylesheet, `[value="`+f.Class+`"]:checked) article:not(.`+f.Class+`)`) {
			t.Errorf("the style knows no filter %s", f.Class)
		}
	}
	for _, r := range s.Rows {
		if strings.ContainsAny(r.Classes, `"<>=`) {
			t.Errorf("classes %q", r.Classes)
		}
	}
}

func TestLeaksStandOverTheHeadline(t *testing.T) {
	clean := scored{N: 100, Passed: 60, Low: 0.5, High: 0.69, Items: 150, Leaked: 50, Leaks: map[string]int{"parent": 30, "exact": 20}, AllN: 150, AllPassed: 110, CleanN: 100, CleanPassed: 60}
	if b := clean.banner(); !strings.Contains(b, "50 of the items") || !strings.Contains(b, "parent 30, exact 20") || !strings.Contains(b, "do not count") || !strings.Contains(b, percent(110.0/150)) {
		t.Errorf("banner %q", b)
	}
	if s := clean.sentence(); !strings.HasPrefix(s, percent(0.6)+" passed: 60 of 100") {
		t.Errorf("the clean rate is not first: %q", s)
	}
	allowed := clean
	allowed.N, allowed.Passed, allowed.AllowLeak = 150, 110, true
	if b := allowed.banner(); !strings.Contains(b, "allow_leak = True") || !strings.Contains(b, "Without them: "+percent(0.6)) {
		t.Errorf("banner %q", b)
	}
	if b := (scored{N: 3}).banner(); b != "" {
		t.Errorf("a banner over nothing: %q", b)
	}
	v := compared(event.CompareData{Banner: "12 of 20 items", A: event.Side{N: 8}, B: event.Side{N: 8}, Other: &event.Both{Items: 20, A: 0.25, B: 0.75}})
	if v.Banner == "" || !strings.Contains(v.Support, "With them, over 20 items") {
		t.Errorf("%+v", v)
	}
	v = compared(event.CompareData{A: event.Side{N: 8}, B: event.Side{N: 8}, Margin: 0.01, PMargin: 0.2})
	if !strings.Contains(v.Support, "is not ruled out") {
		t.Errorf("%+v", v)
	}
}

// The interval of a paired difference beside the one that the bootstrap gives.
func TestPairedInterval(t *testing.T) {
	diff, low, high := pairedInterval(1000, 60, 120)
	for _, c := range [][2]float64{{diff, 0.06}, {low, 0.0341}, {high, 0.0857}} {
		if math.Abs(c[0]-c[1]) > 1e-3 {
			t.Errorf("got %.4f, want %.4f", c[0], c[1])
		}
	}
	if _, low, high := pairedInterval(2, 2, 0); low < -1 || high > 1 {
		t.Errorf("outside of the possible: %v to %v", low, high)
	}
}
