package token

import (
	"cmp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// An encoder is what one call of Encode needs, kept for the next one.
type encoder struct {
	t       *Tokenizer
	cache   map[string][]symbol // by pre-token
	offsets bool                // spans are wanted
	plain   []Span              // of the text, in order: where special tokens are ordinary text
	ids     []int32
	spans   []Span
	work    scratch
}

// The cache forgets everything when it holds so many words; longer ones are
// not worth keeping.
const (
	cacheWords = 1 << 15
	cacheBytes = 64
)

// A step takes a piece of text one step on.
type step func(*encoder, piece)

func (t *Tokenizer) encode(text string, plain []Span, offsets bool) ([]int32, []Span) {
	e := t.take()
	defer t.rest(e)
	e.plain, e.offsets = plain, offsets
	e.ids, e.spans = make([]int32, 0, len(text)/4+1), nil
	whole := piece{s: text, first: true}
	t.raw.cut(e, whole, func(p piece) {
		for _, f := range t.normalize {
			p = f(e, p)
		}
		t.cooked.cut(e, p, func(p piece) { t.split(e, p) })
	})
	ids, spans := e.ids, e.spans
	e.ids, e.spans, e.plain = nil, nil, nil
	return ids, spans
}

// take returns an encoder that nobody else uses. A sync.Pool would lose the
// caches at every collection of garbage.
func (t *Tokenizer) take() *encoder {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n := len(t.encoders); n > 0 {
		e := t.encoders[n-1]
		t.encoders = t.encoders[:n-1]
		return e
	}
	return &encoder{t: t, cache: map[string][]symbol{}}
}

func (t *Tokenizer) rest(e *encoder) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.encoders = append(t.encoders, e)
}

func (e *encoder) emit(id int32, at Span) {
	e.ids = append(e.ids, id)
	if e.offsets {
		e.spans = append(e.spans, at)
	}
}

// word encodes a pre-token: the last step.
func (e *encoder) word(p piece) {
	syms, ok := e.cache[p.s]
	if !ok {
		syms = e.t.model.encode(p.s, &e.work)
		if len(p.s) <= cacheBytes {
			if len(e.cache) >= cacheWords {
				clear(e.cache)
			}
			syms = slices.Clone(syms)
			e.cache[strings.Clone(p.s)] = syms
		}
	}
	if !e.offsets {
		for _, s := range syms {
			e.ids = append(e.ids, s.id)
		}
		return
	}
	for _, s := range syms {
		e.emit(s.id, p.span(int(s.at), int(s.at+s.n)))
	}
}

// splitBy cuts a piece into pre-tokens.
func splitBy(f splitter, next step) step {
	return func(e *encoder, p piece) {
		for i := 0; i < len(p.s); {
			n := f(p.s[i:])
			next(e, p.slice(i, i+n))
			i += n
		}
	}
}

// prefixed puts a mark before a piece that does not begin with it.
func prefixed(mark string, firstOnly bool, next step) step {
	add := prepend(mark)
	return func(e *encoder, p piece) {
		if !strings.HasPrefix(p.s, mark) && (p.first || !firstOnly) {
			p = add(e, p)
		}
		next(e, p)
	}
}

// replaced swaps one text for another in every piece.
func replaced(old, with string, next step) step {
	swap := replace(old, with)
	return func(e *encoder, p piece) { next(e, swap(e, p)) }
}

// A matcher finds added tokens in a text, the leftmost first and of those the
// longest.
type matcher struct {
	tokens map[string]*added
	lens   [256][]int // lengths of the tokens with this first byte, longest first
}

func newMatcher(tokens map[string]*added) matcher {
	m := matcher{tokens: tokens}
	for s := range tokens {
		if l := &m.lens[s[0]]; !slices.Contains(*l, len(s)) {
			*l = append(*l, len(s))
		}
	}
	for _, l := range m.lens {
		slices.SortFunc(l, func(a, b int) int { return b - a })
	}
	return m
}

// find returns the token that begins at i and its length there, which is that
// of its normalized spelling.
func (m *matcher) find(s string, i int) (*added, int) {
	for _, n := range m.lens[s[i]] {
		if i+n <= len(s) {
			if a := m.tokens[s[i:i+n]]; a != nil {
				return a, n
			}
		}
	}
	return nil, 1
}

// cut emits each added token in p and calls text for what lies between.
func (m *matcher) cut(e *encoder, p piece, text func(piece)) {
	if len(m.tokens) == 0 {
		if p.s != "" {
			text(p)
		}
		return
	}
	s, done := p.s, 0 // done: bytes given away
	for i := 0; i < len(s); {
		a, n := m.find(s, i)
		if a == nil || a.special && e.isPlain(p.span(i, i+n)) || a.singleWord && inWord(s, i, i+n) {
			i += n
			continue
		}
		from, to := i, i+n
		if a.lstrip {
			from = max(done, len(strings.TrimRightFunc(s[:from], unicode.IsSpace)))
		}
		if a.rstrip {
			to = len(s) - len(strings.TrimLeftFunc(s[to:], unicode.IsSpace))
		}
		if done < from {
			text(p.slice(done, from))
		}
		e.emit(a.id, p.span(from, to))
		i, done = to, to
	}
	if done < len(s) {
		text(p.slice(done, len(s)))
	}
}

// isPlain tells whether special tokens are ordinary text somewhere in a span.
func (e *encoder) isPlain(at Span) bool {
	i, _ := slices.BinarySearchFunc(e.plain, at.From, func(p Span, from int) int { return cmp.Compare(p.To, from+1) })
	return i < len(e.plain) && e.plain[i].From < at.To
}

// inWord tells whether a letter, digit or the like touches s[from:to].
func inWord(s string, from, to int) bool {
	before, _ := utf8.DecodeLastRuneInString(s[:from])
	after, _ := utf8.DecodeRuneInString(s[to:])
	return from > 0 && isWord(before) || to < len(s) && isWord(after)
}

// isWord is \w.
func isWord(r rune) bool {
	return unicode.In(r, unicode.L, unicode.M, unicode.Nd, unicode.Pc, unicode.Other_Alphabetic, unicode.Nl, unicode.Join_Control)
}
