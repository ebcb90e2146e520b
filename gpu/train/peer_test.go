package train

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"starbook/gpu/cpu"
	"starbook/gpu/model"
)

const tokens = 512

// flops is the arithmetic of a step of BenchmarkPeer. A token meets 30 layers of
// 3.54 million weights and a table of 28.3 million, forward and on the way back
// to the inputs; in the adapter's 4.9 million each also gives a gradient; attention
// is 30 layers of 9 heads of 64 by half of 512 keys, two products forward
// and five backward.
const flops = tokens * (2*2*134.5e6 + 3*2*4.88e6 + 7*2*30*9*64*256)

// cost is what a step took.
type cost struct{ seconds, cpu, peak float64 } // by the clock; of all processors; KiB at most so far

// BenchmarkPeer makes the steps of gpu/cpu/peer_lora.py in turn with it, run by
// the Python that PEER_PYTHON names: an adapter of rank 16 on all projections
// of a model shaped as SmolLM2-135M, whose weights are BF16 as in its file, 512
// tokens. f32 computes with floats on both sides, bf16 in bfloat16. It reports medians. Each kind
// is best run by itself, or the peak of memory is that of the ones before.
func BenchmarkPeer(b *testing.B) {
	for _, kind := range []struct {
		name    string
		threads int
	}{{"f32", 1}, {"f32", 2}, {"bf16", 1}, {"bf16", 2}} {
		b.Run(fmt.Sprintf("%s/%d", kind.name, kind.threads), func(b *testing.B) {
			ours := smolStep(b, cpu.Options{Threads: kind.threads, BF16: kind.name == "bf16"})
			theirs := startPeer(b, kind.threads, kind.name)
			ours()
			theirs.step(b)
			var our, their []cost
			for b.Loop() {
				time.Sleep(100 * time.Millisecond) // until the threads of the other have stopped spinning
				our = append(our, ours())
				their = append(their, theirs.step(b))
			}
			one, other := median(our), median(their)
			b.ReportMetric(other.seconds/one.seconds, "×PyTorch")
			for of, c := range map[string]cost{"": one, "PyTorch-": other} {
				b.ReportMetric(c.seconds, of+"s")
				b.ReportMetric(c.cpu, of+"cpu-s")
				b.ReportMetric(tokens/c.seconds, of+"tokens/s")
				b.ReportMetric(c.peak/1024, of+"peak-MiB")
			}
			b.ReportMetric(flops/one.seconds/1e9, "GFLOP/s")
		})
	}
}

// median returns the median of each part of costs.
func median(costs []cost) cost {
	middle := func(part func(cost) float64) float64 {
		var all []float64
		for _, c := range costs {
			all = append(all, part(c))
		}
		slices.Sort(all)
		return all[len(all)/2]
	}
	return cost{
		middle(func(c cost) float64 { return c.seconds }),
		middle(func(c cost) float64 { return c.cpu }),
		middle(func(c cost) float64 { return c.peak }),
	}
}

// smolStep returns a function that makes one update.
func smolStep(b *testing.B, o cpu.Options) func() cost {
	dev, err := cpu.New(o)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { dev.Close() })
	b.Log("here ", dev.Name())
	m, err := model.Open(dev, smolFile(b))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { m.Close() })
	a, err := model.NewAdapter(m, model.LoRA{Rank: 16, Alpha: 32, Targets: []string{"all-linear"}})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(a.Close)
	e := Example{Tokens: make([]int32, tokens+1), Trained: make([]bool, tokens+1)}
	for i := range e.Tokens {
		e.Tokens[i], e.Trained[i] = int32(i*37%49152), i > 0
	}
	training := Default()
	training.MaxSteps, training.EvalSteps = 1<<30, -1
	t, err := New(m, a, []Example{e}, nil, training)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(t.Close)
	t.Hold(1) // one update a call
	return func() cost {
		start, before := time.Now(), usage(b)
		if _, err := t.next(b.Context()); err != nil {
			b.Fatal(err)
		}
		after := usage(b)
		return cost{time.Since(start).Seconds(), after.cpu - before.cpu, after.peak}
	}
}

// smolFile writes random weights of SmolLM2-135M's shape.
func smolFile(b *testing.B) (dir string) {
	dev, err := cpu.New(cpu.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer dev.Close()
	m, err := model.New(dev, model.Config{
		Vocab: 49152, Hidden: 576, FeedForward: 1536, Layers: 30, Heads: 9, KVHeads: 3, HeadDim: 64,
		MaxPositions: 8192, NormEps: 1e-5, Tied: true, Rope: model.Rope{Theta: 1e5, Kind: "default"},
	}, 1)
	if err != nil {
		b.Fatal(err)
	}
	defer m.Close()
	dir = b.TempDir()
	if err := m.Save(dir, "BF16"); err != nil {
		b.Fatal(err)
	}
	return dir
}

// usage returns what this process has used so far.
func usage(b *testing.B) cost {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return cost{cpu: float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9, peak: float64(u.Maxrss)}
}

// torch is a running peer_lora.py.
type torch struct {
	in  *os.File
	out *bufio.Scanner
}

func startPeer(b *testing.B, threads int, kind string) *torch {
	python := os.Getenv("PEER_PYTHON")
	if python == "" {
		b.Skip("PEER_PYTHON names no Python with torch, transformers and peft")
	}
	script := filepath.Join("..", "cpu", "peer_lora.py")
	cmd := exec.CommandContext(b.Context(), python, script, "--threads", strconv.Itoa(threads), "--type", kind)
	cmd.Stderr = os.Stderr
	r, in, err := os.Pipe()
	if err != nil {
		b.Fatal(err)
	}
	cmd.Stdin = r
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	r.Close()
	b.Cleanup(func() {
		in.Close()
		cmd.Wait()
	})
	t := &torch{in, bufio.NewScanner(out)}
	if !t.out.Scan() {
		b.Fatal("the peer did not start")
	}
	b.Log(t.out.Text())
	return t
}

// step makes one step.
func (t *torch) step(b *testing.B) (c cost) {
	fmt.Fprintln(t.in)
	if !t.out.Scan() {
		b.Fatal("the peer is gone")
	}
	if _, err := fmt.Sscan(t.out.Text(), &c.seconds, &c.cpu, &c.peak); err != nil {
		b.Fatal(err)
	}
	return c
}
