package teacher

import (
	"cmp"
	"fmt"
	"iter"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
)

// Quote says what it would cost to answer questions.
type Quote struct {
	Questions   int     `json:"questions"` // different ones
	Answered    int     `json:"answered"`  // of them, in the ledger: free
	InputTokens int64   `json:"input_tokens"`
	Encoding    string  `json:"encoding"`  // that they were counted with; "": estimated
	Factor      float64 `json:"factor"`    // by the answers, the provider counts so many tokens for each of ours; 0: no answers
	Rows        int     `json:"rows"`      // with the questions that equal others
	Known       int     `json:"known"`     // answers that the quote rests on
	P50         float64 `json:"p50_usd"`   // as likely more as less; NaN if too few answers are known
	P90         float64 `json:"p90_usd"`   // nine times in ten not more
	Worst       float64 `json:"worst_usd"` // if every answer is as long as it may be, and asked for again with twice the limit
	Free        bool    `json:"free"`      // the price is 0
	Batch       bool    `json:"batch"`     // the provider has a batch service at half the price

	open []open // what has to be asked
}

// open is a question without an answer.
type open struct {
	index  int // among the requests
	tokens float64
	limit  float64
	worst  float64
}

// PilotShare is the part of the questions that a pilot grows to, while the quote is not sharp.
const PilotShare = 0.1

// fewest answers that a quote can rest on.
const fewest = 20

// NewQuote counts what the questions have to be told and extrapolates from the
// answers that the ledger has to some of them. It sends nothing.
func NewQuote(t Teacher, l Ledger, requests iter.Seq[Request], m Model, p Price) (Quote, error) {
	q := Quote{Encoding: m.Encoding, P50: math.NaN(), P90: math.NaN(), Free: p == Price{}, Batch: !m.NoBatch && hasBatches(t.Spec())}
	var known []sample
	seen := map[Key]bool{}
	for r := range requests {
		i := q.Rows
		q.Rows++
		_, key := r.Canonical(t.Spec().Provider)
		if seen[key] {
			continue
		}
		seen[key] = true
		q.Questions++
		reply, ok, err := Answer(t, l, r)
		if err != nil {
			return q, err
		}
		if q.Free {
			if ok {
				q.Answered++
			}
			continue
		}
		tokens := float64(m.CountTokens(r))
		if ok {
			q.Answered++
			known = append(known, sample{tokens, reply.Usage})
			continue
		}
		q.InputTokens += int64(tokens)
		worst := p.Worst(r)
		if !r.Once {
			longer, _ := r.followUp(Reply{Finish: Length})
			worst += p.Worst(longer)
		}
		q.Worst += worst
		q.open = append(q.open, open{i, tokens, float64(r.MaxTokens), worst})
	}
	q.Known = len(known)
	if q.Free {
		q.P50, q.P90 = 0, 0
		return q, nil
	}
	if len(q.open) == 0 {
		q.P50, q.P90 = 0, 0
	} else if len(known) >= fewest {
		q.extrapolate(known, p)
	}
	return q, nil
}

// sample is an answered question: what we counted, and what the provider did.
type sample struct {
	tokens float64
	usage  Usage
}

// fit is a straight line through samples, and how far they lie off it.
type fit struct{ base, slope, spread float64 }

// line fits outputs to inputs by least squares; without a slope if the inputs
// hardly differ.
func line(s []sample) fit {
	var n, x, y, xx, xy float64
	for _, a := range s {
		n, x, y = n+1, x+a.tokens, y+float64(a.usage.Output)
	}
	x, y = x/n, y/n
	for _, a := range s {
		xx += (a.tokens - x) * (a.tokens - x)
		xy += (a.tokens - x) * (float64(a.usage.Output) - y)
	}
	f := fit{base: y}
	if xx > 0.01*x*x*n {
		f.slope = xy / xx
		f.base = y - f.slope*x
	}
	for _, a := range s {
		d := float64(a.usage.Output) - f.base - f.slope*a.tokens
		f.spread += d * d / n
	}
	f.spread = math.Sqrt(f.spread)
	return f
}

// extrapolate fills in the quantiles by the bootstrap: the answers are drawn again,
// a line is fitted to each drawing, and the open questions vary around it.
func (q *Quote) extrapolate(known []sample, p Price) {
	var counted, told, cached, written float64
	for _, s := range known {
		counted += s.tokens
		told += float64(s.usage.Input)
		cached += float64(s.usage.Cached)
		written += float64(s.usage.Written)
	}
	q.Factor = told / counted
	inputUSD := 0.0
	for _, o := range q.open {
		in := o.tokens * q.Factor
		u := Usage{Input: int64(in), Cached: int64(in * cached / told), Written: int64(in * written / told)}
		inputUSD += p.Cost(u)
	}
	const drawings = 1000
	random := rand.New(rand.NewPCG(uint64(len(known)), uint64(len(q.open))))
	groups := grouped(q.open)
	totals := make([]float64, drawings)
	drawn := make([]sample, len(known))
	for i := range totals {
		for j := range drawn {
			drawn[j] = known[random.IntN(len(known))]
		}
		f := line(drawn)
		out := 0.0
		for _, g := range groups {
			out += g.n * min(max(0, f.base+f.slope*g.tokens), g.limit)
		}
		out += f.spread * math.Sqrt(float64(len(q.open))) * random.NormFloat64()
		totals[i] = min(q.Worst, inputUSD+p.Cost(Usage{Output: int64(max(0, out))}))
	}
	slices.Sort(totals)
	q.P50, q.P90 = totals[drawings/2], totals[drawings*9/10]
}

// group stands for open questions of much the same length.
type group struct{ n, tokens, limit float64 }

// grouped makes at most 64 groups, of means.
func grouped(list []open) []group {
	sorted := slices.Clone(list)
	slices.SortFunc(sorted, func(a, b open) int { return cmp.Compare(a.tokens, b.tokens) })
	var groups []group
	for part := range slices.Chunk(sorted, len(sorted)/64+1) {
		g := group{n: float64(len(part))}
		for _, o := range part {
			g.tokens += o.tokens / g.n
			g.limit += o.limit / g.n
		}
		groups = append(groups, g)
	}
	return groups
}

// Sharp reports whether the bill is likely to be within 5 % of P50: the bound
// that holds nine times in ten is 1.28 standard deviations away, 5 % shall be 1.64.
func (q Quote) Sharp() bool { return q.P90 <= q.P50*(1+0.05*1.28/1.64) }

// Pilot chooses n open questions to ask first, evenly from the shortest to the
// longest, by their index, and says what they cost at most.
func (q Quote) Pilot(n int) (indexes map[int]bool, worstUSD float64) {
	if n <= 0 || len(q.open) < 2*n {
		return nil, 0
	}
	sorted := slices.Clone(q.open)
	slices.SortStableFunc(sorted, func(a, b open) int { return cmp.Compare(a.tokens, b.tokens) })
	indexes = map[int]bool{}
	for k := range n {
		o := sorted[(2*k+1)*len(sorted)/(2*n)]
		indexes[o.index] = true
		worstUSD += o.worst
	}
	return indexes, worstUSD
}

// dollars says the quantiles at a part of the price.
func (q Quote) dollars(part float64) string {
	if math.IsNaN(q.P50) {
		return "worst case " + USD(part*q.Worst)
	}
	return fmt.Sprintf("likely %s, nine times in ten at most %s, worst case %s", USD(part*q.P50), USD(part*q.P90), USD(part*q.Worst))
}

// Open is how many questions have to be asked.
func (q Quote) Open() int { return q.Questions - q.Answered }

// String says it in a line.
func (q Quote) String() string {
	var b strings.Builder
	noun := "questions"
	if q.Questions == 1 {
		noun = "question"
	}
	fmt.Fprintf(&b, "%d %s, %d answered before", q.Questions, noun, q.Answered)
	if q.Free {
		b.WriteString("; free of charge")
		return b.String()
	}
	if q.Open() == 0 {
		b.WriteString("; nothing to pay")
		return b.String()
	}
	how, tokens := "estimated with o200k_base", float64(q.InputTokens)
	if q.Encoding != "" {
		how = "counted with " + q.Encoding
	}
	if q.Factor > 0 {
		how += fmt.Sprintf(", times %.3f by %d answers", q.Factor, q.Known)
		tokens *= q.Factor
	}
	fmt.Fprintf(&b, "; %.0f input tokens (%s)", tokens, how)
	fmt.Fprintf(&b, "; %s", q.dollars(1))
	if q.Batch {
		fmt.Fprintf(&b, "; as a batch %s", q.dollars(0.5))
	}
	if math.IsNaN(q.P50) {
		fmt.Fprintf(&b, "; what is likely takes %d answers to say, and %d are known", fewest, q.Known)
	}
	return b.String()
}

// USD writes dollars as people read them: cents, or more digits where cents say nothing.
func USD(x float64) string {
	if x != 0 && math.Abs(x) < 0.1 {
		return fmt.Sprintf("$%.4f", x)
	}
	return fmt.Sprintf("$%.2f", x)
}

// hasBatches reports whether the provider runs batches at half the price.
func hasBatches(s Spec) bool {
	return s.Provider == "openai" || s.Provider == anthropicProvider
}
