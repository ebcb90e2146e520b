package sweep

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"starbook/runtime"
)

// descent is the validation loss of a made-up training at p: it falls towards the bowl's value.
func descent(p Point, eval int) float64 {
	if p[1].(int64) == 13 {
		return math.NaN()
	}
	return bowl(p) + 3*math.Exp(-float64(eval)/2)
}

// train reports ten evaluations, as a training does, and stops when it is pruned.
func train(ctx context.Context, p Point) (evals int, err error) {
	w := Watching(ctx)
	w.Begin()
	var losses []float64
	for i := range 10 {
		losses = append(losses, descent(p, i))
		w.Report(losses)
		if ctx.Err() != nil {
			return i + 1, ctx.Err()
		}
	}
	return len(losses), nil
}

func runPruned(t *testing.T, s Search, jobs int) (trials []Trial, evals []int) {
	t.Helper()
	out, err := s.Run(t.Context(), jobs, func(ctx context.Context, i int, p Point) (float64, any, error) {
		if jobs > 1 { // end in an order of their own
			time.Sleep(time.Duration(rand.IntN(300)) * time.Microsecond)
		}
		n, err := train(ctx, p)
		return bowl(p), n, err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range out {
		if o.Err != nil {
			t.Fatal(o.Err)
		}
		trials, evals = append(trials, o.Trial), append(evals, o.Result.(int))
	}
	return trials, evals
}

// What is pruned depends on the seed and on what earlier trials came to, not on what ends
// first, nor on how often a sweep is begun.
func TestPruningIsPure(t *testing.T) {
	for _, p := range []Pruner{Median{Warmup: 1}, ASHA{Eta: 3, First: 1}} {
		for _, sampler := range []func(n int) Sampler{
			func(n int) Sampler { return Random{space, n, 5} },
			func(n int) Sampler { return TPE{Space: space, Trials: n, Seed: 5} },
		} {
			whole, evals := runPruned(t, Search{sampler(50), p}, 1)
			pruned := 0
			for i, tr := range whole {
				if tr.Pruned != "" {
					pruned++
				}
				if (tr.Pruned == "") != (evals[i] == 10) && evals[i] != 10 {
					t.Errorf("%T: trial %d made %d evaluations: %q", p, i, evals[i], tr.Pruned)
				}
			}
			if pruned == 0 || pruned > 45 {
				t.Errorf("%T, %T: %d of 50 pruned: the test proves little", p, sampler(1), pruned)
			}
			if half, _ := runPruned(t, Search{sampler(25), p}, 1); !reflect.DeepEqual(half, whole[:25]) {
				t.Errorf("%T: 25 trials are not the first 25 of 50", p)
			}
			for _, jobs := range []int{1, 4, 8} {
				if again, _ := runPruned(t, Search{sampler(50), p}, jobs); !reflect.DeepEqual(again, whole) {
					t.Errorf("%T, %d jobs: other decisions", p, jobs)
				}
			}
		}
	}
}

func TestBestIsNeverPruned(t *testing.T) {
	trials := []Outcome{
		{Trial: Trial{Value: 0, Failed: true}},
		{Trial: Trial{Value: 1, Pruned: "eval 1"}},
		{Trial: Trial{Value: 3}},
		{Trial: Trial{Value: 2}},
		{Trial: Trial{Value: 2}},
		{Trial: Trial{Value: 9, Pruned: "eval 2"}},
	}
	if low, high, none := Best(trials, true), Best(trials, false), Best(trials[:2], true); low != 3 || high != 2 || none != -1 {
		t.Errorf("the best are %d and %d, without any %d; want 3, 2 and -1", low, high, none)
	}
}

// The rules, on curves whose verdicts are known by hand.
func TestRules(t *testing.T) {
	ended := func(losses ...float64) Curve { return Curve{Losses: losses} }
	cut := func(losses ...float64) Curve { return Curve{Losses: losses, Cut: true} }
	others := []Curve{ended(4, 3, 1), ended(4, 2), ended(5, 5, 5), cut(6, 6), cut(9)}
	for _, c := range []struct {
		rule Pruner
		own  Curve
		want string
	}{
		{Median{Warmup: 1}, ended(9), ""},                                                // warm-up
		{Median{Warmup: 0}, ended(9), "eval 1: 9.0000 > median 5.0000 of 5 trials"},      // 4 4 5 6 9
		{Median{Warmup: 1}, ended(9, 4.5), "eval 2: 4.5000 > median 4.0000 of 4 trials"}, // 3 2 5 6
		{Median{Warmup: 1}, ended(4, 7), ""},                                             // the best so far counts
		{Median{Warmup: 1}, ended(9, 9, 9), ""},                                          // 1 2 5: too few
		{Median{Warmup: 1}, ended(math.Inf(1), math.Inf(1)), "eval 2: +Inf > median 4.0000 of 4 trials"},
		{ASHA{Eta: 2, First: 2}, ended(9), ""}, // no rung
		{ASHA{Eta: 2, First: 2}, ended(9, 4.5), "eval 2: 4.5000 is number 3 of 5 trials, of which 2 pass"},
		{ASHA{Eta: 2, First: 2}, ended(9, 2.5), ""},
		{ASHA{Eta: 2, First: 2}, ended(9, 9, 9), ""},
		{ASHA{Eta: 3, First: 1}, ended(9, 9, 1.5), "eval 3: 1.5000 is number 2 of 4 trials, of which 1 pass"},
		{ASHA{Eta: 3, First: 1}, ended(9, 9, 1), ""}, // as good as the best
	} {
		if got := c.rule.Judge(c.own, others); got != c.want {
			t.Errorf("%+v of %v: %q, want %q", c.rule, c.own.Losses, got, c.want)
		}
	}
	if why := (ASHA{Eta: 3, First: 1}).Judge(ended(7), nil); why != "" {
		t.Errorf("the first trial of all: %s", why)
	}
}

// A sweep inside a trial is not for the outer one to judge.
func TestInnerSweepIsItsOwn(t *testing.T) {
	outer := Search{Random{space, 12, 1}, Median{Warmup: 0}}
	_, err := outer.Run(t.Context(), 1, func(ctx context.Context, _ int, _ Point) (float64, any, error) {
		inner, err := Search{Sampler: Random{space, 3, 2}}.Run(ctx, 2, func(ctx context.Context, _ int, p Point) (float64, any, error) {
			n, err := train(ctx, p)
			if n != 10 {
				t.Error("an inner trial was pruned")
			}
			return 0, nil, err
		})
		return float64(len(inner)), nil, err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestPrunedContextSaysWhy(t *testing.T) {
	ctx, w := watched(t.Context(), Median{}, slices.Repeat([]Trial{{Curves: []Curve{{Losses: []float64{1}}}}}, 4))
	w.Begin()
	w.Report([]float64{2})
	var pruned *runtime.Pruned
	if !errors.As(context.Cause(ctx), &pruned) || !strings.HasPrefix(pruned.Why, "eval 1: 2.0000 > median 1.0000") {
		t.Errorf("got %v", context.Cause(ctx))
	}
	w.Report([]float64{2, 0}) // too late
	if got := w.end(); len(got) != 1 || len(got[0].Losses) != 1 || !got[0].Cut {
		t.Errorf("kept %+v", got)
	}
}

func TestParsePruner(t *testing.T) {
	for s, want := range map[string]Pruner{
		"": nil, "median": Median{Warmup: 1}, "median:0": Median{}, "median:3": Median{Warmup: 3},
		"asha": ASHA{3, 1}, "asha:4": ASHA{4, 1}, "asha:2:5": ASHA{2, 5},
	} {
		if got, err := ParsePruner(s); err != nil || got != want {
			t.Errorf("%q: %v, %v", s, got, err)
		}
	}
	for _, s := range []string{"hyperband", "median:x", "median:-1", "median:1:2", "asha:1", "asha:2:0", "asha:2:1:1", "asha:99999"} {
		if p, err := ParsePruner(s); err == nil {
			t.Errorf("%q: accepted as %+v", s, p)
		}
	}
}
