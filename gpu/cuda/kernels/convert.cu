// Copies between types.
#include "base.cuh"

template <class To, class From> __device__ void convert(To *y, const From *x, long long n) {
  for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += (long long)gridDim.x * blockDim.x) put(y + i, wide(x[i]));
}

extern "C" __global__ void convert_bf16_f32(bf16 *y, const float *x, long long n) { convert(y, x, n); }
extern "C" __global__ void convert_f32_bf16(float *y, const bf16 *x, long long n) { convert(y, x, n); }
