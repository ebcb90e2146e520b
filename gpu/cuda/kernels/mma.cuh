// mma.cuh: tensor cores on bf16 with sums in f32, and copies that do not wait.
// In the simulation the same layouts are computed by sim.h.
//
// Fragments of lane l, with g = l/4 and t = l%4, each word two elements:
//   a (16×16)  a[0] (g, 2t)  a[1] (g+8, 2t)  a[2] (g, 2t+8)  a[3] (g+8, 2t+8)
//   b (16×8)   b[0] (2t, g)  b[1] (2t+8, g)          the second below the first
//   d (16×8)   d[0], d[1] (g, 2t)  d[2], d[3] (g+8, 2t)
// so that the d of two neighbouring products, packed, is the a of another.
#pragma once
#include "base.cuh"

// mma adds to d the product of the fragments a and b.
DEVICE void mma(f32 (&d)[4], const u32 (&a)[4], u32 b0, u32 b1) {
#ifdef SIM
  const u32 b[2] = {b0, b1};
  sim::mma(d, a, b);
#else
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#endif
}

#ifndef SIM
DEVICE u32 shared_address(const void *p) { return (u32)__cvta_generic_to_shared(p); }
#endif

// ldmatrix reads four 8×8 matrices; lane l brings the address of row l%8 of matrix l/8.
template <bool Trans> DEVICE void ldmatrix(u32 (&r)[4], const bf16 *row) {
#ifdef SIM
  sim::ldmatrix<4, Trans>(r, row);
#else
  if (Trans)
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(row)));
  else
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(row)));
#endif
}

// A tile lies in shared memory row by row, `pitch` elements apart: a multiple
// of 8, odd as a number of 16-byte words, so that eight rows hit all banks.

// load_a reads the a at a tile whose rows are the rows of a.
DEVICE void load_a(u32 (&r)[4], const bf16 *tile, int pitch) {
  const int l = threadIdx.x % 32;
  ldmatrix<false>(r, tile + l % 16 * pitch + l / 16 * 8);
}

// load_a_rows reads the a at a tile whose rows are the columns of a.
DEVICE void load_a_rows(u32 (&r)[4], const bf16 *tile, int pitch) {
  const int l = threadIdx.x % 32;
  ldmatrix<true>(r, tile + (l / 16 * 8 + l % 8) * pitch + l / 8 % 2 * 8);
}

// load_b reads two b, 16 columns, at a tile whose rows are the columns of b:
// r[0], r[1] and r[2], r[3].
DEVICE void load_b(u32 (&r)[4], const bf16 *tile, int pitch) {
  const int l = threadIdx.x % 32;
  ldmatrix<false>(r, tile + (l / 16 * 8 + l % 8) * pitch + l / 8 % 2 * 8);
}

// load_b_rows reads two b, 16 columns, at a tile whose rows are the rows of b.
DEVICE void load_b_rows(u32 (&r)[4], const bf16 *tile, int pitch) {
  const int l = threadIdx.x % 32;
  ldmatrix<true>(r, tile + l % 16 * pitch + l / 16 * 8);
}

// copy_async begins to copy 16 bytes, or, unless live, to write zeros.
DEVICE void copy_async(bf16 *shared, const bf16 *global, bool live) {
#ifdef SIM
  sim::copy16(shared, global, live ? 16 : 0);
#else
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(shared)), "l"(global), "r"(live ? 16 : 0)
               : "memory");
#endif
}

// copy_commit ends a group of copies.
DEVICE void copy_commit() {
#ifndef SIM
  asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

// copy_wait waits until at most `Left` of the last groups are under way.
template <int Left> DEVICE void copy_wait() {
#ifndef SIM
  asm volatile("cp.async.wait_group %0;" ::"n"(Left) : "memory");
#endif
}

// copy_tile begins to copy Rows × Cols elements to a tile of pitch Cols + 8, of
// which `rows` and `cols` are there; the others are zeros. fast: the source's
// rows lie at multiples of 16 bytes, and cols is one of 8 elements.
template <int Threads, int Rows, int Cols> DEVICE void copy_tile(bf16 *tile, const bf16 *from, i64 stride, int rows, int cols, bool fast) {
  if (fast) {
#pragma unroll
    for (int i = threadIdx.x; i < Rows * (Cols / 8); i += Threads) {
      const int r = i / (Cols / 8), c = i % (Cols / 8) * 8;
      const bool live = r < rows && c < cols;
      copy_async(tile + r * (Cols + 8) + c, live ? from + r * stride + c : from, live);
    }
    return;
  }
  for (int i = threadIdx.x; i < Rows * Cols; i += Threads) {
    const int r = i / Cols, c = i % Cols;
    tile[r * (Cols + 8) + c] = r < rows && c < cols ? from[r * stride + c] : bf16{0};
  }
}
