package sweep

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"
)

var space = Space{
	{Name: "lr", Low: 1e-6, High: 1e-2, Log: true},
	{Name: "rank", Low: 1, High: 64, Log: true, Whole: true},
	{Name: "schedule", Choices: []any{"linear", "cosine", "constant"}},
}

// bowl is best at lr 1e-4, rank 16 and cosine.
func bowl(p Point) float64 {
	v := math.Abs(math.Log10(p[0].(float64))+4) + math.Abs(math.Log2(float64(p[1].(int64)))-4)/3
	if p[2] != "cosine" {
		v++
	}
	return v
}

func runBowl(t *testing.T, s Sampler, jobs int) []Trial {
	t.Helper()
	out, err := Search{Sampler: s}.Run(t.Context(), jobs, func(_ context.Context, i int, p Point) (float64, any, error) {
		if jobs > 1 { // end in an order of their own
			time.Sleep(time.Duration(rand.IntN(300)) * time.Microsecond)
		}
		if i == 7 {
			return 0, nil, errors.New("out of luck")
		}
		return bowl(p), i, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	trials := make([]Trial, len(out))
	for i, o := range out {
		trials[i] = o.Trial
		if !o.Failed && o.Result != i {
			t.Errorf("trial %d has the result of trial %v", i, o.Result)
		}
	}
	return trials
}

func best(trials []Trial) float64 {
	v := math.Inf(1)
	for _, t := range trials {
		if !t.Failed {
			v = min(v, t.Value)
		}
	}
	return v
}

// A sweep that is cut off and begun again proposes what one that was not would have, however
// many trials run at a time.
func TestProposalsArePure(t *testing.T) {
	for _, s := range []func(n int) Sampler{
		func(n int) Sampler { return Random{space, n, 5} },
		func(n int) Sampler { return TPE{Space: space, Trials: n, Seed: 5} },
	} {
		alone := runBowl(t, s(50), 1)
		for _, jobs := range []int{1, 3, 4, 7} {
			whole := runBowl(t, s(50), jobs)
			if !reflect.DeepEqual(whole, alone) {
				t.Errorf("%T: %d jobs propose other trials than one", s(1), jobs)
			}
			if half := runBowl(t, s(25), jobs); !reflect.DeepEqual(half, whole[:25]) {
				t.Errorf("%T, %d jobs: 25 trials are not the first 25 of 50", s(1), jobs)
			}
			if again := runBowl(t, s(50), jobs); !reflect.DeepEqual(again, whole) {
				t.Errorf("%T, %d jobs: run again, other proposals", s(1), jobs)
			}
		}
	}
}

// Over 40 seeds, 60 trials of TPE end nearer to the best point than 60 random ones.
func TestTPELearns(t *testing.T) {
	wins := 0
	for seed := range uint64(40) {
		if best(runBowl(t, TPE{Space: space, Trials: 60, Seed: seed}, 1)) < best(runBowl(t, Random{space, 60, seed}, 1)) {
			wins++
		}
	}
	if wins < 28 { // 28 of 40 is p = 0.008 for a coin
		t.Errorf("TPE was better than random in %d of 40 seeds", wins)
	}
}

func TestGridAndRandomVisitEveryPointOnce(t *testing.T) {
	small := Space{{Name: "lr", Choices: []any{1e-4, 1e-3}}, {Name: "patience", Low: 2, High: 4, Whole: true}}
	for _, s := range []Sampler{Grid{small}, Random{small, 100, 1}, TPE{Space: small, Trials: 100, Startup: 3}} {
		trials, err := Search{Sampler: s}.Run(t.Context(), 2, func(_ context.Context, _ int, p Point) (float64, any, error) { return p[0].(float64), nil, nil })
		if err != nil {
			t.Fatal(err)
		}
		keys := map[string]bool{}
		for _, tr := range trials {
			keys[tr.Point.key()] = true
		}
		if _, isTPE := s.(TPE); len(keys) != 6 && !isTPE || len(trials) != 6 && !isTPE {
			t.Errorf("%T: %d trials, %d points of 6", s, len(trials), len(keys))
		}
	}
	want := []Point{{1e-4, int64(2)}, {1e-4, int64(3)}, {1e-4, int64(4)}, {1e-3, int64(2)}, {1e-3, int64(3)}, {1e-3, int64(4)}}
	for i, p := range want {
		if got, ok := (Grid{small}).Next(i, nil); !ok || !slices.Equal(got, p) {
			t.Errorf("grid point %d is %v, want %v", i, got, p)
		}
	}
}

func TestDrawsStayInRange(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	seen := map[int64]int{}
	for range 3000 {
		p := space.Draw(r)
		lr, rank := p[0].(float64), p[1].(int64)
		if lr < 1e-6 || lr > 1e-2 || rank < 1 || rank > 64 {
			t.Fatalf("drew %v", p)
		}
		seen[rank]++
	}
	if seen[1] < 100 || seen[64] == 0 {
		t.Errorf("ranks on a logarithmic scale: %d times 1, %d times 64 of 3000", seen[1], seen[64])
	}
}

func TestCheckRefuses(t *testing.T) {
	for name, s := range map[string]Space{
		"nothing":     {},
		"twice":       {{Name: "a", Choices: []any{true}}, {Name: "a", Choices: []any{true}}},
		"empty":       {{Name: "a", Choices: []any{}}},
		"backwards":   {{Name: "a", Low: 2, High: 1}},
		"log of zero": {{Name: "a", Low: 0, High: 1, Log: true}},
		"endless":     {{Name: "a", Low: 0, High: math.Inf(1)}},
		"not numbers": {{Name: "a", Low: math.NaN(), High: 1}},
	} {
		if s.Check() == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if err := space.Check(); err != nil {
		t.Error(err)
	}
}

func TestInterruptedSweepReturns(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	_, err := Search{Sampler: Random{space, 100, 1}}.Run(ctx, 2, func(ctx context.Context, i int, _ Point) (float64, any, error) {
		if i == 3 {
			cancel()
		}
		return 0, nil, ctx.Err()
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
