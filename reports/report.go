package reports

import (
	"bytes"
	"crypto/sha256"
	"embed"
	_ "embed"
	"encoding/base64"
	"errors"
	"fmt"
	"html/template"
	"io"

	"starbook/runtime/store"
)

// Options say what a page holds beyond what the runs do.
type Options struct {
	Title  string // instead of the notebook's first heading
	Linked bool   // names of runs lead to their pages on the live page's server
}

// Write writes the page of one run, or the page that compares several, as one
// HTML file that needs nothing but itself. runs are ids, unique prefixes,
// @latest or @best. The page is a function of the store's rows: the same rows
// give the same bytes.
func Write(w io.Writer, st *store.Store, runs []string, o Options) error {
	p, err := Of(st, runs, o)
	if err != nil {
		return err
	}
	out, err := new(builder).render("page", p)
	if err != nil {
		return err
	}
	if _, err := io.WriteString(w, string(out)); err != nil {
		return fmt.Errorf("reports: %w", err)
	}
	return nil
}

// Of makes the page that Write writes.
func Of(st *store.Store, runs []string, o Options) (Page, error) {
	b := &builder{st: st, left: detailBytes, linked: o.Linked}
	var p Page
	var err error
	switch len(runs) {
	case 0:
		return p, errors.New("reports: no runs: name one, as in @latest")
	case 1:
		p, err = b.run(runs[0])
	default:
		p, err = b.compare(runs)
	}
	if o.Title != "" {
		p.Title = o.Title
	}
	return p.inert(), err
}

// html is a part of a page that is already rendered.
type html = template.HTML

// Page is what the skeleton of a page needs: that of a report, or of the live page.
type Page struct {
	Title string
	Body  html // from its header to the end of its main part
}

// inert returns the page as it may be shown.
func (p Page) inert() Page { return Page{inert(p.Title), html(inert(string(p.Body)))} }

// Style returns the stylesheet of every page.
func Style() string { return stylesheet }

// CSS returns the stylesheet for a template.
func (Page) CSS() template.CSS { return template.CSS(stylesheet) }

// Policy returns the content security policy: nothing may be loaded, nothing
// may run, and the only style is ours, named by its hash.
func (Page) Policy() string {
	sum := sha256.Sum256([]byte(stylesheet))
	return "default-src 'none'; base-uri 'none'; form-action 'none'; style-src 'sha256-" +
		base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

//go:embed style.css
var stylesheet string

//go:embed templates/*.html
var templateFiles embed.FS

var templates = template.Must(template.New("").Funcs(template.FuncMap{
	"count": func(n any) (string, error) {
		switch n := n.(type) {
		case int:
			return count(int64(n)), nil
		case int64:
			return count(n), nil
		}
		return "", fmt.Errorf("count of a %T", n)
	},
	"plural":  func(n int, one string) string { return plural(int64(n), one) },
	"seconds": seconds, "dollars": dollars, "percent": percent, "rate": rate,
	"loss": func(v float64) string {
		if !finite(v) {
			return ""
		}
		return number(v)
	},
}).ParseFS(templateFiles, "templates/*.html"))

// detailBytes is how much a page may hold of samples, curves and code, so that
// the whole stays below 2 MiB.
const detailBytes = 1400 << 10

// builder renders the parts of one page.
type builder struct {
	st     *store.Store
	left   int  // of detailBytes
	linked bool // see Options
}

// render executes a template.
func (b *builder) render(name string, data any) (html, error) {
	var out bytes.Buffer
	if err := templates.ExecuteTemplate(&out, name, data); err != nil {
		return "", fmt.Errorf("reports: %w", err)
	}
	return html(out.String()), nil
}

// detail renders a part that can be large. If the page has no room left for it,
// a line says where to find it instead.
func (b *builder) detail(name, what string, data any) (html, error) {
	out, err := b.render(name, data)
	if err != nil {
		return "", err
	}
	if len(out) > b.left {
		return b.render("leftout", what)
	}
	b.left -= len(out)
	return out, nil
}
