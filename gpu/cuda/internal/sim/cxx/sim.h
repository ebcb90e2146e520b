// Runs CUDA C++ kernels on the CPU, for tests. A block's threads are fibers of
// one OS thread that change places at barriers, shuffles and mma; blocks run one
// after the other. What tensor cores and the copy engine do is computed in C++,
// lane by lane as the PTX manual lays the fragments out, so that kernels need
// another branch only in their few wrappers of inline assembly (#ifdef SIM).
//
// It finds: wrong indices and layouts, missing barriers (run it with
// SIM_ORDER=reverse too: the bits must not change), barriers that not all
// threads reach. It knows nothing of time, and of warps only that all 32 lanes
// take part in a shuffle.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#define SIM 1
#define __global__
#define __device__
#define __host__
#define __constant__ static const
#define __forceinline__ inline
#define __noinline__ __attribute__((noinline))
#define __restrict__ __restrict
#define __launch_bounds__(...)
#define __align__(n) alignas(n)
#define __shared__ static // blocks run one at a time
// Dynamic shared memory: kernels take it by this macro only.
#define DYNAMIC_SHARED(type, name) type *name = (type *)sim::dynamic

struct uint3 { unsigned x, y, z; };
struct dim3 {
  unsigned x, y, z;
  dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};
struct alignas(8) float2 { float x, y; };
struct alignas(16) float4 { float x, y, z, w; };
struct alignas(8) int2 { int x, y; };
struct alignas(16) int4 { int x, y, z, w; };
struct alignas(8) uint2 { unsigned x, y; };
struct alignas(16) uint4 { unsigned x, y, z, w; };
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline int2 make_int2(int x, int y) { return {x, y}; }
inline int4 make_int4(int x, int y, int z, int w) { return {x, y, z, w}; }
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }

// sim_switch keeps the registers that a callee must keep on the running stack,
// stores the stack pointer in *from and goes on at the stack pointer to.
extern "C" void sim_switch(void **from, void *to);

namespace sim {

struct Warp {
  void *mine[32]; // what each lane brought to the rendezvous
  unsigned arrived, turn, width;
};
struct Thread {
  uint3 id;
  unsigned lane;
  Warp *warp;
  void *sp;
  bool done;
};

inline Thread *cur;
inline dim3 grid, block;
inline uint3 bid;
inline void *scheduler; // its stack pointer while a fiber runs
inline unsigned arrived, turn, alive;
inline unsigned long progress; // arrivals and exits: a round without any is a deadlock
inline const std::function<void()> *body;
inline const char *kernel = "?"; // its name, for messages
inline char *dynamic;

[[noreturn]] inline void die(const char *why) {
  fprintf(stderr, "sim: %s: block (%u,%u,%u): %s\n", kernel, bid.x, bid.y, bid.z, why);
  abort();
}

inline void yield() { sim_switch(&cur->sp, scheduler); }

inline void sync_block() {
  unsigned now = turn;
  progress++;
  if (++arrived == alive) {
    arrived = 0;
    turn++;
    return;
  }
  while (turn == now) yield();
}

// together waits for all lanes of the warp; the last to come runs all(mine of
// each lane, lanes), which may write where the others' pointers point.
template <class F> void together(void *mine, F all) {
  Warp *w = cur->warp;
  unsigned now = w->turn;
  progress++;
  w->mine[cur->lane] = mine;
  if (++w->arrived == w->width) {
    all(w->mine, w->width);
    w->arrived = 0;
    w->turn++;
    return;
  }
  while (w->turn == now) yield();
}

// full aborts on a shuffle that not all lanes take part in.
inline void full(unsigned mask) {
  unsigned all = cur->warp->width == 32 ? ~0u : (1u << cur->warp->width) - 1;
  if ((mask & all) != all) die("a shuffle with a partial mask is not modelled");
}

template <class T> T exchange(unsigned mask, T v, unsigned from) {
  struct Trade { T v, got; unsigned from; } mine{v, v, from};
  full(mask);
  together(&mine, [](void **m, unsigned n) {
    for (unsigned i = 0; i < n; i++) {
      Trade *t = (Trade *)m[i];
      if (t->from < n) t->got = ((Trade *)m[t->from])->v;
    }
  });
  return mine.got;
}

// mma is mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32: d += a·b, with
// the fragments of lane l, g = l/4 and t = l%4:
//   a[0] (g, 2t) a[1] (g+8, 2t) a[2] (g, 2t+8) a[3] (g+8, 2t+8), each two columns
//   b[0] (2t, g) b[1] (2t+8, g), each two rows    d[0..1] (g, 2t) d[2..3] (g+8, 2t)
inline void mma(float *d, const unsigned *a, const unsigned *b) {
  struct Frags { float *d; const unsigned *a, *b; } mine{d, a, b};
  if (cur->warp->width != 32) die("mma needs 32 lanes");
  together(&mine, [](void **m, unsigned) {
    auto half = [](unsigned u, int i) {
      u = i ? u & 0xffff0000u : u << 16;
      float f;
      memcpy(&f, &u, 4);
      return f;
    };
    float A[16][16], B[8][16];
    for (int l = 0; l < 32; l++) {
      auto *f = (Frags *)m[l];
      int g = l / 4, t = l % 4;
      for (int i = 0; i < 2; i++) {
        A[g][2 * t + i] = half(f->a[0], i);
        A[g + 8][2 * t + i] = half(f->a[1], i);
        A[g][2 * t + 8 + i] = half(f->a[2], i);
        A[g + 8][2 * t + 8 + i] = half(f->a[3], i);
        B[g][2 * t + i] = half(f->b[0], i);
        B[g][2 * t + 8 + i] = half(f->b[1], i);
      }
    }
    for (int l = 0; l < 32; l++) {
      float *d = ((Frags *)m[l])->d;
      int g = l / 4, t = l % 4;
      for (int i = 0; i < 4; i++) {
        float s = 0;
        const float *x = A[g + i / 2 * 8], *y = B[2 * t + i % 2];
        for (int k = 0; k < 16; k++) s += x[k] * y[k];
        d[i] += s;
      }
    }
  });
}

// ldmatrix is ldmatrix.sync.aligned.m8n8.x1/.x2/.x4[.trans].shared.b16: lanes
// 8i to 8i+7 bring the addresses of the rows of matrix i; r[i] of lane l is
// elements 2(l%4) and one more of row l/4, or of that column if trans.
template <int N, bool Trans> void ldmatrix(unsigned *r, const void *row) {
  struct Load { unsigned *r; const void *row; } mine{r, row};
  static_assert(N == 1 || N == 2 || N == 4);
  if (cur->warp->width != 32) die("ldmatrix needs 32 lanes");
  together(&mine, [](void **m, unsigned) {
    uint16_t x[8 * N][8];
    for (int i = 0; i < 8 * N; i++) {
      const void *row = ((Load *)m[i])->row;
      if ((uintptr_t)row % 16) die("ldmatrix: a row is not at a multiple of 16 bytes");
      memcpy(x[i], row, 16);
    }
    for (int l = 0; l < 32; l++)
      for (int i = 0; i < N; i++) {
        auto at = [&](int k) { return (unsigned)(Trans ? x[8 * i + 2 * (l % 4) + k][l / 4] : x[8 * i + l / 4][2 * (l % 4) + k]); };
        ((Load *)m[l])->r[i] = at(0) | at(1) << 16;
      }
  });
}

// copy16 is cp.async of 16 bytes, or of fewer and then zeros. It is done at
// once; what reads before the wait is not found.
inline void copy16(void *shared, const void *global, unsigned bytes = 16) {
  if ((uintptr_t)shared % 16 || bytes && (uintptr_t)global % 16) die("cp.async: an address is not a multiple of 16");
  memset(shared, 0, 16);
  memcpy(shared, global, bytes);
}

void launch(dim3 grid, dim3 block, unsigned shared, const char *name, const std::function<void()> &f);

// Kernel runs a kernel whose parameters lie where cuLaunchKernel is told.
typedef std::function<std::function<void()>(void **params)> Kernel;

template <class... A, size_t... I> Kernel unpack(void (*f)(A...), std::index_sequence<I...>) {
  return [f](void **p) -> std::function<void()> {
    std::tuple<std::remove_cv_t<A>...> a{*(std::remove_cv_t<A> *)p[I]...}; // copied, as a launch does
    return [f, a] { std::apply(f, a); };
  };
}

// Entry puts a kernel into the table that cuModuleGetFunction looks in.
struct Entry {
  template <class... A> Entry(const char *name, void (*f)(A...)) { add(name, unpack(f, std::index_sequence_for<A...>{})); }
  static void add(const char *name, Kernel k);
};

} // namespace sim

#define threadIdx (sim::cur->id)
#define blockIdx (sim::bid)
#define blockDim (sim::block)
#define gridDim (sim::grid)
#define warpSize 32

inline void __syncthreads() { sim::sync_block(); }
inline void __syncwarp(unsigned = ~0u) { sim::together(nullptr, [](void **, unsigned) {}); }
template <class T> T __shfl_sync(unsigned mask, T v, int lane, int width = 32) {
  return sim::exchange(mask, v, (sim::cur->lane & ~(width - 1)) + (lane & (width - 1)));
}
template <class T> T __shfl_xor_sync(unsigned mask, T v, int bits, int = 32) { return sim::exchange(mask, v, sim::cur->lane ^ bits); }
template <class T> T __shfl_down_sync(unsigned mask, T v, unsigned by, int width = 32) {
  unsigned l = sim::cur->lane, to = l + by;
  return sim::exchange(mask, v, l / width == to / width ? to : l);
}
template <class T> T __shfl_up_sync(unsigned mask, T v, unsigned by, int width = 32) {
  unsigned l = sim::cur->lane;
  return sim::exchange(mask, v, l % width >= by ? l - by : l);
}
inline unsigned __ballot_sync(unsigned mask, int yes) {
  struct Vote { bool yes; unsigned all; } mine{yes != 0, 0};
  sim::full(mask);
  sim::together(&mine, [](void **m, unsigned n) {
    unsigned all = 0;
    for (unsigned i = 0; i < n; i++) all |= (unsigned)((Vote *)m[i])->yes << i;
    for (unsigned i = 0; i < n; i++) ((Vote *)m[i])->all = all;
  });
  return mine.all;
}
inline int __any_sync(unsigned mask, int yes) { return __ballot_sync(mask, yes) != 0; }
inline int __all_sync(unsigned mask, int yes) { return __ballot_sync(mask, !yes) == 0; }

inline float __uint_as_float(unsigned u) { float f; memcpy(&f, &u, 4); return f; }
inline unsigned __float_as_uint(float f) { unsigned u; memcpy(&u, &f, 4); return u; }
inline float __int_as_float(int i) { return __uint_as_float((unsigned)i); }
inline int __float_as_int(float f) { return (int)__float_as_uint(f); }
inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }
inline double rsqrt(double x) { return 1.0 / std::sqrt(x); }
inline float __expf(float x) { return expf(x); }
inline float __logf(float x) { return logf(x); }
inline float __fdividef(float x, float y) { return x / y; }
inline float __fsub_rn(float x, float y) { return x - y; }
inline float __fadd_rn(float x, float y) { return x + y; }
inline float __fmul_rn(float x, float y) { return x * y; }
inline float __fmaf_rn(float x, float y, float z) { return fmaf(x, y, z); }
inline float __frcp_rn(float x) { return 1 / x; }
inline float __fsqrt_rn(float x) { return std::sqrt(x); }
inline float __fdiv_rn(float x, float y) { return x / y; }
inline unsigned __umulhi(unsigned a, unsigned b) { return (unsigned)((uint64_t)a * b >> 32); }
inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) { return (unsigned __int128)a * b >> 64; }
inline double __longlong_as_double(long long i) { double f; memcpy(&f, &i, 8); return f; }
inline int __popc(unsigned u) { return __builtin_popcount(u); }
inline int __clz(int u) { return u ? __builtin_clz((unsigned)u) : 32; }
inline int __ffs(int u) { return __builtin_ffs(u); }
template <class T> T __ldg(const T *p) { return *p; }
using std::isfinite;
using std::isinf;
using std::isnan;
using std::max;
using std::min;
