package reports

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"starbook/runtime/cas"
	"starbook/runtime/store"
)

// overlays draws what compares ranked runs at a glance: pass rates, evaluation losses, and
// what they are ranked by against each numeric param.
func (b *builder) overlays(rows []boardRow, params []string, g goal) ([]*figure, error) {
	var out []*figure
	if f := boardBars(rows); f != nil {
		out = append(out, f)
	}
	f, err := b.lossOverlay(rows)
	if err != nil {
		return nil, err
	}
	if f != nil {
		out = append(out, f)
	}
	return append(out, paramScatters(rows, params, g)...), nil
}

// boardBars draws the pass rates of the leading runs.
func boardBars(rows []boardRow) *figure {
	v := bars{Title: "Pass rate", Rates: true, Max: 1, Note: "Whiskers: 95" + nb + "% Wilson intervals."}
	for _, r := range rows {
		if r.N == 0 {
			continue
		}
		if len(v.Rows) == ratedRuns {
			v.Note += " The first " + count(ratedRuns) + " of the board."
			break
		}
		v.Rows = append(v.Rows, barRow{r.name(), []barValue{rateValue(r.Passed, r.N)}})
	}
	return v.figure()
}

// name labels a run by its id and the params that set it apart.
func (r boardRow) name() string {
	s := r.ID
	if len(r.Values) > 0 {
		s += " · " + strings.Join(r.Values, ", ")
	}
	return clip(s, 26)
}

// lossOverlay draws the evaluation loss of each training, the leading ones in
// colour. Runs that share a training share its curve.
func (b *builder) lossOverlay(rows []boardRow) (*figure, error) {
	var keys []cas.Digest // of the trainings that are drawn
	names := map[cas.Digest][]string{}
	for _, r := range rows {
		for _, key := range r.trainingKeys {
			if names[key] == nil && len(keys) < allCurves {
				keys = append(keys, key)
			}
			names[key] = append(names[key], r.name())
		}
	}
	buckets, err := b.st.BucketsOf(keys, "eval/loss", drawnPoints)
	if err != nil {
		return nil, fmt.Errorf("reports: %w", err)
	}
	c := chart{Title: "Eval loss (nats per token)", XLab: "update"}
	var faint []curve
	for _, key := range keys {
		cu := through(buckets[key])
		switch n := len(c.Curves); {
		case len(cu.Xs) == 0:
		case n < boldCurves:
			cu.Name, cu.Ink, cu.Style, cu.Dots = clip(strings.Join(names[key], ", "), 40), series(n), styleNames[n%len(styleNames)], len(cu.Xs) <= 40
			c.Curves = append(c.Curves, cu)
		default:
			cu.Name, cu.Ink, cu.Dots, cu.Faint = names[key][0], "c8", false, true
			faint = append(faint, cu)
		}
	}
	var losses []float64
	for _, cu := range slices.Concat(faint, c.Curves) {
		losses = append(losses, cu.Ys...)
	}
	c.LogY = wideAxis(losses)
	if len(faint) > 0 {
		c.Note = "In colour: the trainings of the leading runs. Grey: " + plural(int64(len(faint)), "other") + ", from the least to the greatest."
		if slices.ContainsFunc(rows, func(r boardRow) bool { return r.Status == store.Pruned }) {
			c.Note += " Those of pruned trials end where they were cut."
		}
		c.Curves = slices.Concat([]curve{bandOf(slices.Concat(faint, c.Curves))}, c.Curves)
	}
	for _, u := range rows[0].Uses {
		if t, ok := u.trained(); ok && u.Key == keys[0] && len(buckets[u.Key]) > 0 {
			c.markStop(t)
			break
		}
	}
	return c.figure(), nil
}

// bandPoints is how many points the edges of a band have.
const bandPoints = 80

// bandOf returns the band from the least to the greatest value of all curves. Between the
// points of a curve it goes straight.
func bandOf(curves []curve) curve {
	lo, hi := math.Inf(1), math.Inf(-1)
	for _, cu := range curves {
		lo, hi = min(lo, cu.Xs[0]), max(hi, cu.Xs[len(cu.Xs)-1])
	}
	out := curve{Name: "least of all", Ink: "c8", Bare: true, Faint: true}
	for i := range bandPoints {
		x := lo + (hi-lo)*float64(i)/(bandPoints-1)
		least, most := math.Inf(1), math.Inf(-1)
		for _, cu := range curves {
			if y := cu.at(x); finite(y) {
				least, most = min(least, y), max(most, y)
			}
		}
		if least <= most {
			out.Xs, out.Ys, out.Low, out.High = append(out.Xs, x), append(out.Ys, least), append(out.Low, least), append(out.High, most)
		}
	}
	return out
}

// at returns the value of the curve at x, NaN outside of it.
func (cu curve) at(x float64) float64 {
	i, found := slices.BinarySearch(cu.Xs, x)
	switch {
	case found:
		return cu.Ys[i]
	case i == 0 || i == len(cu.Xs):
		return math.NaN()
	}
	part := (x - cu.Xs[i-1]) / (cu.Xs[i] - cu.Xs[i-1])
	return cu.Ys[i-1] + part*(cu.Ys[i]-cu.Ys[i-1])
}

// paramScatters draws what the runs are ranked by against each param that is a number and
// differs; at most four.
func paramScatters(rows []boardRow, params []string, g goal) []*figure {
	var out []*figure
	for k, name := range params {
		if len(out) == 4 {
			break
		}
		title, cu := g.Name, curve{Name: g.Name, Ink: "c2", Dots: true, Bare: true}
		if g.Rates {
			title, cu.Ink = title+" (%)", "c1"
		}
		distinct := map[float64]bool{}
		for _, r := range rows {
			x, err := strconv.ParseFloat(r.Values[k], 64)
			if err != nil || !finite(x) || !finite(r.Value) {
				continue
			}
			y := r.Value
			if g.Rates {
				y *= 100
				cu.Low, cu.High = append(cu.Low, 100*r.Low), append(cu.High, 100*r.High)
			}
			cu.Xs, cu.Ys = append(cu.Xs, x), append(cu.Ys, y)
			distinct[x] = true
		}
		if len(distinct) < 3 {
			continue
		}
		c := chart{Title: capital(title) + " against " + name, XLab: name, LogX: wideAxis(cu.Xs), LogY: !g.Rates && wideAxis(cu.Ys), Curves: []curve{cu}}
		if f := c.figure(); f != nil {
			out = append(out, f)
		}
	}
	return out
}

// wideAxis reports whether positive values span more than a decade, so that
// their logarithm spreads them better.
func wideAxis(xs []float64) bool {
	lo, hi := math.Inf(1), math.Inf(-1)
	for _, x := range xs {
		lo, hi = min(lo, x), max(hi, x)
	}
	return lo > 0 && hi/lo >= 10
}

// codeDiff is how the notebook of some runs differs from that of the first.
type codeDiff struct {
	Title string
	HTML  html
}

// codeDiffs compares the notebooks' texts; rows stand in the order that was asked for.
func (b *builder) codeDiffs(rows []boardRow) ([]codeDiff, error) {
	first := rows[0]
	ids := map[cas.Digest][]string{}
	var order []int
	for i, r := range rows {
		if ids[r.Source] == nil {
			order = append(order, i)
		}
		ids[r.Source] = append(ids[r.Source], r.ID)
	}
	var out []codeDiff
	for _, i := range order[1:] {
		if len(out) == 5 {
			break
		}
		r := rows[i]
		patch, err := b.detail("patch", "The difference", Diff(first.Text, r.Text))
		if err != nil {
			return nil, err
		}
		out = append(out, codeDiff{clip(first.ID+" → "+strings.Join(ids[r.Source], ", "), 80), patch})
	}
	return out, nil
}
