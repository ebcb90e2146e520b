package bench

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"starbook/gpu"
	"starbook/gpu/cpu"
	"starbook/gpu/model"
	"starbook/gpu/ref"
)

// TestShapes: the parameters that the publishers count.
func TestShapes(t *testing.T) {
	for name, want := range map[string]int{
		"qwen2.5-7b": 7615616512, "llama-3.1-8b": 8030261248, "qwen3-8b": 8190735360, "qwen3-0.6b": 596049920, "smollm2-135m": 134515008,
	} {
		c, err := Shape(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.Size(); got != want {
			t.Errorf("%s has %d parameters, want %d", name, got, want)
		}
	}
	if _, err := Shape("qwen"); err == nil || !strings.Contains(err.Error(), "smollm2-135m") {
		t.Errorf("an unknown shape: %v", err)
	}
}

// counter adds up the arithmetic of the products that a device is asked for.
type counter struct {
	gpu.Device
	flop float64
}

func (c *counter) MatMul(out, a, b gpu.Mat, alpha, beta float32) {
	c.flop += 2 * float64(a.Rows) * float64(a.Cols) * float64(b.Cols)
	c.Device.MatMul(out, a, b, alpha, beta)
}

func (c *counter) MatMulRows(out, a, b gpu.Mat, starts []int32, alpha float32) {
	c.flop += 2 * float64(a.Rows) * float64(a.Cols) * float64(b.Cols)
	c.Device.MatMulRows(out, a, b, starts, alpha)
}

// TestWork: what is said to be the arithmetic of an update is what its products are.
func TestWork(t *testing.T) {
	dev := &counter{Device: ref.New()}
	c, err := Shape("tiny")
	if err != nil {
		t.Fatal(err)
	}
	const rank = 8
	m, err := model.Random(dev, c, gpu.F32, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	a, err := model.NewAdapter(m, model.LoRA{Rank: rank, Alpha: rank, Targets: []string{"all-linear"}})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if got := adapterSize(c, rank); got != a.Params.Len() {
		t.Errorf("the adapter has %d parameters, not %d", a.Params.Len(), got)
	}
	p, err := model.NewPass(m, a, 64, true)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	b := model.Batch{}
	b.Append([]int32{1, 2, 3, 4, 5}, []int32{-1, -1, 4, 5, 6})
	b.Append([]int32{7, 8, 9}, []int32{8, 9, 10})
	dev.flop = 0
	if _, err := p.Gradient(&b, 0); err != nil {
		t.Fatal(err)
	}
	w := trainWork(c, rank, []int{5, 3}, 6)
	if got := w.Base + w.Head + w.Adapter; got != dev.flop {
		t.Errorf("%.0f FLOP, and the products have %.0f", got, dev.flop)
	}
	if want := 7.0 * 2 * (15 + 6) * 64 * 2; w.Attention != want { // pairs, H·E, layers
		t.Errorf("attention: %.0f FLOP, want %.0f", w.Attention, want)
	}
}

func TestFigures(t *testing.T) {
	f := measured("x", "s", 4, 1, 3, 2, 10)
	if f.Value != 3 || f.Low != 2 || f.High != 4 || f.N != 5 {
		t.Errorf("%+v", f)
	}
	if f = measured("x", "s", 1, 2); f.Value != 1.5 {
		t.Errorf("the median of two: %+v", f)
	}
	if f = measured("x", "s"); f.Missing == "" {
		t.Errorf("a figure of nothing: %+v", f)
	}
}

// few is the yardstick in a size for tests.
var few = Best{Side: 64, MiB: 1, N: 2}

func onCPU(t *testing.T) gpu.Device {
	t.Helper()
	dev, err := cpu.New(cpu.Options{Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := dev.Close(); err != nil {
			t.Error(err)
		}
	})
	return dev
}

func TestBenches(t *testing.T) { benches(t, onCPU(t)) }

// benches runs each of them and checks what must hold on every device.
func benches(t *testing.T, dev gpu.Device) {
	trained, err := Train{
		Shape: "tiny", Rank: 4, Tokens: 40, Ragged: true, Trained: 0.5, Batch: 3, Steps: 4, Warmup: 2, Weights: "bf16", Seed: 1, Best: few,
		Job: Job{Examples: 1000, Epochs: 3, HeldOut: 0.05, Every: 100},
	}.Run(t.Context(), dev)
	if err != nil {
		t.Fatal(err)
	}
	f := figures(t, trained)
	if n := len(trained.Lengths); n != 12 {
		t.Errorf("%d examples for 4 updates of 3", n)
	}
	for _, n := range trained.Lengths {
		if n <= 8 || n > 40 {
			t.Errorf("an example of %d rows of 8 to 40", n)
		}
	}
	if loss := f["loss of the first update"].Value; math.Abs(loss-math.Log(512)) > 0.2 {
		t.Errorf("a loss of %g: a random model of 512 tokens has about %g", loss, math.Log(512))
	}
	// 950 examples are 317 updates of 3, three times; 9 evaluations.
	update := f["speed of all updates"]
	if job := f["job"]; !strings.Contains(job.Note, "951 updates of 3, 9 evaluations") || job.Value <= 0 {
		t.Errorf("job: %+v, update %+v", job, update)
	}
	for _, static := range []bool{false, true} {
		decoded, err := Decode{
			Shape: "tiny", Rank: 4, Batch: 3, Prompts: 7, Prompt: 5, New: 10, Ragged: true, Static: static, Rows: 20, Steps: 2,
			Weights: "bf16", Seed: 1, Best: few,
		}.Run(t.Context(), dev)
		if err != nil {
			t.Fatal(err)
		}
		figures(t, decoded)
	}
	ops, err := Kernels{Shape: "tiny", Rank: 4, Tokens: 20, Batch: 2, Slots: 3, N: 2, Weights: "bf16", Best: few}.Run(t.Context(), dev)
	if err != nil {
		t.Fatal(err)
	}
	figures(t, ops)
	for _, op := range ops.Ops {
		if op.Time.N != 2 || op.Time.Value <= 0 || op.Bytes <= 0 || op.Size == "" {
			t.Errorf("%+v", op)
		}
	}
}

// figures returns those of a report by name. Each has a unit, and a value or a reason.
func figures(t *testing.T, r *Report) map[string]Figure {
	t.Helper()
	if _, err := model.ParseConfig(r.Config); err != nil {
		t.Error(err)
	}
	if _, err := json.Marshal(r); err != nil {
		t.Error(err) // a NaN, say
	}
	all := make(map[string]Figure)
	for _, f := range r.Figures {
		if f.Unit == "" || f.Missing == "" && (f.Value <= 0 || f.Low > f.Value || f.High < f.Value) {
			t.Errorf("%s %s: %+v", r.Bench, f.Name, f)
		}
		if _, twice := all[f.Name]; twice {
			t.Errorf("%s %s: twice", r.Bench, f.Name)
		}
		all[f.Name] = f
	}
	return all
}

func TestBadBenches(t *testing.T) {
	dev := onCPU(t)
	for want, run := range map[string]func() (*Report, error){
		"no shape": func() (*Report, error) { return Train{Shape: "x"}.Run(t.Context(), dev) },
		"rank 0":   func() (*Report, error) { return Train{Shape: "tiny"}.Run(t.Context(), dev) },
		"batch 0":  func() (*Report, error) { return Decode{Shape: "tiny"}.Run(t.Context(), dev) },
		"slots 0":  func() (*Report, error) { return Kernels{Shape: "tiny"}.Run(t.Context(), dev) },
		"a share of": func() (*Report, error) {
			return Train{Shape: "tiny", Rank: 1, Tokens: 1, Batch: 1, Steps: 1, Trained: 2}.Run(t.Context(), dev)
		},
		`type "int4"`: func() (*Report, error) {
			return Train{Shape: "tiny", Rank: 1, Tokens: 1, Batch: 1, Steps: 1, Trained: 1, Weights: "int4", Best: few}.Run(t.Context(), dev)
		},
	} {
		if _, err := run(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}
