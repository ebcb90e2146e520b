package train

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"starbook/gpu"
	"starbook/gpu/cpu"
	"starbook/gpu/model"
	"starbook/gpu/ref"
	"starbook/gpu/safetensors"
)

func tiny() model.Config {
	return model.Config{
		Vocab: 23, Hidden: 16, FeedForward: 20, Layers: 2, Heads: 4, KVHeads: 2, HeadDim: 4,
		MaxPositions: 32, NormEps: 1e-5, BOS: -1, Rope: model.Rope{Theta: 1e4, Kind: "default"},
	}
}

// examples returns n texts of uneven length, of which the second half is trained.
func examples(n int, seed uint64) []Example {
	random := rand.New(rand.NewPCG(seed, 0))
	all := make([]Example, n)
	for i := range all {
		size := 4 + random.IntN(8)
		for j := range size {
			all[i].Tokens = append(all[i].Tokens, int32((i+3*j)%23))
			all[i].Trained = append(all[i].Trained, 2*j >= size)
		}
	}
	return all
}

func options() Options {
	o := Default()
	o.Epochs, o.Batch, o.MicroTokens, o.LR, o.Warmup, o.EvalSteps, o.Seed = 4, 4, 64, 5e-3, 2, 3, 5
	return o
}

// onDevices runs a test on the reference device, its arguments checked, and on
// the CPU.
func onDevices(t *testing.T, test func(t *testing.T, dev gpu.Device)) {
	t.Run("ref", func(t *testing.T) { test(t, gpu.Checked(ref.New())) })
	t.Run("cpu", func(t *testing.T) {
		dev, err := cpu.New(cpu.Options{Threads: 2})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := dev.Close(); err != nil {
				t.Error(err)
			}
		})
		test(t, dev)
	})
}

// start returns a Trainer of a fresh adapter, or of the whole model.
func start(t *testing.T, dev gpu.Device, full bool, o Options) *Trainer {
	t.Helper()
	return startOf(t, dev, tiny(), full, o)
}

func startOf(t *testing.T, dev gpu.Device, cfg model.Config, full bool, o Options) *Trainer {
	t.Helper()
	m, err := model.New(dev, cfg, 1)
	if err != nil {
		t.Fatal(err)
	}
	var a *model.Adapter
	if full {
		_, err = m.Unfreeze()
	} else {
		a, err = model.NewAdapter(m, model.LoRA{Rank: 4, Alpha: 8, Targets: []string{"all-linear", "lm_head"}, Dropout: 0.1, Seed: 3})
	}
	if err != nil {
		t.Fatal(err)
	}
	tr, err := New(m, a, examples(14, 1), examples(5, 2), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tr.Close)
	return tr
}

// finish runs tr to its end and returns its updates.
func finish(t *testing.T, tr *Trainer) []Update {
	t.Helper()
	var all []Update
	for u, err := range tr.Steps(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, u)
	}
	return all
}

func bytesOf(t *testing.T, tr *Trainer) []byte {
	t.Helper()
	s, err := tr.State()
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := s.write(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestTrainingLearns(t *testing.T) { onDevices(t, trainingLearns) }

func trainingLearns(t *testing.T, dev gpu.Device) {
	for _, full := range []bool{false, true} {
		o := options()
		o.Epochs, o.LR = 10, 2e-2
		tr := start(t, dev, full, o)
		all := finish(t, tr)
		if len(all) != 40 || tr.Total() != 40 {
			t.Fatalf("14 examples, 4 at a time, 10 times: %d updates of %d, not 40", len(all), tr.Total())
		}
		if first, last := all[0].Loss, all[len(all)-1].Loss; !(last < first/2) {
			t.Errorf("full %v: loss went from %.3f to %.3f only", full, first, last)
		}
	}
}

// TestResumeIsBitExact interrupts a training after every update, gives its
// state to a new process as a file, and compares where it ends.
func TestResumeIsBitExact(t *testing.T) { onDevices(t, resumeIsBitExact) }

func resumeIsBitExact(t *testing.T, dev gpu.Device) {
	for _, full := range []bool{false, true} {
		whole := start(t, dev, full, options())
		finish(t, whole)
		want := bytesOf(t, whole)
		for _, kill := range []int{3, 14} { // at an evaluation, and between two
			path := filepath.Join(t.TempDir(), "state.safetensors")
			broken := start(t, dev, full, options())
			for u, err := range broken.Steps(t.Context()) {
				if err != nil {
					t.Fatal(err)
				}
				if u.Step == kill {
					break
				}
			}
			s, err := broken.State()
			if err != nil {
				t.Fatal(err)
			}
			if err := s.WriteFile(path); err != nil {
				t.Fatal(err)
			}
			if s, err = ReadState(path); err != nil {
				t.Fatal(err)
			}
			resumed := start(t, dev, full, options())
			if err := resumed.Restore(s); err != nil {
				t.Fatal(err)
			}
			finish(t, resumed)
			if !bytes.Equal(bytesOf(t, resumed), want) {
				t.Errorf("full %v: killed after update %d, it ends elsewhere", full, kill)
			}
		}
	}
}

// TestInterruptedEvaluationIsMadeUp cancels in the evaluation after update 3.
func TestInterruptedEvaluationIsMadeUp(t *testing.T) { onDevices(t, interruptedEvaluationIsMadeUp) }

func interruptedEvaluationIsMadeUp(t *testing.T, dev gpu.Device) {
	whole := start(t, dev, false, options())
	finish(t, whole)
	broken := start(t, dev, false, options())
	// An update asks ctx once a micro-batch, of which each here has one.
	ctx := &fuse{Context: t.Context(), left: 3}
	var last error
	for _, err := range broken.Steps(ctx) {
		last = err
	}
	if !errors.Is(last, context.Canceled) || broken.Step() != 3 || broken.Done() || len(broken.at.Evals) != 0 {
		t.Fatalf("stopped by %v after %d updates and %d evaluations", last, broken.Step(), len(broken.at.Evals))
	}
	s, err := broken.State()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "state")
	if err := s.WriteFile(path); err != nil {
		t.Fatal(err)
	}
	if s, err = ReadState(path); err != nil {
		t.Fatal(err)
	}
	resumed := start(t, dev, false, options())
	if err := resumed.Restore(s); err != nil {
		t.Fatal(err)
	}
	rest := finish(t, resumed)
	if rest[0].Step != 3 || rest[0].Eval == nil || rest[0].Loss == 0 {
		t.Errorf("went on with %+v", rest[0])
	}
	if !bytes.Equal(bytesOf(t, resumed), bytesOf(t, whole)) {
		t.Error("it ends elsewhere")
	}
}

// fuse is a context that is cancelled when it has been asked so many times.
type fuse struct {
	context.Context
	left int
}

func (f *fuse) Err() error {
	if f.left--; f.left < 0 {
		return context.Canceled
	}
	return nil
}

// TestUpdatesDoNotDependOnMicroBatches compares the states after 6 updates,
// computed at once, by pairs and one by one, bit for bit, with biases, windows
// and norms of heads too.
func TestUpdatesDoNotDependOnMicroBatches(t *testing.T) {
	onDevices(t, updatesDoNotDependOnMicroBatches)
}

func updatesDoNotDependOnMicroBatches(t *testing.T, dev gpu.Device) {
	qwen2, qwen3, tied := tiny(), tiny(), tiny()
	tied.Tied = true
	qwen2.Family, qwen2.Window, qwen2.Sliding = "Qwen2ForCausalLM", 4, []bool{false, true}
	qwen3.Family = "Qwen3ForCausalLM"
	for _, c := range []struct {
		cfg  model.Config
		full bool
	}{{tiny(), false}, {tiny(), true}, {qwen2, true}, {qwen3, true}, {qwen3, false}, {tied, true}} {
		var want []byte
		for _, rows := range []int{1000, 20, 1} {
			o := options()
			o.MaxSteps, o.MicroTokens = 3, rows
			tr := startOf(t, dev, c.cfg, c.full, o)
			finish(t, tr)
			s, err := tr.State()
			if err != nil {
				t.Fatal(err)
			}
			s.Options.MicroTokens = 0
			var b bytes.Buffer
			if err := s.write(&b); err != nil {
				t.Fatal(err)
			}
			if want == nil {
				want = b.Bytes()
			} else if !bytes.Equal(b.Bytes(), want) {
				t.Errorf("%s, full %v: %d rows at a time, it ends elsewhere", c.cfg.Family, c.full, rows)
			}
		}
	}
}

// waiting counts how often the host waits for all that the device has to do.
type waiting struct {
	gpu.Device
	waits int
}

func (w *waiting) Sync() error {
	w.waits++
	return w.Device.Sync()
}

func (w *waiting) Download(dst []float32, src gpu.Buf) {
	w.waits++
	w.Device.Download(dst, src)
}

// Updates follow one another without a wait, one is under way while the body
// runs, and what they come to is what it is if each is waited for.
func TestUpdatesAreReadLate(t *testing.T) { onDevices(t, updatesAreReadLate) }

func updatesAreReadLate(t *testing.T, dev gpu.Device) {
	run := func(hold int) ([]Update, []byte) {
		d := &waiting{Device: dev}
		o := options()
		o.EvalSteps = -1
		tr := start(t, d, false, o)
		tr.Hold(hold)
		d.waits = 0
		var all []Update
		for u, err := range tr.Steps(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			if ahead := tr.flight != nil; ahead != (hold == 0 && u.Step < tr.Total()) {
				t.Errorf("hold %d: after update %d the next is under way: %v", hold, u.Step, ahead)
			}
			all = append(all, u)
		}
		if d.waits > 0 {
			t.Errorf("hold %d: the host waited %d times in %d updates", hold, d.waits, len(all))
		}
		return all, bytesOf(t, tr)
	}
	late, lateState := run(0)
	held, heldState := run(1)
	if !reflect.DeepEqual(late, held) || !bytes.Equal(lateState, heldState) {
		t.Errorf("read late, updates are\n%+v\nand read at once\n%+v", late, held)
	}
}

// poisoned is a device whose losses are not a number in chosen updates.
type poisoned struct {
	gpu.Device
	calls int
	bad   map[int]bool
}

func (p *poisoned) CrossEntropy(loss, logits gpu.Buf, targets []int32, vocab int, scale float32) {
	p.Device.CrossEntropy(loss, logits, targets, vocab, scale)
	if p.calls++; p.bad[p.calls] {
		p.Upload(loss.Slice(0, 1), []float32{float32(math.NaN())})
	}
}

// A bad update changes nothing, and the next one is begun before the host knows
// of it and yet corrects its moments for the updates that were made.
func TestBadUpdatesAreSkipped(t *testing.T) {
	for _, c := range []struct {
		bad  map[int]bool
		want string
	}{
		{map[int]bool{2: true, 4: true}, ""},
		{map[int]bool{2: true, 3: true}, "updates 2 and 3"},
	} {
		var ends [][]float32
		for _, hold := range []int{1, 0} {
			m, err := model.New(&poisoned{Device: ref.New(), bad: c.bad}, tiny(), 1)
			if err != nil {
				t.Fatal(err)
			}
			a, err := model.NewAdapter(m, model.LoRA{Rank: 4, Alpha: 8, Targets: []string{"q_proj"}})
			if err != nil {
				t.Fatal(err)
			}
			o := options()
			o.MaxSteps = 5
			tr, err := New(m, a, examples(14, 1), nil, o)
			if err != nil {
				t.Fatal(err)
			}
			defer tr.Close()
			tr.Hold(hold)
			before, last := []float32(nil), error(nil)
			for u, err := range tr.Steps(t.Context()) {
				last = err
				if err != nil {
					break
				}
				after, _ := a.Params.Read()
				if bad := c.bad[u.Step]; bad != u.Skipped || bad != (len(u.Bad) == 1) {
					t.Errorf("update %d: skipped %v, bad %v", u.Step, u.Skipped, u.Bad)
				} else if bad && hold == 1 && !slices.Equal(before, after) {
					t.Errorf("update %d was skipped and changed weights", u.Step)
				}
				before = after
			}
			if got := errorText(last); c.want == "" && got != "" || !strings.Contains(got, c.want) {
				t.Errorf("error %q, want %q", got, c.want)
			}
			if ends = append(ends, before); last == nil && !slices.Equal(ends[0], before) {
				t.Errorf("hold %d: it ends elsewhere than if each update is waited for", hold)
			}
		}
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestExamplesAreChecked(t *testing.T) {
	m, err := model.New(ref.New(), tiny(), 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Unfreeze(); err != nil {
		t.Fatal(err)
	}
	good := examples(2, 1)
	long := Example{Tokens: make([]int32, 40), Trained: make([]bool, 40)}
	long.Trained[39] = true
	for want, bad := range map[string]Example{
		"example 2: none of its 3 tokens":    {Tokens: []int32{1, 2, 3}, Trained: []bool{true, false, false}},
		"example 2: 2 tokens, but 1 marks":   {Tokens: []int32{1, 2}, Trained: []bool{true}},
		"example 2: token 1 is 23":           {Tokens: []int32{1, 23}, Trained: []bool{true, true}},
		"example 2: 39 tokens, but the mode": long,
	} {
		_, err := New(m, nil, append(good[:2:2], bad), nil, options())
		if !strings.Contains(errorText(err), want) {
			t.Errorf("error %q, want %q", errorText(err), want)
		}
	}
}

// write writes what WriteFile does.
func (s *State) write(w io.Writer) error {
	f, err := s.file()
	if err != nil {
		return err
	}
	return safetensors.WriteFunc(w, f.tensors, f.metadata, f.data)
}
