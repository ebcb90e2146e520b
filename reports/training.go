package reports

import (
	"fmt"
	"math"
	"strings"

	"starbook/runtime/cas"
	"starbook/runtime/store"
)

// training is what a page shows of a training step: its curves and why it stopped.
type training struct {
	Sentence  string
	Figures   []*figure
	Decisions []string
}

// drawnPoints is how many points or buckets of a long series are drawn: more
// than a chart has pixels would only cost bytes.
const drawnPoints = 240

// trainingOf reads and draws the curves of a step; nil if it has none.
func trainingOf(st *store.Store, u use) (*training, error) {
	t, _ := u.trained()
	out := &training{Sentence: t.sentence(), Decisions: t.Decisions}
	for _, draw := range []func(*store.Store, cas.Digest, trained) (chart, error){lossChart, perplexityChart, normChart, rateChart, speedChart} {
		c, err := draw(st, u.Key, t)
		if err != nil {
			return nil, fmt.Errorf("curves of step %s: %w", u.Key.Short(), err)
		}
		if f := c.figure(); f != nil {
			out.Figures = append(out.Figures, f)
		}
	}
	if len(out.Figures) == 0 && out.Sentence == "" {
		return nil, nil
	}
	if !u.Done {
		var err error
		if out.Sentence, err = reached(st, u.Key); err != nil {
			return nil, fmt.Errorf("series of step %s: %w", u.Key.Short(), err)
		}
	}
	if len(out.Figures) > 4 { // speed is a fact of the machine, not of the model
		out.Figures = out.Figures[:4]
	}
	return out, nil
}

// reached says how far an unfinished training has come.
func reached(st *store.Store, key cas.Digest) (string, error) {
	series, err := st.Series(key)
	if err != nil {
		return "", err
	}
	var parts []string
	for _, word := range []string{"train/loss", "eval/loss"} {
		for _, s := range series {
			if s.Name == word {
				parts = append(parts, strings.Replace(word, "/", " ", 1)+" "+number(s.Last))
			}
		}
	}
	bs, err := st.Buckets(key, "train/loss", 1)
	if err != nil || len(bs) == 0 {
		return "", err
	}
	return "At update " + count(bs[0].X1) + ": " + strings.Join(parts, ", ") + ".", nil
}

// sentence says how the training ended.
func (t trained) sentence() string {
	if t.StoppedStep == nil {
		return ""
	}
	s := "Ran to its end at update " + number(*t.StoppedStep)
	if t.Stopped == "patience" {
		s = "Stopped early at update " + number(*t.StoppedStep) + ": " + plural(int64(t.Patience), "evaluation") + " in a row without a better loss"
	}
	if t.BestStep != nil && t.BestEvalLoss != nil {
		s += fmt.Sprintf("; the weights kept are those of update %s, eval loss %s", number(*t.BestStep), number(*t.BestEvalLoss))
	}
	return s + "."
}

// lossChart draws training and evaluation loss, the best point and the window
// of patience.
func lossChart(st *store.Store, key cas.Digest, t trained) (chart, error) {
	c := chart{Title: "Loss (nats per token)", XLab: "update"}
	if err := c.noisy(st, key, "train/loss", "train"); err != nil {
		return c, err
	}
	eval, err := measured(st, key, "eval/loss")
	if err != nil {
		return c, err
	}
	if len(eval.Xs) > 0 {
		eval.Name, eval.Ink, eval.Style = "eval", "c2", "dashed"
		c.Curves = append(c.Curves, eval)
	}
	c.markStop(t)
	return c, nil
}

// markStop marks the best evaluation and the window of patience behind it.
func (c *chart) markStop(t trained) {
	if t.BestStep == nil || t.BestEvalLoss == nil || !finite(*t.BestEvalLoss) {
		return
	}
	c.Rings = append(c.Rings, ring{*t.BestStep, *t.BestEvalLoss, "best " + number(*t.BestEvalLoss)})
	if t.Stopped == "patience" && *t.StoppedStep > *t.BestStep {
		c.Spans = append(c.Spans, span{*t.BestStep, *t.StoppedStep, "patience" + nb + number(float64(t.Patience))})
	}
}

// perplexityChart draws the evaluation's perplexity, from its own series or as
// exp(loss).
func perplexityChart(st *store.Store, key cas.Digest, t trained) (chart, error) {
	c := chart{Title: "Perplexity of the evaluation set", XLab: "update"}
	cu, err := measured(st, key, "eval/perplexity")
	if err != nil {
		return c, err
	}
	if len(cu.Xs) == 0 {
		if cu, err = measured(st, key, "eval/loss"); err != nil {
			return c, err
		}
		for i, v := range cu.Ys {
			cu.Ys[i] = math.Exp(v)
		}
		c.Note = "exp(loss): the same evidence on another scale."
	}
	if len(cu.Xs) == 0 {
		return c, nil
	}
	cu.Name, cu.Ink, cu.Style = "eval", "c2", "dashed"
	c.Curves = append(c.Curves, cu)
	c.LogY = wide(cu.Ys)
	c.markStop(trained{Stopped: t.Stopped, StoppedStep: t.StoppedStep, Patience: t.Patience, BestStep: t.BestStep, BestEvalLoss: exp(t.BestEvalLoss)})
	return c, nil
}

// exp returns exp(*v), or nil.
func exp(v *float64) *float64 {
	if v == nil {
		return nil
	}
	e := math.Exp(*v)
	return &e
}

// normChart draws the norm of the gradient before clipping.
func normChart(st *store.Store, key cas.Digest, _ trained) (chart, error) {
	c := chart{Title: "Gradient norm (before clipping)", XLab: "update"}
	err := c.noisy(st, key, "train/grad_norm", "norm")
	for _, cu := range c.Curves {
		c.LogY = c.LogY || wide(cu.Ys)
	}
	return c, err
}

// rateChart draws the learning rate.
func rateChart(st *store.Store, key cas.Digest, _ trained) (chart, error) {
	c := chart{Title: "Learning rate", XLab: "update"}
	bs, err := st.Buckets(key, "train/learning_rate", drawnPoints)
	if err != nil || len(bs) == 0 {
		return c, err
	}
	cu := curve{Name: "learning rate", Ink: "c1"}
	for _, b := range bs {
		cu.Xs, cu.Ys = append(cu.Xs, float64(b.X1)), append(cu.Ys, b.Last)
	}
	c.Curves = []curve{cu}
	return c, nil
}

// speedChart draws tokens per second.
func speedChart(st *store.Store, key cas.Digest, _ trained) (chart, error) {
	c := chart{Title: "Tokens per second", XLab: "update"}
	return c, c.noisy(st, key, "train/tokens_per_second", "speed")
}

// wide reports whether the values span more than two decades above zero.
func wide(ys []float64) bool {
	lo, hi := math.Inf(1), math.Inf(-1)
	for _, y := range ys {
		if finite(y) {
			lo, hi = min(lo, y), max(hi, y)
		}
	}
	return lo > 0 && hi/lo > 100
}

// measured returns a short series in which every point counts.
func measured(st *store.Store, key cas.Digest, name string) (curve, error) {
	bs, err := st.Buckets(key, name, drawnPoints)
	return through(bs), err
}

// through returns the curve through the ends of buckets.
func through(bs []store.Bucket) curve {
	cu := curve{Dots: len(bs) <= 60}
	for _, b := range bs {
		cu.Xs, cu.Ys = append(cu.Xs, float64(b.X1)), append(cu.Ys, b.Last)
	}
	return cu
}

// noisy adds a series that jumps from point to point: behind, the raw line, or
// the band from least to greatest value where points share a bucket; before it,
// its running mean. A NaN breaks both.
func (c *chart) noisy(st *store.Store, key cas.Digest, series, name string) error {
	bs, err := st.Buckets(key, series, drawnPoints)
	if err != nil || len(bs) == 0 {
		return err
	}
	raw := curve{Name: name, Ink: "c1", Faint: true}
	var n int64
	for _, b := range bs {
		raw.Xs, raw.Ys = append(raw.Xs, float64(b.X1)), append(raw.Ys, b.Last)
		raw.Low, raw.High = append(raw.Low, b.Min), append(raw.High, b.Max)
		n += b.N
	}
	banded := n > int64(len(bs))
	if !banded {
		raw.Low, raw.High = nil, nil
	}
	mean := curve{Name: name, Ink: "c1", Xs: raw.Xs, Ys: smooth(raw.Ys)}
	if len(bs) < 20 { // few points speak for themselves
		raw.Faint = false
		c.Curves = append(c.Curves, raw)
		return nil
	}
	raw.Name = name + " (raw)"
	mean.Name = name + " (running mean)"
	raw.Bare = banded
	c.Curves = append(c.Curves, raw, mean)
	if banded {
		c.Note = fmt.Sprintf("%s, drawn as %d buckets from least to greatest.", plural(n, "point"), len(bs))
	}
	return nil
}

// smooth returns the running mean over about a twentieth of the points, as many
// before as behind, so that the mean of a falling curve does not lag behind it.
func smooth(ys []float64) []float64 {
	out := make([]float64, len(ys))
	for i, y := range ys {
		if !finite(y) {
			out[i] = math.NaN()
			continue
		}
		sum, n := 0.0, 0.0
		reach := min(len(ys)/40, i, len(ys)-1-i)
		for k := i - reach; k <= i+reach; k++ {
			if finite(ys[k]) {
				sum, n = sum+ys[k], n+1
			}
		}
		out[i] = sum / n
	}
	return out
}
