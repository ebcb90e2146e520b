package reports

import (
	"bytes"
	"strings"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/parser"
	"github.com/yuin/goldmark/text"
	"github.com/yuin/goldmark/util"
)

// prose renders Markdown. Raw HTML is left out and dangerous links lose their
// target, as goldmark does unless told otherwise; pictures become their
// description, because a page of ours asks no server for anything.
var prose = goldmark.New(
	goldmark.WithExtensions(
		extension.NewTable(extension.WithTableCellAlignMethod(extension.TableCellAlignAttribute)),
		extension.Strikethrough),
	goldmark.WithParserOptions(parser.WithASTTransformers(util.Prioritized(quieten{}, 100))),
)

// markdown renders src.
func markdown(src string) (html, error) {
	var b bytes.Buffer
	if err := prose.Convert([]byte(inert(src)), &b); err != nil {
		return "", err
	}
	return html(b.String()), nil
}

// quieten lowers headings by one level, since the page has its own title, and
// takes pictures and the style attributes of table cells out.
type quieten struct{}

// Transform implements parser.ASTTransformer.
func (quieten) Transform(doc *ast.Document, reader text.Reader, _ parser.Context) {
	var pictures []*ast.Image
	_ = ast.Walk(doc, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if !entering {
			return ast.WalkContinue, nil
		}
		switch n := n.(type) {
		case *ast.Heading:
			n.Level = min(n.Level+1, 6)
		case *ast.Image:
			pictures = append(pictures, n)
		}
		return ast.WalkContinue, nil
	})
	for _, p := range pictures {
		word := ast.NewString([]byte("[picture: " + strings.TrimSpace(plain(p, reader.Source())) + "]"))
		p.Parent().ReplaceChild(p.Parent(), p, word)
	}
}

// plain returns the text below n.
func plain(n ast.Node, src []byte) string {
	var b strings.Builder
	for c := n.FirstChild(); c != nil; c = c.NextSibling() {
		if t, ok := c.(*ast.Text); ok {
			b.Write(t.Segment.Value(src))
			continue
		}
		b.WriteString(plain(c, src))
	}
	return b.String()
}

// heading takes the first level-one heading off a Markdown text.
func heading(md string) (title, rest string) {
	lines := strings.Split(md, "\n")
	for i, l := range lines {
		if t, ok := strings.CutPrefix(l, "# "); ok {
			return strings.TrimSpace(t), strings.Join(append(lines[:i:i], lines[i+1:]...), "\n")
		}
		if strings.TrimSpace(l) != "" {
			break
		}
	}
	return "", md
}
