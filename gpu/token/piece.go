package token

import "strings"

// A piece is a stretch of text on its way to becoming tokens. Byte i of s
// comes from byte at+i of the source, unless aligned says otherwise.
type piece struct {
	s       string
	at      int
	aligned *alignment // nil while s is as in the source, or when nobody asked
	first   bool       // begins where the whole text begins
}

// An alignment holds, for each byte of a rewritten text, the bytes of the
// source that it comes from.
type alignment struct{ from, to []int }

func (p piece) slice(i, j int) piece {
	return piece{p.s[i:j], p.at + i, p.aligned, p.first && i == 0}
}

// span returns where bytes i to j come from, i < j.
func (p piece) span(i, j int) Span {
	if p.aligned == nil {
		return Span{p.at + i, p.at + j}
	}
	return Span{p.aligned.from[p.at+i], p.aligned.to[p.at+j-1]}
}

// A rewriter makes a new piece from an old one, front to back.
type rewriter struct {
	p     piece
	i     int // bytes of p used
	out   strings.Builder
	align *alignment // nil when nobody asked
}

func (e *encoder) rewrite(p piece) *rewriter {
	r := &rewriter{p: p}
	if e.offsets {
		r.align = &alignment{}
	}
	return r
}

// keep takes the next n bytes as they are.
func (r *rewriter) keep(n int) {
	r.out.WriteString(r.p.s[r.i : r.i+n])
	if r.align != nil {
		for k := range n {
			at := r.p.span(r.i+k, r.i+k+1)
			r.align.from = append(r.align.from, at.From)
			r.align.to = append(r.align.to, at.To)
		}
	}
	r.i += n
}

// put writes s instead of the next n bytes.
func (r *rewriter) put(s string, n int) {
	r.out.WriteString(s)
	if r.align != nil {
		at := r.here(n)
		for range len(s) {
			r.align.from = append(r.align.from, at.From)
			r.align.to = append(r.align.to, at.To)
		}
	}
	r.i += n
}

// here is the source of the next n bytes, an empty place for none.
func (r *rewriter) here(n int) Span {
	switch {
	case n > 0:
		return r.p.span(r.i, r.i+n)
	case r.i < len(r.p.s):
		at := r.p.span(r.i, r.i+1).From
		return Span{at, at}
	}
	return Span{r.p.at, r.p.at}
}

// done keeps the rest and returns the new piece.
func (r *rewriter) done() piece {
	r.keep(len(r.p.s) - r.i)
	return piece{r.out.String(), 0, r.align, r.p.first}
}

// prepend puts a prefix before any text that is not empty.
func prepend(prefix string) func(*encoder, piece) piece {
	return func(e *encoder, p piece) piece {
		if p.s == "" {
			return p
		}
		r := e.rewrite(p)
		r.put(prefix, 0)
		return r.done()
	}
}

func replace(old, with string) func(*encoder, piece) piece {
	return func(e *encoder, p piece) piece {
		if !strings.Contains(p.s, old) {
			return p
		}
		if !e.offsets {
			return piece{s: strings.ReplaceAll(p.s, old, with), first: p.first}
		}
		r := e.rewrite(p)
		for {
			i := strings.Index(p.s[r.i:], old)
			if i < 0 {
				return r.done()
			}
			r.keep(i)
			r.put(with, len(old))
		}
	}
}
