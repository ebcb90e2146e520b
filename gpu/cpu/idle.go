package cpu

import "starbook/gpu"

// idle has every operation, and does nothing.
type idle struct{}

func (idle) Upload(gpu.Buf, []float32)                                          {}
func (idle) Download([]float32, gpu.Buf)                                        {}
func (idle) Copy(_, _ gpu.Buf)                                                  {}
func (idle) Zero(gpu.Buf)                                                       {}
func (idle) Embed(_, _ gpu.Buf, _ []int32, _ int)                               {}
func (idle) EmbedBack(_, _ gpu.Buf, _ []int32, _ int)                           {}
func (idle) MatMul(_, _, _ gpu.Mat, _, _ float32)                               {}
func (idle) MatMulRows(_, _, _ gpu.Mat, _ []int32, _ float32)                   {}
func (idle) RMSNorm(_, _, _, _, _ gpu.Buf, _ int, _ float32)                    {}
func (idle) RMSNormBack(_, _, _, _, _, _ gpu.Buf, _ []int32, _ int)             {}
func (idle) Attention(_, _, _, _, _ gpu.Buf, _ gpu.Seqs)                        {}
func (idle) AttentionBack(_, _, _, _, _, _, _, _, _ gpu.Buf, _ gpu.Seqs)        {}
func (idle) CacheWrite(_, _ gpu.Buf, _, _ []int32, _, _ int)                    {}
func (idle) AttentionCached(_, _, _, _ gpu.Buf, _ gpu.Cached)                   {}
func (idle) SwiGLU(_, _, _ gpu.Buf)                                             {}
func (idle) SwiGLUBack(_, _, _, _, _ gpu.Buf)                                   {}
func (idle) CrossEntropy(_, _ gpu.Buf, _ []int32, _ int, _ float32)             {}
func (idle) Axpy(_, _ gpu.Buf, _ float32)                                       {}
func (idle) Dropout(_, _ gpu.Buf, _ int, _ []int32, _ []uint64, _ float32)      {}
func (idle) Sum(_, _ gpu.Buf)                                                   {}
func (idle) SumSquares(_, _ gpu.Buf)                                            {}
func (idle) Guard(gpu.Buf)                                                      {}
func (idle) AdamW(_, _, _, _, _ gpu.Buf, _ gpu.AdamW)                           {}
func (idle) Merge([]byte, gpu.Buf, gpu.Buf, gpu.Buf, int, gpu.Merge) gpu.Merged { return gpu.Merged{} }
func (idle) Sample([]int32, []float32, gpu.Buf, int, []uint64, gpu.Sampling)    {}
func (idle) Argmax([]int32, []float32, gpu.Buf, int)                            {}
func (idle) Rotary(_, _, _, _, _, _, _ gpu.Buf, _ []int32, _, _ int, _ float32) {}
func (idle) RotaryBack(_, _, _, _, _, _, _, _, _, _ gpu.Buf, _, _ []int32, _, _ int) {
}
