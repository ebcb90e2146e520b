// entropy.cu: softmax over the vocabulary: loss and gradient, and the best word.
#include "softmax.cuh"

template <class T> DEVICE void cross_entropy(f32 *loss, T *logits, const i32 *targets, i64 vocab, f32 scale) {
  const i64 row = blockIdx.x;
  const int target = targets[row];
  logits += row * vocab;
  const bool fast = wide(vocab, logits);
  f32 v[8];
  if (target < 0) {
    if (threadIdx.x == 0) loss[row] = 0;
    if (scale == 0) return;
#pragma unroll
    for (int i = 0; i < 8; i++) v[i] = 0;
    for (i64 j = threadIdx.x * 8; j < vocab; j += 256 * 8) store8(logits, v, j, vocab, fast);
    return;
  }
  const f32 lse = block_lse(row_exps(logits, vocab, fast));
  if (threadIdx.x == 0) loss[row] = lse - to_f32(logits[target]);
  if (scale == 0) return;
  __syncthreads(); // the target's logit has been read
  for (i64 j = threadIdx.x * 8; j < vocab; j += 256 * 8) {
    load8(v, logits, j, vocab, fast);
#pragma unroll
    for (int i = 0; i < 8; i++) v[i] = scale * (expf(v[i] - lse) - (j + i == target ? 1 : 0));
    store8(logits, v, j, vocab, fast);
  }
}

// CROSS_ENTROPY: loss = -log softmax(logits)[target], 0 where target < 0. If scale is not 0, logits becomes
// scale·dloss/dlogits. Grid (rows), block 256.
//   f32 *loss (rows), T *logits (rows, vocab), const i32 *targets (rows), i64 vocab, f64 scale
#define CROSS_ENTROPY(name, T)                                                       \
  KERNEL(256) name(f32 *loss, T *logits, const i32 *targets, i64 vocab, f64 scale) { \
    cross_entropy(loss, logits, targets, vocab, (f32)scale);                         \
  }
CROSS_ENTROPY(cross_entropy_bf16, bf16)
CROSS_ENTROPY(cross_entropy_f32, f32)

template <class T> DEVICE void argmax(i32 *ids, f32 *logp, const T *logits, i64 vocab) {
  const i64 row = blockIdx.x;
  logits += row * vocab;
  const bool fast = wide(vocab, logits);
  f32 best = -infinity();
  int at = 0x7fffffff;
  auto better = [&](f32 v, int i) {
    if (v > best || (v == best && i < at)) best = v, at = i;
  };
  for (i64 j = threadIdx.x * 8; j < vocab; j += 256 * 8) {
    f32 v[8];
    load8(v, logits, j, vocab, fast);
#pragma unroll
    for (int i = 0; i < 8; i++)
      if (j + i < vocab) better(v[i], (int)j + i);
  }
#pragma unroll
  for (int o = 16; o > 0; o /= 2) {
    const f32 v = __shfl_xor_sync(ALL, best, o); // before at changes with best
    const int i = __shfl_xor_sync(ALL, at, o);
    better(v, i);
  }
  __shared__ f32 bests[8];
  __shared__ int ats[8];
  if (threadIdx.x % 32 == 0) bests[threadIdx.x / 32] = best, ats[threadIdx.x / 32] = at;
  const f32 lse = block_lse(row_exps(logits, vocab, fast)); // and a barrier
  if (threadIdx.x != 0) return;
  for (int i = 1; i < 8; i++) better(bests[i], ats[i]);
  ids[row] = at < vocab ? at : 0; // a row of NaN has no best word
  logp[row] = best - lse;
}

// ARGMAX: the first of the largest logits and its log-probability. Grid (rows), block 256.
//   i32 *ids (rows), f32 *logp (rows), const T *logits (rows, vocab), i64 vocab
#define ARGMAX(name, T) \
  KERNEL(256) name(i32 *ids, f32 *logp, const T *logits, i64 vocab) { argmax(ids, logp, logits, vocab); }
ARGMAX(argmax_bf16, bf16)
ARGMAX(argmax_f32, f32)
