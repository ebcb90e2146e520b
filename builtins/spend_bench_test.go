package builtins

import (
	"bufio"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"starbook/builtins/teacher"
	"starbook/runtime/store"
)

// numbered makes n different questions of some 2 KB.
func numbered(n int) iter.Seq[teacher.Request] {
	pad := strings.Repeat("Say it in other words, please. ", 64)
	return func(yield func(teacher.Request) bool) {
		for i := range n {
			if !yield(teacher.Request{Model: "m", Prompt: fmt.Sprintf("%s question %d", pad, i), MaxTokens: 2000}) {
				return
			}
		}
	}
}

// resident is a figure of /proc/self/status in MB.
func resident(b *testing.B, field string) (mb float64) {
	f, err := os.Open("/proc/self/status")
	if err != nil {
		b.Skip(err)
	}
	defer f.Close()
	for in := bufio.NewScanner(f); in.Scan(); {
		if rest, ok := strings.CutPrefix(in.Text(), field+":"); ok {
			_, _ = fmt.Sscan(rest, &mb)
		}
	}
	return mb / 1024
}

// job asks n questions of a stub in another process, journalled in a store, and
// returns how long it took.
func job(b *testing.B, what string, n, inFlight int, d teacher.Deadlines, each func(teacher.Tally)) (teacher.Tally, time.Duration) {
	url := elsewhere(b, what)
	st, err := store.Open(filepath.Join(b.TempDir(), "store"))
	if err != nil {
		b.Fatal(err)
	}
	defer st.Close()
	spec, err := teacher.ParseSpec(url + "/v1#m")
	if err != nil {
		b.Fatal(err)
	}
	to, err := teacher.New(spec, "", d)
	if err != nil {
		b.Fatal(err)
	}
	defer to.Close()
	began := time.Now()
	tally, err := teacher.Ask(b.Context(), to, ledger{st: st}, numbered(n), teacher.Options{
		InFlight: inFlight, Price: teacher.Price{Input: 1, Output: 5}, Retry: teacher.Retry{Seed: 1}, Progress: each,
	})
	took := time.Since(began)
	if err != nil || tally.Answered != n {
		b.Fatalf("%+v, %v", tally, err)
	}
	return tally, took
}

// Requests a second, each journalled before it leaves and durable before it is used, against a stub that answers at once.
func BenchmarkDurable(b *testing.B) {
	for b.Loop() {
		const n = 20_000
		_, took := job(b, "0ms", n, 256, teacher.Deadlines{}, nil)
		b.ReportMetric(n/took.Seconds(), "requests/s")
		b.ReportMetric(resident(b, "VmHWM"), "MB-peak")
	}
}

// The part of the ideal at 200 in flight and 200 ms for each answer. The job is 180 round trips long, so that the
// opening of 200 connections and the last stragglers, 0.2 s together, are not the subject.
func BenchmarkInFlight(b *testing.B) {
	for b.Loop() {
		const n = 36_000
		_, took := job(b, "200ms", n, 200, teacher.Deadlines{}, nil)
		b.ReportMetric(100*(n/200*0.2)/took.Seconds(), "%-of-ideal")
		b.ReportMetric(resident(b, "VmHWM"), "MB-peak")
	}
}

// What 5 % 429, 2 % 5xx, 1 % resets and 0.5 % half-open connections cost in time. A connection
// that says nothing is given up after 1 s here, 60 s by default: the last of them hold the end of the job up, the others
// a place.
//
//	STARBOOK_ROWS (10000)
func BenchmarkFaults(b *testing.B) {
	n := fromEnv("STARBOOK_ROWS", 10_000)
	for b.Loop() {
		d := teacher.Deadlines{Reply: time.Second}
		_, calm := job(b, "100ms", n, 100, d, nil)
		began, nearly := time.Now(), time.Duration(0)
		tally, took := job(b, "100ms faults", n, 100, d, func(t teacher.Tally) {
			if t.Done == n-n/100 {
				nearly = time.Since(began)
			}
		})
		b.ReportMetric(took.Seconds()/calm.Seconds(), "times-as-long")
		b.ReportMetric(float64(tally.Answered)/float64(n)*100, "%-answered")
		b.Logf("%v without, %v with faults %v; 99 %% were done after %v", calm, took, tally.Faults, nearly)
	}
}

// Memory while 200,000 questions are asked.
func BenchmarkMemory(b *testing.B) {
	for b.Loop() {
		const n = 200_000
		debug.FreeOSMemory()
		var at [5]float64
		at[0] = resident(b, "VmRSS")
		job(b, "0ms", n, 256, teacher.Deadlines{}, func(t teacher.Tally) {
			if i := t.Done * 4 / n; t.Done%(n/4) == 0 && at[i] == 0 {
				at[i] = resident(b, "VmRSS")
			}
		})
		b.Logf("MB resident before, after a quarter, half, three quarters, all: %.0f; of it %.0f of files", at, resident(b, "RssFile"))
		b.ReportMetric(at[4]-at[1], "MB-growth")
		b.ReportMetric(resident(b, "VmHWM"), "MB-peak")
	}
}
