// Package regex grades a regular expression by what it means: an answer passes
// if it accepts exactly the strings that the reference accepts.
//
// The syntax is that of the NL-RX data (Locascio et al., EMNLP 2016), which is
// dk.brics.automaton's: union |, intersection &, complement ~, concatenation,
// * + ? {n} {n,} {n,m}, classes [A-Za-z] and [^0-9], the escapes \d \w \s and
// their capitals, and () for the empty string. A dot is any character and an
// expression matches whole strings. \b and \B keep their usual meaning (a
// boundary between a word character and anything else, as in Go's regexp);
// dk.brics itself reads \b as the letter b.
//
// Equality is decided, not sampled: Brzozowski derivatives ("Derivatives of
// Regular Expressions", JACM 1964; Owens, Reppy and Turon, JFP 2009) of both
// sides are walked in step, breadth first, until a pair disagrees about
// accepting or no new pair is left.
//
// The file also runs under yaegi v0.16.1: plain Go, no generics, no range over
// integers, small standard library. Expressions are integers into an arena, so
// that equal ones are one number and nothing is compared by text.
package regex

import (
	"errors"
	"sort"
	"strconv"
	"strings"
)

const (
	maxPairs   = 4000 // of states compared before giving up
	maxLength  = 4000 // runes of an expression
	maxNesting = 100  // of parentheses
	maxRepeat  = 255  // in {n,m}
	maxClasses = 62   // bits of an int that are safe to shift
	unbounded  = -1   // the m of {n,}
)

// Grade returns 1 if answer accepts the same strings as want, and otherwise 0
// with a note: a shortest string that tells the two apart, "unparsable: …", or
// "undecided: …" when the automata are too large. prompt is not used.
func Grade(prompt, answer, want string) (float64, string) {
	answer, want = strings.TrimSpace(answer), strings.TrimSpace(want)
	if answer == want && answer != "" {
		return 1, ""
	}
	got, err := parse(answer)
	if err != nil {
		return 0, "unparsable: " + err.Error()
	}
	ref, err := parse(want)
	if err != nil {
		return 0, "undecided: the reference: " + err.Error()
	}
	m, err := newMachine(got.sets, ref.sets, got.edges || ref.edges)
	if err != nil {
		return 0, "undecided: " + err.Error()
	}
	word, who := m.compare(m.build(got), m.build(ref))
	switch who {
	case same:
		return 1, ""
	case onlyFirst:
		return 0, "accepts " + strconv.Quote(word) + ", the reference does not"
	case onlySecond:
		return 0, "rejects " + strconv.Quote(word) + ", the reference accepts it"
	}
	return 0, "undecided: no difference within " + strconv.Itoa(maxPairs) + " states"
}

// Matches reports whether the expression accepts the whole of text.
func Matches(expr, text string) (bool, error) {
	e, err := parse(expr)
	if err != nil {
		return false, err
	}
	runes := []rune(text)
	sets := make([]set, 0, len(runes))
	for _, c := range runes {
		sets = append(sets, set{spans: []span{{c, c}}})
	}
	m, err := newMachine(e.sets, sets, e.edges)
	if err != nil {
		return false, err
	}
	r, before := m.build(e), 0
	for _, s := range sets {
		class := m.classOf(s)
		r = m.derive(r, class, before^m.word[class])
		before = m.word[class]
	}
	return m.accepts(r, before), nil
}

// span is a range of runes, both ends included.
type span struct{ lo, hi rune }

// set is what one character of an expression may be.
type set struct {
	spans   []span
	negated bool
}

func (s set) has(c rune) bool {
	for _, sp := range s.spans {
		if sp.lo <= c && c <= sp.hi {
			return !s.negated
		}
	}
	return s.negated
}

// instr is one step of an expression in postfix order: an operator takes its
// operands from a stack. set indexes the expression's sets.
type instr struct{ op, set, min, max int }

// expression is parsed text.
type expression struct {
	code  []instr
	sets  []set
	edges bool // uses \b or \B
}

// Operators. The first four and opSet are leaves.
const (
	opNone  = iota // no string at all
	opEmpty        // the empty string
	opEdge         // \b
	opInner        // \B
	opSet          // one character; a is the mask of classes
	opCat          // a then b
	opOr           // a or b; right-leaning, sorted
	opAnd          // a and b; right-leaning, sorted
	opNot          // not a
	opStar         // a*
	opRep          // a{min,max}; b packs the bounds
)

// parser reads one expression by recursive descent; the first error sticks.
type parser struct {
	text  []rune
	pos   int
	depth int
	out   expression
	err   error
}

func parse(s string) (expression, error) {
	p := &parser{text: []rune(s)}
	if len(p.text) == 0 {
		return p.out, errors.New("empty")
	}
	if len(p.text) > maxLength {
		return p.out, errors.New("longer than " + strconv.Itoa(maxLength) + " characters")
	}
	p.union()
	if p.err == nil && p.pos < len(p.text) {
		p.fail("')' without '('")
	}
	return p.out, p.err
}

func (p *parser) fail(msg string) {
	if p.err == nil {
		p.err = errors.New(msg + " at character " + strconv.Itoa(p.pos+1))
		p.pos = len(p.text)
	}
}

// peek is the next character, or -1 at the end.
func (p *parser) peek() rune {
	if p.pos < len(p.text) {
		return p.text[p.pos]
	}
	return -1
}

func (p *parser) emit(op int) { p.out.code = append(p.out.code, instr{op: op}) }

func (p *parser) emitSet(s set) {
	p.out.code = append(p.out.code, instr{op: opSet, set: len(p.out.sets)})
	p.out.sets = append(p.out.sets, s)
}

func (p *parser) union() {
	p.intersection()
	for p.peek() == '|' {
		p.pos++
		p.intersection()
		p.emit(opOr)
	}
}

func (p *parser) intersection() {
	p.concatenation()
	for p.peek() == '&' {
		p.pos++
		p.concatenation()
		p.emit(opAnd)
	}
}

func (p *parser) concatenation() {
	n := 0
	for p.err == nil {
		c := p.peek()
		if c == -1 || c == '|' || c == '&' || c == ')' {
			break
		}
		p.repetition()
		n++
	}
	if n == 0 {
		p.fail("an expression is missing")
	}
	for ; n > 1; n-- {
		p.emit(opCat)
	}
}

func (p *parser) repetition() {
	p.complement()
	for p.err == nil {
		in := instr{op: opRep, max: unbounded}
		switch p.peek() {
		case '*':
		case '+':
			in.min = 1
		case '?':
			in.max = 1
		case '{':
			in.min, in.max = p.bounds()
		default:
			return
		}
		p.pos++
		p.out.code = append(p.out.code, in)
	}
}

// bounds reads {n}, {n,} or {n,m} up to, not including, the brace.
func (p *parser) bounds() (int, int) {
	p.pos++
	lo := p.number()
	hi := lo
	if p.peek() == ',' {
		p.pos++
		hi = unbounded
		if p.peek() != '}' {
			hi = p.number()
		}
	}
	if p.peek() != '}' {
		p.fail("'}' is missing")
	} else if hi != unbounded && hi < lo {
		p.fail("the bounds are the wrong way round")
	}
	return lo, hi
}

func (p *parser) number() int {
	start, n := p.pos, 0
	for p.pos < len(p.text) && p.text[p.pos] >= '0' && p.text[p.pos] <= '9' && n <= maxRepeat {
		n = n*10 + int(p.text[p.pos]-'0')
		p.pos++
	}
	if p.pos == start {
		p.fail("a number is missing")
	} else if n > maxRepeat {
		p.fail("a repetition above " + strconv.Itoa(maxRepeat))
	}
	return n
}

func (p *parser) complement() {
	n := 0
	for p.peek() == '~' {
		p.pos++
		n++
	}
	p.atom()
	if n%2 == 1 {
		p.emit(opNot)
	}
}

func (p *parser) atom() {
	c := p.peek()
	switch c {
	case -1, '|', '&', ')':
		p.fail("an expression is missing")
	case '*', '+', '?', '{':
		p.fail("nothing to repeat before '" + string(c) + "'")
	case '}', ']':
		p.fail("'" + string(c) + "' was never opened")
	case '^', '$':
		p.fail("'" + string(c) + "' is not needed: an expression matches whole strings")
	case '(':
		p.group()
	case '[':
		p.class()
	case '.':
		p.pos++
		p.emitSet(set{negated: true})
	case '\\':
		p.escape()
	default:
		p.pos++
		p.emitSet(set{spans: []span{{c, c}}})
	}
}

func (p *parser) group() {
	p.pos++
	if p.peek() == ')' {
		p.pos++
		p.emit(opEmpty)
		return
	}
	p.depth++
	if p.depth > maxNesting {
		p.fail("more than " + strconv.Itoa(maxNesting) + " nested parentheses")
		return
	}
	p.union()
	p.depth--
	if p.peek() != ')' {
		p.fail("')' is missing")
	}
	p.pos++
}

func (p *parser) escape() {
	p.pos++
	c := p.peek()
	if c == 'b' || c == 'B' {
		p.pos++
		p.out.edges = true
		if c == 'b' {
			p.emit(opEdge)
		} else {
			p.emit(opInner)
		}
		return
	}
	p.emitSet(p.escaped())
}

var wordSpans = []span{{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}}

// escaped reads what follows a backslash and stands for characters.
func (p *parser) escaped() set {
	c := p.peek()
	p.pos++
	switch c {
	case 'd', 'D':
		return set{[]span{{'0', '9'}}, c == 'D'}
	case 'w', 'W':
		return set{wordSpans, c == 'W'}
	case 's', 'S':
		return set{[]span{{'\t', '\n'}, {'\f', '\r'}, {' ', ' '}}, c == 'S'}
	case 't':
		c = '\t'
	case 'n':
		c = '\n'
	case 'r':
		c = '\r'
	default:
		if c == -1 || c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' {
			p.pos--
			p.fail("an unknown escape")
		}
	}
	return set{spans: []span{{c, c}}}
}

func (p *parser) class() {
	p.pos++
	s := set{}
	if p.peek() == '^' {
		s.negated = true
		p.pos++
	}
	for p.err == nil && p.peek() != ']' {
		lo := p.classItem(&s)
		if lo < 0 {
			continue
		}
		hi := lo
		if p.peek() == '-' && p.pos+1 < len(p.text) && p.text[p.pos+1] != ']' {
			p.pos++
			hi = p.classItem(&s)
			if hi < lo {
				p.fail("a range that is the wrong way round")
			}
		}
		s.spans = append(s.spans, span{lo, hi})
	}
	if p.err == nil && len(s.spans) == 0 {
		p.fail("an empty class")
	}
	p.pos++
	p.emitSet(s)
}

// classItem reads one character of a class, or adds an escape such as \d to
// the class and returns -1.
func (p *parser) classItem(s *set) rune {
	c := p.peek()
	if c == -1 {
		p.fail("']' is missing")
		return -1
	}
	if c != '\\' {
		p.pos++
		return c
	}
	p.pos++
	e := p.escaped()
	if e.negated {
		p.fail("a negated escape inside a class")
		return -1
	}
	if len(e.spans) == 1 && e.spans[0].lo == e.spans[0].hi {
		return e.spans[0].lo
	}
	s.spans = append(s.spans, e.spans...)
	return -1
}

// machine holds the expressions of one comparison. The alphabet is cut into
// classes of characters that no set of either side tells apart, so that a
// derivative is taken once per class. Node r is (op[r], a[r], b[r]).
type machine struct {
	op, a, b []int
	null     []int // whether a node accepts "": bit 1 at a word boundary, bit 0 elsewhere
	ids      map[int]int
	setIDs   map[int]int
	derived  map[int]int
	sample   []rune // a character of each class
	word     []int  // 1 if the class is of word characters and that matters
	full     int    // the mask of all classes
	all      int    // the node that accepts everything
}

func newMachine(first, second []set, edges bool) (*machine, error) {
	m := &machine{ids: map[int]int{}, setIDs: map[int]int{}, derived: map[int]int{}}
	sets := append(append([]set{}, first...), second...)
	if edges {
		sets = append(sets, set{spans: wordSpans})
	}
	if !m.partition(sets, edges) {
		return nil, errors.New("more than " + strconv.Itoa(maxClasses) + " kinds of characters")
	}
	m.full = 1<<uint(len(m.sample)) - 1
	for op := opNone; op <= opInner; op++ {
		m.add(op, 0, 0)
	}
	m.all = m.node(opNot, opNone, 0)
	return m, nil
}

// partition fills sample and word; false if there are too many classes.
func (m *machine) partition(sets []set, edges bool) bool {
	cuts := []int{0}
	for _, s := range sets {
		for _, sp := range s.spans {
			cuts = append(cuts, int(sp.lo), int(sp.hi)+1)
		}
	}
	sort.Ints(cuts)
	seen := map[string]int{}
	row := make([]byte, len(sets))
	last := -1
	for _, cut := range cuts {
		if cut == last {
			continue
		}
		last = cut
		for i, s := range sets {
			row[i] = '0'
			if s.has(rune(cut)) {
				row[i] = '1'
			}
		}
		if class, ok := seen[string(row)]; ok {
			m.sample[class] = plainer(m.sample[class], rune(cut))
			continue
		}
		seen[string(row)] = len(m.sample)
		m.sample = append(m.sample, rune(cut))
		w := 0
		if edges && row[len(row)-1] == '1' {
			w = 1
		}
		m.word = append(m.word, w)
	}
	for i, c := range m.sample {
		if c == 0 && cutAfter(cuts, 0) > '!' {
			m.sample[i] = '!'
		}
	}
	return len(m.sample) <= maxClasses
}

// plainer prefers, for showing to a person, letters and digits.
func plainer(c, d rune) rune {
	if c < '0' && d >= '0' && d <= 'z' {
		return d
	}
	return c
}

func cutAfter(cuts []int, c int) int {
	for _, cut := range cuts {
		if cut > c {
			return cut
		}
	}
	return 1 << 20
}

// mask is the set of classes inside s.
func (m *machine) mask(s set) int {
	mask := 0
	for i, c := range m.sample {
		if s.has(c) {
			mask |= 1 << uint(i)
		}
	}
	return mask
}

func (m *machine) classOf(s set) int {
	mask, class := m.mask(s), 0
	for mask>>uint(class)&1 == 0 {
		class++
	}
	return class
}

// build turns postfix code into a node.
func (m *machine) build(e expression) int {
	stack := []int{}
	for _, in := range e.code {
		n := len(stack)
		switch in.op {
		case opSet:
			stack = append(stack, m.chars(m.mask(e.sets[in.set])))
		case opCat:
			stack = append(stack[:n-2], m.cat(stack[n-2], stack[n-1]))
		case opOr:
			stack = append(stack[:n-2], m.or(stack[n-2], stack[n-1]))
		case opAnd:
			stack = append(stack[:n-2], m.and(stack[n-2], stack[n-1]))
		case opNot:
			stack[n-1] = m.not(stack[n-1])
		case opRep:
			stack[n-1] = m.repeat(stack[n-1], in.min, in.max)
		default:
			stack = append(stack, in.op)
		}
	}
	return stack[0]
}

// add appends a node without looking for an equal one.
func (m *machine) add(op, a, b int) int {
	null := 0
	switch op {
	case opEmpty, opStar:
		null = 3
	case opEdge:
		null = 2
	case opInner:
		null = 1
	case opCat, opAnd:
		null = m.null[a] & m.null[b]
	case opOr:
		null = m.null[a] | m.null[b]
	case opNot:
		null = 3 ^ m.null[a]
	case opRep:
		null = m.null[a]
		if b>>9 == 0 {
			null = 3
		}
	}
	m.op = append(m.op, op)
	m.a = append(m.a, a)
	m.b = append(m.b, b)
	m.null = append(m.null, null)
	return len(m.op) - 1
}

func (m *machine) node(op, a, b int) int {
	key := (a<<28|b)<<4 | op
	id, ok := m.ids[key]
	if !ok {
		id = m.add(op, a, b)
		m.ids[key] = id
	}
	return id
}

func (m *machine) chars(mask int) int {
	if mask == 0 {
		return opNone
	}
	id, ok := m.setIDs[mask]
	if !ok {
		id = m.add(opSet, mask, 0)
		m.setIDs[mask] = id
	}
	return id
}

func (m *machine) cat(x, y int) int {
	switch {
	case x == opNone || y == opNone:
		return opNone
	case x == opEmpty:
		return y
	case y == opEmpty:
		return x
	case m.op[x] == opCat:
		return m.cat(m.a[x], m.cat(m.b[x], y))
	case x == y && (x == m.all || m.op[x] == opStar):
		return x
	case x == m.all && m.op[y] == opCat && m.a[y] == x:
		return y
	}
	return m.node(opCat, x, y)
}

func (m *machine) not(x int) int {
	if m.op[x] == opNot {
		return m.a[x]
	}
	return m.node(opNot, x, 0)
}

func (m *machine) star(x int) int {
	switch {
	case x == opNone || x == opEmpty || x == opEdge || x == opInner:
		return opEmpty
	case m.op[x] == opStar || x == m.all:
		return x
	case m.op[x] == opSet && m.a[x] == m.full:
		return m.all
	}
	return m.node(opStar, x, 0)
}

// repeat is x{lo,hi}; hi may be unbounded.
func (m *machine) repeat(x, lo, hi int) int {
	if m.null[x] == 3 {
		lo = 0
	}
	switch {
	case hi == 0 || x == opEmpty:
		return opEmpty
	case lo == 1 && hi == 1 || x == m.all:
		return x
	case x == opNone && lo > 0:
		return opNone
	case lo == 0 && hi == unbounded:
		return m.star(x)
	case lo == 1 && hi == unbounded:
		return m.cat(x, m.star(x))
	}
	return m.node(opRep, x, lo<<9|(hi+1))
}

// before orders the members of a union or intersection: a set, if any, first.
func (m *machine) before(x, y int) bool {
	if sx, sy := m.op[x] == opSet, m.op[y] == opSet; sx != sy {
		return sx
	}
	return x < y
}

// first splits a right-leaning chain of op into head and rest; the rest of a
// single node is unit.
func (m *machine) first(op, x, unit int) (int, int) {
	if m.op[x] == op {
		return m.a[x], m.b[x]
	}
	return x, unit
}

func (m *machine) or(x, y int) int {
	switch {
	case x == y || y == opNone:
		return x
	case x == opNone:
		return y
	case x == m.all || y == m.all:
		return m.all
	}
	hx, tx := m.first(opOr, x, opNone)
	hy, ty := m.first(opOr, y, opNone)
	switch {
	case hx == hy:
		return m.orHead(hx, m.or(tx, ty))
	case m.op[hx] == opSet && m.op[hy] == opSet:
		return m.orHead(m.chars(m.a[hx]|m.a[hy]), m.or(tx, ty))
	case m.before(hx, hy):
		return m.orHead(hx, m.or(tx, y))
	}
	return m.orHead(hy, m.or(x, ty))
}

func (m *machine) orHead(head, rest int) int {
	switch {
	case rest == opNone:
		return head
	case rest == m.all || m.op[head] == opNot && m.a[head] == rest || m.op[rest] == opNot && m.a[rest] == head:
		return m.all
	}
	return m.node(opOr, head, rest)
}

func (m *machine) and(x, y int) int {
	switch {
	case x == y || y == m.all:
		return x
	case x == m.all:
		return y
	case x == opNone || y == opNone:
		return opNone
	}
	hx, tx := m.first(opAnd, x, m.all)
	hy, ty := m.first(opAnd, y, m.all)
	switch {
	case hx == hy:
		return m.andHead(hx, m.and(tx, ty))
	case m.op[hx] == opSet && m.op[hy] == opSet:
		return m.andHead(m.chars(m.a[hx]&m.a[hy]), m.and(tx, ty))
	case m.before(hx, hy):
		return m.andHead(hx, m.and(tx, y))
	}
	return m.andHead(hy, m.and(x, ty))
}

func (m *machine) andHead(head, rest int) int {
	switch {
	case rest == m.all:
		return head
	case head == opNone || rest == opNone:
		return opNone
	case head == opEmpty && m.null[rest] == 3:
		return opEmpty
	case head == opEmpty && m.null[rest] == 0:
		return opNone
	case m.op[head] == opNot && m.a[head] == rest || m.op[rest] == opNot && m.a[rest] == head:
		return opNone
	}
	return m.node(opAnd, head, rest)
}

// derive is what must follow a character of the class for r to accept; edge is
// 1 if there is a word boundary before that character.
func (m *machine) derive(r, class, edge int) int {
	switch m.op[r] {
	case opNone, opEmpty, opEdge, opInner:
		return opNone
	case opSet:
		if m.a[r]>>uint(class)&1 == 1 {
			return opEmpty
		}
		return opNone
	}
	if r == m.all {
		return r
	}
	key := (r<<6|class)<<1 | edge
	d, ok := m.derived[key]
	if !ok {
		d = m.deriveNode(r, class, edge)
		m.derived[key] = d
	}
	return d
}

func (m *machine) deriveNode(r, class, edge int) int {
	a, b := m.a[r], m.b[r]
	d := m.derive(a, class, edge)
	switch m.op[r] {
	case opCat:
		d = m.cat(d, b)
		if m.null[a]>>uint(edge)&1 == 1 {
			d = m.or(d, m.derive(b, class, edge))
		}
	case opOr:
		d = m.or(d, m.derive(b, class, edge))
	case opAnd:
		if d != opNone {
			d = m.and(d, m.derive(b, class, edge))
		}
	case opNot:
		d = m.not(d)
	case opStar:
		d = m.cat(d, r)
	case opRep:
		d = m.deriveRepeat(d, r, class, edge)
	}
	return d
}

// deriveRepeat uses x{lo,hi} = x x{lo-1,hi-1}; d is the derivative of x. An x
// that is empty here, at a word boundary say, may use up a repetition.
func (m *machine) deriveRepeat(d, r, class, edge int) int {
	lo, hi := m.b[r]>>9-1, m.b[r]&511-2
	if lo < 0 {
		lo = 0
	}
	if hi < 0 {
		hi = unbounded
	}
	rest := m.repeat(m.a[r], lo, hi)
	d = m.cat(d, rest)
	if null := m.null[m.a[r]]; null != 3 && null>>uint(edge)&1 == 1 {
		d = m.or(d, m.derive(rest, class, edge))
	}
	return d
}

// accepts reports whether r accepts "" at the end of a string whose last
// character is a word character (before = 1) or is not.
func (m *machine) accepts(r, before int) bool { return m.null[r]>>uint(before)&1 == 1 }

// What compare found.
const (
	same = iota
	onlyFirst
	onlySecond
	unknown
)

// pair is a state of both sides; from and class say how it was reached.
type pair struct{ x, y, before, from, class int }

// compare walks both sides in step. It returns a shortest string that only one
// of them accepts, and which one that is.
func (m *machine) compare(x, y int) (string, int) {
	queue := []pair{{x, y, 0, -1, 0}}
	seen := map[int]bool{(x<<28 | y) << 1: true}
	for i := 0; i < len(queue); i++ {
		p := queue[i]
		if p.x == p.y {
			continue
		}
		if got := m.accepts(p.x, p.before); got != m.accepts(p.y, p.before) {
			if got {
				return m.path(queue, i), onlyFirst
			}
			return m.path(queue, i), onlySecond
		}
		if len(queue) > maxPairs {
			return "", unknown
		}
		for class := range m.sample {
			w := m.word[class]
			dx, dy := m.derive(p.x, class, p.before^w), m.derive(p.y, class, p.before^w)
			if key := (dx<<28|dy)<<1 | w; dx != dy && !seen[key] {
				seen[key] = true
				queue = append(queue, pair{dx, dy, w, i, class})
			}
		}
	}
	return "", same
}

// path spells the characters that led to pair i.
func (m *machine) path(queue []pair, i int) string {
	back := []rune{}
	for ; queue[i].from >= 0; i = queue[i].from {
		back = append(back, m.sample[queue[i].class])
	}
	for l, r := 0, len(back)-1; l < r; l, r = l+1, r-1 {
		back[l], back[r] = back[r], back[l]
	}
	return string(back)
}
