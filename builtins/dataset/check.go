package dataset

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// A Check looks through the rows of a training set.
type Check struct {
	Need    []string // of Prompt and Completion, which each row must have
	Against []Row    // of evaluations: what must not be trained on
	Near    bool     // also look for rows that say nearly the same
	Related bool     // rows and Against take their ids from one book, so that equal numbers mean the same item
	Keep    []Code   // rows that break these rules count as good
	Workers int

	// More says what else is wrong with single rows; stays says which have no fault yet. May be nil.
	More func(rows []Row, stays func(int) bool) ([]Finding, error)
}

// Run returns what is wrong, by row and rule. Rows that break a rule of their
// own are not compared with others.
func (c Check) Run(rows []Row) ([]Finding, error) {
	all := c.each(rows)
	all = append(all, c.ids(rows)...)
	all = append(all, cutWords(rows)...)
	broken := ByRow(all)
	stays := func(i int) bool { _, goes := Reason(broken[i], c.Keep); return !goes }
	if c.More != nil {
		more, err := c.More(rows, stays)
		if err != nil {
			return nil, err
		}
		all = append(all, more...)
		broken = ByRow(all)
	}
	all = append(all, c.tested(rows, stays)...)
	broken = ByRow(all)
	all = append(all, c.twins(rows, stays)...)
	broken = ByRow(all)
	all = append(all, skew(rows, stays)...)
	slices.SortStableFunc(all, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Row, b.Row), cmp.Compare(rank(a.Code), rank(b.Code)))
	})
	return all, nil
}

// each looks at every row by itself.
func (c Check) each(rows []Row) []Finding {
	workers := max(c.Workers, 1)
	parts := make([][]Finding, workers)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := len(rows) * w / workers; i < len(rows)*(w+1)/workers; i++ {
				parts[w] = append(parts[w], c.row(i, rows[i])...)
			}
		})
	}
	wg.Wait()
	return slices.Concat(parts...)
}

// row is what the rules for single rows say.
func (c Check) row(i int, r Row) []Finding {
	if why := c.schema(r); why != "" {
		return []Finding{Found(i, Schema, why)}
	}
	var out []Finding
	x := exchangeOf(r)
	for _, rule := range []struct {
		code Code
		why  func(exchange) string
	}{
		{Empty, exchange.empty},
		{Same, exchange.same},
		{Truncated, exchange.truncated},
		{Refused, exchange.refused},
		{LeakPrompt, exchange.scaffolding},
		{Language, exchange.language},
		{Personal, exchange.personal},
		{Key, exchange.key},
	} {
		if why := rule.why(x); why != "" {
			out = append(out, Found(i, rule.code, why))
		}
	}
	if why := garbledRow(r); why != "" {
		f := Found(i, Encoding, why)
		if garbledRow(Mend(r)) == "" {
			f.Action = Repair
		}
		out = append(out, f)
	}
	return out
}

// schema says what is missing or out of order.
func (c Check) schema(r Row) string {
	if _, chat := r[Messages]; !chat {
		for _, column := range c.Need {
			switch v, has := r[column]; v.(type) {
			case string:
			default:
				if !has {
					return "no " + column
				}
				return column + " is not text"
			}
		}
		return ""
	}
	list, _ := r[Messages].([]any)
	turns, err := messages(list)
	if err != nil {
		return err.Error()
	}
	next := "user"
	for i, x := range turns {
		role := x.(map[string]any)["role"]
		switch {
		case i == 0 && (role == "system" || role == "developer"):
		case role == "tool" && next == "user": // what an assistant's call returned
			next = "assistant"
		case role != next:
			return fmt.Sprintf("turn %d is the %v's, not the %s's", i+1, role, next)
		case role == "user":
			next = "assistant"
		default:
			next = "user"
		}
	}
	if next != "user" && slices.Contains(c.Need, Completion) {
		return "the last turn is not the assistant's"
	}
	return ""
}

// ids finds names that are not unique.
func (c Check) ids(rows []Row) []Finding {
	var all []Finding
	first := make(map[string]int, len(rows))
	for i, r := range rows {
		id, ok := Text(r, "id")
		if !ok || id == "" {
			continue
		}
		if k, twice := first[id]; twice {
			if !equalValues(r, rows[k]) { // an equal row is a duplicate, and said to be one
				all = append(all, Found(i, Schema, fmt.Sprintf("the id %q is that of row %d", id, k+1)))
			}
			continue
		}
		first[id] = i
	}
	return all
}

// tested finds items of an evaluation.
func (c Check) tested(rows []Row, stays func(int) bool) []Finding {
	if len(c.Against) == 0 {
		return nil
	}
	items := make([]Item, len(c.Against))
	for i, r := range c.Against {
		items[i] = Item{ID: ID(r), Parent: Parent(r), Text: exchangeOf(r).prompt}
	}
	leaks := NewLeaks(items)
	var all []Finding
	for i, r := range rows {
		if !stays(i) {
			continue
		}
		if l, ok := leaks.Of(r, c.Related); ok {
			all = append(all, Found(i, Tested, fmt.Sprintf("%s, of the item %s", l.How, items[l.Item].ID)))
		}
	}
	return all
}

// twins finds rows that say the same as an earlier row that stays, or nearly.
func (c Check) twins(rows []Row, stays func(int) bool) []Finding {
	var all []Finding
	var single []int          // rows that are no duplicates
	var sets [][]uint32       // of their grams
	first := map[uint64]int{} // by a hash of both texts
	for i, r := range rows {
		if !stays(i) {
			continue
		}
		x := exchangeOf(r)
		key := x.plain()
		if k, met := first[key]; met && sameText(x, exchangeOf(rows[k])) {
			all = append(all, Found(i, Duplicate, "of "+nameOf(rows, k)))
			continue
		}
		first[key] = i
		if c.Near {
			words := append(wordsOf(x.prompt), wordsOf(x.completion)...)
			single, sets = append(single, i), append(sets, set(grams(words, nearGram)))
		}
	}
	leaveOutCommon(sets)
	near := NewNear(nearness)
	var kept []int // rows by their number in near
	for k, s := range sets {
		i := single[k]
		if like := near.findSet(s); len(like) > 0 {
			best := slices.MaxFunc(like, func(a, b NearText) int { return cmp.Compare(a.Jaccard, b.Jaccard) })
			all = append(all, Found(i, NearTwin, fmt.Sprintf("%.2f of %s", best.Jaccard, nameOf(rows, kept[best.N]))))
			continue
		}
		near.addSet(s)
		kept = append(kept, i)
	}
	return all
}

// nearness is the similarity from which a row is the twin of an earlier one.
const nearness = 0.8

// A gram that more than this share of the rows hold, and more than so many, is
// an instruction or a turn of phrase that they have in common, and tells nothing.
const (
	commonShare = 0.01
	commonRows  = 50
)

// leaveOutCommon takes the grams that many sets hold out of all of them. It
// counts by 22 bits of a gram: what collides makes hardly any look common.
func leaveOutCommon(sets [][]uint32) {
	const mask = 1<<22 - 1
	counts := make([]uint32, mask+1)
	for _, s := range sets {
		for _, g := range s {
			counts[g&mask]++
		}
	}
	most := uint32(max(commonRows, commonShare*float64(len(sets))))
	for i, s := range sets {
		sets[i] = slices.DeleteFunc(s, func(g uint32) bool { return counts[g&mask] > most })
	}
}

func nameOf(rows []Row, i int) string { return fmt.Sprintf("row %d, %s", i+1, ID(rows[i])) }

// plain hashes what makes a row another one than others.
func (x exchange) plain() uint64 { return hash(Fold(x.prompt) + "\x00" + Fold(x.completion)) }

func sameText(x, y exchange) bool {
	return Fold(x.prompt) == Fold(y.prompt) && Fold(x.completion) == Fold(y.completion)
}

// Fold takes from a text what does not make it another one: case and white space.
func Fold(s string) string { return strings.Join(strings.Fields(strings.ToLower(s)), " ") }

// skewed is the share of rows above which a prompt is told, and fewRows what no
// prompt is told for.
const (
	skewed  = 0.005
	fewRows = 5
)

// skew finds prompts that have too many rows: one finding each, at its first row.
func skew(rows []Row, stays func(int) bool) []Finding {
	type group struct{ first, n int }
	groups := map[uint64]*group{} // by a hash of the prompt
	total := 0
	var order []*group
	for i, r := range rows {
		if !stays(i) {
			continue
		}
		total++
		key := hash(Fold(exchangeOf(r).prompt))
		g := groups[key]
		if g == nil {
			g = &group{first: i}
			groups[key] = g
			order = append(order, g)
		}
		g.n++
	}
	var all []Finding
	for _, g := range order {
		if g.n > fewRows && float64(g.n) > skewed*float64(total) {
			all = append(all, Found(g.first, Skew, fmt.Sprintf("%d of %d rows have this prompt", g.n, total)))
		}
	}
	return all
}
