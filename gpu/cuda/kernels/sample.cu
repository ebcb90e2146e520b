// sample.cu: tokens drawn from logits, the same that gpu.Sampling.Draw draws: what decides is
// whole numbers, whose sums have no order, and steps of f64 that nothing fuses.
#include "softmax.cuh"

enum { WeightBits = 43 };

// weight_of returns what a logit weighs beside the largest one, gpu.Sampling.Weight.
DEVICE u64 weight_of(f32 logit, f32 top, f64 temperature) {
  const f64 x = ((f64)logit - (f64)top) / temperature;
  if (!(x >= -30)) return 0; // or not a number
  const f64 whole = 6755399441055744.; // 3·2⁵¹
  const f64 n = fma(x, 1.44269504088896338700e+00, whole) - whole;
  const f64 r = fma(-n, 1.90821492927058770002e-10, fma(-n, 6.93147180369123816490e-01, x));
  const f64 terms[] = {1. / 3628800, 1. / 362880, 1. / 40320, 1. / 5040, 1. / 720, 1. / 120, 1. / 24, 1. / 6, 0.5, 1, 1};
  f64 p = 1. / 39916800;
#pragma unroll
  for (int i = 0; i < 11; i++) p = fma(p, r, terms[i]);
  return (u64)(p * __longlong_as_double((i64)(1023 + WeightBits + (int)n) << 52));
}

// key_of returns a number that is larger the larger the logit is. Of a bf16 the upper half says all.
template <class T> DEVICE u32 key_of(f32 logit) {
  const u32 b = __float_as_uint(logit + 0.f); // -0 becomes 0
  if (logit != logit) return 0;
  return (b >> 31 ? ~b : b | 1u << 31) & (sizeof(T) == 2 ? 0xffff0000u : ~0u);
}

// logit_at is the way back.
template <class T> DEVICE f32 logit_at(u32 key) {
  return __uint_as_float((key >> 31 ? key & 0x7fffffffu : ~key) & (sizeof(T) == 2 ? 0xffff0000u : ~0u));
}

// Words is a row of logits.
template <class T> struct Words {
  const T *logits;
  i64 vocab;
  f64 temperature;
  f32 top;
  bool fast;

  // each calls f with the logits of this thread's words, and their numbers.
  template <class F> DEVICE void each(F f) const {
    for (i64 j = threadIdx.x * 8; j < vocab; j += 256 * 8) {
      f32 v[8];
      load8(v, logits, j, vocab, fast);
#pragma unroll
      for (int i = 0; i < 8; i++)
        if (j + i < vocab) f(v[i], j + i);
    }
  }

  DEVICE u64 weight(f32 logit) const { return weight_of(logit, top, temperature); }

  // at_least returns how many words have a key or a larger one, or what they weigh.
  DEVICE u64 at_least(u32 key, bool weighed) const {
    u64 sum = 0;
    each([&](f32 v, i64) {
      if (key_of<T>(v) >= key) sum += weighed ? weight(v) : 1;
    });
    return block_sum<256>(sum);
  }

  // search returns the largest key of which at_least is need or more, bit by bit.
  DEVICE u32 search(u64 need, bool weighed) const {
    u32 key = 0;
    for (int bit = 31; bit >= (sizeof(T) == 2 ? 16 : 0); bit--)
      if (at_least(key | 1u << bit, weighed) >= need) key |= 1u << bit;
    return key;
  }
};

template <class T> DEVICE void sample(i32 *ids, f32 *logp, const T *logits, const u64 *random, i64 vocab, i64 topk, f64 topp, f64 temperature) {
  __shared__ f32 tops[8];
  __shared__ u64 masses[256];
  __shared__ int sames[256];
  const int t = threadIdx.x;
  Words<T> w = {logits + blockIdx.x * vocab, vocab, temperature, -infinity(), false};
  w.fast = wide(vocab, w.logits);
  w.each([&](f32 v, i64) { w.top = fmaxf(w.top, v); });
#pragma unroll
  for (int o = 16; o > 0; o /= 2) w.top = fmaxf(w.top, __shfl_xor_sync(ALL, w.top, o));
  if (t % 32 == 0) tops[t / 32] = w.top;
  __syncthreads();
  for (int i = 0; i < 8; i++) w.top = fmaxf(w.top, tops[i]);

  // Words of keys above cut are kept, and of those that have it the first ones.
  u32 cut = 0;
  u64 first = 0, own = 0; // none has the key 0 but for NaNs, which weigh nothing
  if (topk > 0 && topk < vocab) {
    cut = w.search(topk, false);
    first = topk - w.at_least(cut + 1, false);
    own = w.weight(logit_at<T>(cut));
  }
  u64 above = w.at_least(cut + 1, true), total = above + first * own;
  if (topp > 0 && topp < 1 && total > 0) {
    const u64 need = min(total, max((u64)1, (u64)(topp * (f64)total)));
    cut = w.search(need, true);
    own = w.weight(logit_at<T>(cut));
    above = w.at_least(cut + 1, true);
    first = (need - above + own - 1) / own;
    total = above + first * own;
  }

  // The first word up to which more is kept than a random part of all, in steps of 2048 words.
  const u64 part = __umul64hi(random[blockIdx.x], total);
  u64 mass = 0, same = 0; // before this step: the weight above cut, the words at cut
  i64 found = 0;
  for (i64 from = 0; from < vocab; from += 2048) {
    u64 m = 0;
    int s = 0;
    f32 v[8];
    if (from + t * 8 < vocab) load8(v, w.logits, from + t * 8, vocab, w.fast);
    auto tally = [&](int i) {
      const u32 key = key_of<T>(v[i]);
      if (key > cut) m += w.weight(v[i]);
      if (key == cut) s++;
    };
#pragma unroll
    for (int i = 0; i < 8; i++)
      if (from + t * 8 + i < vocab) tally(i);
    masses[t] = m;
    sames[t] = s;
    const u64 all = block_sum<256>(m), equal = block_sum<256>((u64)s); // and barriers
    if (mass + all + min(same + equal, first) * own <= part) {
      mass += all, same += equal;
      continue;
    }
    for (int i = 0; i < t; i++) mass += masses[i], same += sames[i];
    m = mass, s = 0;
    const bool before = m + min(same, first) * own > part; // it was an earlier thread's
    found = -1;
#pragma unroll
    for (int i = 0; i < 8; i++)
      if (!before && found < 0 && from + t * 8 + i < vocab) {
        tally(i);
        if (m + min(same + s, first) * own > part) found = from + t * 8 + i;
      }
    break;
  }
  const f32 lse = block_lse(row_exps(w.logits, vocab, w.fast));
  if (found > 0 || (t == 0 && found == 0)) {
    ids[blockIdx.x] = (i32)found;
    logp[blockIdx.x] = to_f32(w.logits[found]) - lse;
  }
}

// SAMPLE: a token, given 64 random bits, and its log-probability. Grid (rows), block 256.
//   i32 *ids (rows), f32 *logp (rows), const T *logits (rows, vocab), const u64 *random (rows), i64 vocab,
//   i64 topk or 0, f64 topp or 0, f64 temperature
#define SAMPLE(name, T)                                                                                                      \
  KERNEL(256, 2) name(i32 *ids, f32 *logp, const T *logits, const u64 *random, i64 vocab, i64 topk, f64 topp, f64 temperature) { \
    sample(ids, logp, logits, random, vocab, topk, topp, temperature);                                                       \
  }
SAMPLE(sample_bf16, bf16)
SAMPLE(sample_f32, f32)
