package train
import ("testing";"starbook/gpu/cpu")
func BenchmarkSmolStep(b *testing.B) {
	f := smolStep(b, cpu.Options{Threads: 2})
	f()
	for b.Loop() { f() }
}
func BenchmarkSmolBF(b *testing.B) {
	f := smolStep(b, cpu.Options{Threads: 2, BF16: true})
	f()
	for b.Loop() { f() }
}
