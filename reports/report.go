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
	Title string // instead of the notebook's first heading
}

// Write writes the page of one run, or the page that compares several, as one
// HTML file that needs nothing but itself. runs are ids, unique prefixes,
// @latest or @best. The page is a function of the store's rows: the same rows
// give the same bytes.
func Write(w io.Writer, st *store.Store, runs []string, o Options) error {
	b := &builder{st: st, left: detailBytes}
	var p page
	var err error
	switch len(runs) {
	case 0:
		return errors.New("reports: no runs: name one, as in @latest")
	case 1:
		p, err = b.run(runs[0])
	default:
		p, err = b.compare(runs)
	}
	if err != nil {
		return err
	}
	if o.Title != "" {
		p.Title = o.Title
	}
	out, err := b.render("page", p)
	if err != nil {
		return err
	}
	if _, err := io.WriteString(w, inert(string(out))); err != nil {
		return fmt.Errorf("reports: %w", err)
	}
	return nil
}

// html is a part of a page that is already rendered.
type html = template.HTML

// page is what the skeleton of every page needs.
type page struct {
	Title string
	Body  html
}

// CSS returns the stylesheet.
func (page) CSS() template.CSS { return template.CSS(stylesheet) }

// Policy returns the content security policy: nothing may be loaded, nothing
// may run, and the only style is ours, named by its hash.
func (page) Policy() string {
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
	st   *store.Store
	left int // of detailBytes
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
