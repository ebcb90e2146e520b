package runtime

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"starbook/runtime/cas"
	"starbook/runtime/store"
)

// usageEvery is the pause between two looks at what a step takes of the machine.
const usageEvery = time.Second

// usage looks, while a step works, at the processor time and the memory of the process and, if the
// step holds the GPU slot, at the GPU. The series are called system/…, x is the second since the
// step went to work here. They are facts of this execution and no function of the Spec: nothing may
// be calculated from them. Steps that work at the same time share the process, and have the same figures.
type usage struct {
	store  *store.Store
	key    cas.Digest
	begun  time.Time
	cpu    time.Duration // of the process so far
	last   time.Time
	joules float64
	gpu    *gpuMeter // nil: there is none, or the step does not hold it
}

// watchUsage begins; the caller calls stop, which waits, before the step's row commits.
func (r *Run) watchUsage(ctx context.Context, s *Step) (stop func()) {
	u := &usage{store: r.Store, key: s.key, begun: time.Now(), last: time.Now(), cpu: processTime()}
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(usageEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case now := <-tick.C:
				if u.gpu == nil && s.spec.Needs == GPU { // only for steps that take a while
					u.gpu = startGPUMeter(ctx)
				}
				u.look(now)
			}
		}
	})
	return func() { cancel(); wg.Wait(); u.gpu.wait() }
}

func (u *usage) look(now time.Time) {
	x := int64(now.Sub(u.begun).Seconds())
	point := func(name string, v float64) { u.store.Point(u.key, "system/"+name, x, v) }
	cpu, pause := processTime(), now.Sub(u.last).Seconds()
	point("cpu_percent", 100*(cpu-u.cpu).Seconds()/pause) // of one core
	u.cpu, u.last = cpu, now
	if rss, ok := residentBytes(); ok {
		point("rss_bytes", rss)
	}
	if g, ok := u.gpu.read(); ok {
		point("gpu_percent", g.percent)
		point("gpu_memory_bytes", g.memory)
		point("gpu_watts", g.watts)
		u.joules += g.watts * pause
		point("gpu_joules", u.joules) // since the step went to work here
	}
}

// processTime is what this process has taken of the processors, in user and system mode.
func processTime() time.Duration {
	var r syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &r) != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// residentBytes is the memory of this process that is in RAM; Linux says so.
func residentBytes() (float64, bool) {
	b, err := os.ReadFile("/proc/self/statm") // in pages: size, resident, …
	if err != nil {
		return 0, false
	}
	fields := strings.Fields(string(b))
	if len(fields) < 2 {
		return 0, false
	}
	pages, err := strconv.ParseFloat(fields[1], 64)
	return pages * float64(os.Getpagesize()), err == nil
}

// gpuReading is what NVIDIA's driver says of the first GPU.
type gpuReading struct {
	percent float64 // of the time, in which a kernel ran
	memory  float64 // bytes in use
	watts   float64
}

// gpuMeter is nvidia-smi, which comes with the driver, printing a line a second: that needs no
// library of ours, and reads what NVML does. A nil one reads nothing.
type gpuMeter struct {
	cmd *exec.Cmd

	mu    sync.Mutex
	last  gpuReading
	fresh bool
	gone  chan struct{}
}

// startGPUMeter starts it; nil if there is no such program. It ends with ctx.
func startGPUMeter(ctx context.Context) *gpuMeter {
	device := "0"
	if visible, _, _ := strings.Cut(os.Getenv("CUDA_VISIBLE_DEVICES"), ","); visible != "" {
		device = visible
	}
	cmd := exec.CommandContext(ctx, "nvidia-smi", "--id="+device, "--loop=1", "--format=csv,noheader,nounits",
		"--query-gpu=utilization.gpu,memory.used,power.draw")
	out, err := cmd.StdoutPipe()
	if err != nil || cmd.Start() != nil {
		return nil
	}
	m := &gpuMeter{cmd: cmd, gone: make(chan struct{})}
	go func() {
		defer close(m.gone)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if g, ok := parseGPU(lines.Text()); ok {
				m.mu.Lock()
				m.last, m.fresh = g, true
				m.mu.Unlock()
			}
		}
		_ = cmd.Wait() // it was killed
	}()
	return m
}

// parseGPU reads "37, 10240, 251.33": percent, MiB, watts. What a GPU does not measure is "[N/A]".
func parseGPU(line string) (g gpuReading, ok bool) {
	fields := strings.Split(line, ",")
	if len(fields) != 3 {
		return g, false
	}
	for i, v := range []*float64{&g.percent, &g.memory, &g.watts} {
		var err error
		if *v, err = strconv.ParseFloat(strings.TrimSpace(fields[i]), 64); err != nil {
			return g, false
		}
	}
	g.memory *= 1 << 20
	return g, true
}

func (m *gpuMeter) read() (gpuReading, bool) {
	if m == nil {
		return gpuReading{}, false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	ok := m.fresh
	m.fresh = false
	return m.last, ok
}

func (m *gpuMeter) wait() {
	if m != nil {
		<-m.gone
	}
}
