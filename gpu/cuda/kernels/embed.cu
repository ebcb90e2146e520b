// embed.cu: rows out of a table, and back into it.
#include "blocks.cuh"

template <class O, class T> DEVICE void embed(O *out, const T *table, const i32 *ids, i64 dim) {
  out += blockIdx.x * dim;
  table += ids[blockIdx.x] * dim / elements_of<T>;
  const bool fast = wide(dim, out, table);
  for (i64 j = threadIdx.x * 8; j < dim; j += 128 * 8) {
    f32 v[8];
    load8(v, table, j, dim, fast);
    store8(out, v, j, dim, fast);
  }
}

// EMBED: out[i] = table[ids[i]]. Grid (rows), block 128.
//   O *out (rows, dim), const T *table (V, dim), const i32 *ids (rows), i64 dim
#define EMBED(name, O, T) \
  KERNEL(128) name(O *out, const T *table, const i32 *ids, i64 dim) { embed(out, table, ids, dim); }
EMBED(embed_bf16_bf16, bf16, bf16)
EMBED(embed_bf16_f32, bf16, f32)
EMBED(embed_f32_bf16, f32, bf16)
EMBED(embed_f32_f32, f32, f32)
EMBED(embed_bf16_f16, bf16, f16)
EMBED(embed_bf16_q8_0, bf16, q8_0)
EMBED(embed_bf16_q4_0, bf16, q4_0)
EMBED(embed_bf16_q4_1, bf16, q4_1)
EMBED(embed_bf16_q4_k, bf16, q4_k)
EMBED(embed_bf16_q6_k, bf16, q6_k)
EMBED(embed_bf16_nf4, bf16, nf4)
EMBED(embed_f32_f16, f32, f16)
EMBED(embed_f32_q8_0, f32, q8_0)
EMBED(embed_f32_q4_0, f32, q4_0)
EMBED(embed_f32_q4_1, f32, q4_1)
EMBED(embed_f32_q4_k, f32, q4_k)
EMBED(embed_f32_q6_k, f32, q6_k)
EMBED(embed_f32_nf4, f32, nf4)

// The block of the first row of an id adds all rows of that id, in their order;
// the other blocks of the id have nothing to do.
template <class T, class D> DEVICE void embed_back(T *dtable, const D *dout, const i32 *ids, i64 rows, i64 dim) {
  __shared__ u32 mine[4]; // which of 128 rows have the id
  const i64 me = blockIdx.x;
  const int id = ids[me], t = threadIdx.x;
  bool before = false;
  for (i64 i = t; i < me; i += 128) before |= ids[i] == id;
  before = __any_sync(ALL, before);
  if (t % 32 == 0) mine[t / 32] = before;
  __syncthreads();
  if (mine[0] | mine[1] | mine[2] | mine[3]) return;
  dtable += id * dim;
  for (i64 j = t; j - t < dim; j += 128) { // a column for each thread, or none
    f32 sum = j < dim ? to_f32(dtable[j]) : 0;
    for (i64 i = me; i < rows; i += 128) {
      const u32 found = __ballot_sync(ALL, i + t < rows && ids[i + t] == id);
      __syncthreads(); // the last words have been read
      if (t % 32 == 0) mine[t / 32] = found;
      __syncthreads();
      for (int w = 0; w < 4; w++)
        for (u32 left = mine[w]; left; left &= left - 1)
          if (j < dim) sum += to_f32(dout[(i + 32 * w + __ffs(left) - 1) * dim + j]);
    }
    if (j < dim) dtable[j] = to<T>(sum);
  }
}

// EMBED_BACK: dtable[ids[i]] += dout[i], in the order of i. Grid (rows), block 128.
//   T *dtable (V, dim), const D *dout (rows, dim), const i32 *ids (rows), i64 rows, i64 dim
#define EMBED_BACK(name, T, D) \
  KERNEL(128) name(T *dtable, const D *dout, const i32 *ids, i64 rows, i64 dim) { embed_back(dtable, dout, ids, rows, dim); }
EMBED_BACK(embed_back_bf16_bf16, bf16, bf16)
EMBED_BACK(embed_back_f32_bf16, f32, bf16)
EMBED_BACK(embed_back_f32_f32, f32, f32)
