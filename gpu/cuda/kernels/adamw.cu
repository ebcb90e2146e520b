// adamw.cu: the optimiser over one flat buffer, and the norm it clips by.
#include "base.cuh"

// SUM_SQUARES_PARTS: part[b] = Σx² of the block's elements, in f64. Grid (blocks), block 256, with
// blocks = min(512, ceil(n/2048)), which n alone decides.  f64 *part (blocks), const f32 *x, i64 n
KERNEL(256) sum_squares_parts(f64 *part, const f32 *x, i64 n) {
  f64 sum = 0;
  for (i64 at = (blockIdx.x * (i64)256 + threadIdx.x) * 8; at < n; at += gridDim.x * (i64)2048) {
    f32 v[8], own = 0;
    load8(v, x, at, n, wide(0, x) && at + 8 <= n);
#pragma unroll
    for (int i = 0; i < 8; i++) own += v[i] * v[i];
    sum += own;
  }
  sum = block_sum<256>(sum);
  if (threadIdx.x == 0) part[blockIdx.x] = sum;
}

// SUM_SQUARES: out[0] = Σ part. It is not finite if an x was not, or the sum is too large.
// Grid (1), block 256.  f32 *out (1), const f64 *part (blocks), i64 blocks
KERNEL(256) sum_squares(f32 *out, const f64 *part, i64 blocks) {
  f64 sum = 0;
  for (i64 i = threadIdx.x; i < blocks; i += 256) sum += part[i];
  sum = block_sum<256>(sum);
  if (threadIdx.x == 0) out[0] = (f32)sum;
}

// SUM: out[0] += Σx. Grid (1), block 256.  f32 *out (1), const f32 *x, i64 n
KERNEL(256) sum(f32 *out, const f32 *x, i64 n) {
  f64 sum = 0;
  for (i64 i = threadIdx.x; i < n; i += 256) sum += x[i];
  sum = block_sum<256>(sum);
  if (threadIdx.x == 0) out[0] = (f32)(out[0] + sum);
}

// What decides about an update without the host: gpu.GuardLen numbers.
struct Guard {
  f32 squares, loss; // Σg² and the sum of the losses
  f32 skips;         // updates that were skipped so far
  DEVICE bool sound() const { return isfinite((f64)squares + loss); }
};

// GUARD: counts a skip unless both sums are finite. Grid (1), block 1.  Guard *guard
KERNEL(1) guard(Guard *guard) {
  if (!guard->sound()) guard->skips++;
}

// The numbers of one step, as the host has them.
struct Rule {
  f64 grad; // factor of the gradients: 1/tokens
  f64 clip; // the norm to clip to; 0: no clipping
  f64 lr, beta1, beta2, eps, decay;
  f64 step; // 1 for the first, skipped ones included
};

// What all elements of a step share.
struct AdamW {
  f32 grad;  // factor of the gradients, clipping included
  f32 skip;  // 1: nothing changes
  f32 decay; // 1 - lr·weight decay
  f32 fade1, fade2; // 1-beta1, 1-beta2
  f32 beta2;
  f32 rate; // lr/(1-beta1^t)
  f32 root; // sqrt(1-beta2^t)
  f32 eps;
};

// ADAMW_STEP: what a step comes to, as the guard has it: a NaN must not reach the weights before the host, one step late,
// sees it. Grid (1), block 1.  AdamW *out, const Rule *rule, const Guard *guard or null
KERNEL(1) adamw_step(AdamW *out, const Rule *rule, const Guard *guard) {
  const Rule r = *rule;
  f64 grad = r.grad, t = r.step;
  if (guard) t -= guard->skips;
  if (r.clip > 0) grad *= fmin(1., r.clip / (sqrt((f64)guard->squares) * r.grad + 1e-6));
  out->grad = (f32)grad;
  out->skip = guard && !guard->sound();
  out->decay = (f32)(1 - r.lr * r.decay);
  out->fade1 = (f32)(1 - r.beta1);
  out->fade2 = (f32)(1 - r.beta2);
  out->beta2 = (f32)r.beta2;
  out->rate = (f32)(r.lr / (1 - pow(r.beta1, t)));
  out->root = (f32)sqrt(1 - pow(r.beta2, t));
  out->eps = (f32)r.eps;
}

// ADAMW: torch's step. Grid (ceil(n/2048)), block 256.
//   f32 *w, const f32 *g, f32 *m, f32 *v, const AdamW *step, i64 n
KERNEL(256) adamw(f32 *w, const f32 *g, f32 *m, f32 *v, const AdamW *step, i64 n) {
  const i64 at = (blockIdx.x * (i64)256 + threadIdx.x) * 8;
  if (at >= n) return;
  const AdamW o = *step;
  if (o.skip) return;
  const bool fast = wide(0, w, g, m, v) && at + 8 <= n;
  f32 ws[8], gs[8], ms[8], vs[8];
  load8(ws, w, at, n, fast);
  load8(gs, g, at, n, fast);
  load8(ms, m, at, n, fast);
  load8(vs, v, at, n, fast);
#pragma unroll
  for (int i = 0; i < 8; i++) {
    const f32 grad = gs[i] * o.grad;
    ms[i] += (grad - ms[i]) * o.fade1;
    vs[i] = o.beta2 * vs[i] + o.fade2 * grad * grad;
    ws[i] = ws[i] * o.decay - o.rate * ms[i] / (sqrtf(vs[i]) / o.root + o.eps);
  }
  store8(w, ws, at, n, fast);
  store8(m, ms, at, n, fast);
  store8(v, vs, at, n, fast);
}
