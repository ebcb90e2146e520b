package model

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"starbook/gpu"
	"starbook/gpu/cpu"
)

// BenchmarkDecode decodes in turn with gpu/cpu/peer_decode.py, which has
// llama.cpp do the same: 64 tokens after a prompt of 32, one sequence, the
// weights of the GGUF file that DECODE_GGUF names as they are, and as ExportGGUF writes
// them in other types. GGUF_PYTHON is a Python with llama-cpp-python. It reports
// medians, by the clock and of processor time.
//
// llama.cpp rounds activations to 8 bits for quantised weights and to 16 for weights
// of 16, we compute in floats: the tokens may part.
func BenchmarkDecode(b *testing.B) {
	python, file := os.Getenv("GGUF_PYTHON"), os.Getenv("DECODE_GGUF")
	if python == "" || file == "" {
		b.Skip("GGUF_PYTHON and DECODE_GGUF name no Python with llama-cpp-python and no GGUF file")
	}
	dir := b.TempDir()
	if _, err := UnpackGGUF(file, dir); err != nil {
		b.Fatal(err)
	}
	b.Run("file", func(b *testing.B) { decodeInTurn(b, python, file) })
	for _, t := range []gpu.Type{gpu.Q8_0, gpu.F16, gpu.BF16, gpu.F32} {
		b.Run(t.String(), func(b *testing.B) {
			path := filepath.Join(b.TempDir(), "other.gguf")
			if _, err := ExportGGUF(b.Context(), dir, path, "peer", t); err != nil {
				b.Fatal(err)
			}
			decodeInTurn(b, python, path)
		})
	}
}

func decodeInTurn(b *testing.B, python, file string) {
	for _, threads := range []int{1, 2} {
		b.Run(strconv.Itoa(threads), func(b *testing.B) {
			decode := decoder(b, file, threads)
			peer := exec.CommandContext(b.Context(), python, filepath.Join("..", "cpu", "peer_decode.py"), file, "--threads", strconv.Itoa(threads))
			peer.Stderr = os.Stderr
			in, err := peer.StdinPipe()
			if err != nil {
				b.Fatal(err)
			}
			out, err := peer.StdoutPipe()
			if err != nil {
				b.Fatal(err)
			}
			if err := peer.Start(); err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() {
				in.Close()
				peer.Wait()
			})
			lines := bufio.NewScanner(out)
			next := func() string {
				if !lines.Scan() {
					b.Fatal("the peer is gone")
				}
				return lines.Text()
			}
			b.Log(next())
			var ours, theirs, ourCPU, theirCPU []float64
			same := 0
			for b.Loop() {
				tokens, seconds, used := decode()
				ours, ourCPU = append(ours, seconds), append(ourCPU, used)
				time.Sleep(100 * time.Millisecond) // until the threads of the other have stopped spinning
				fmt.Fprintln(in)
				words := strings.Fields(next())
				if _, err := fmt.Sscan(words[0]+" "+words[1], &seconds, &used); err != nil {
					b.Fatal(err)
				}
				theirs, theirCPU = append(theirs, seconds), append(theirCPU, used)
				time.Sleep(100 * time.Millisecond)
				for same = 0; same < len(tokens) && strconv.Itoa(int(tokens[same])) == words[2+same]; same++ {
				}
			}
			for _, all := range [][]float64{ours, theirs, ourCPU, theirCPU} {
				slices.Sort(all)
			}
			middle := len(ours) / 2
			b.ReportMetric(theirs[middle]/ours[middle], "×llama.cpp")
			b.ReportMetric(theirCPU[middle]/ourCPU[middle], "×llama.cpp-cpu")
			b.ReportMetric(decoded/ours[middle], "tokens/s")
			b.ReportMetric(decoded/theirs[middle], "llama.cpp-tokens/s")
			b.ReportMetric(float64(same), "tokens-alike")
		})
	}
}

const decoded = 64

// decoder returns a function that decodes, and says what and in how many seconds,
// by the clock and of all processors, the prompt left out.
func decoder(b *testing.B, file string, threads int) func() (tokens []int32, seconds, used float64) {
	dev, err := cpu.New(cpu.Options{Threads: threads})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { dev.Close() })
	dir := b.TempDir()
	if _, err := UnpackGGUF(file, dir); err != nil {
		b.Fatal(err)
	}
	m, err := Open(dev, dir)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { m.Close() })
	prompt := make([]int32, 32)
	for i := range prompt {
		prompt[i] = int32(100 + 37*i)
	}
	processors := func() float64 {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
	}
	generate := func(n int) (tokens []int32, seconds, used float64) {
		start, before := time.Now(), processors()
		for c, err := range m.Generate(b.Context(), nil, [][]int32{prompt}, Decoding{MaxNew: n, EOS: []int32{}, Batch: 1}) {
			if err != nil {
				b.Fatal(err)
			}
			tokens = c.Tokens
		}
		return tokens, time.Since(start).Seconds(), processors() - before
	}
	return func() ([]int32, float64, float64) {
		_, first, firstCPU := generate(1)
		tokens, all, allCPU := generate(decoded + 1)
		return tokens, all - first, allCPU - firstCPU
	}
}
