#ifndef STARBOOK_LAUNCH_H
#define STARBOOK_LAUNCH_H
#include <cuda.h>

enum { max_params = 24 };

// A launch with its parameters by value, each in 8 bytes of its own.
typedef struct {
  uint64_t fn;
  uint32_t grid[3], block[3], shared, params;
  uint64_t param[max_params];
} Launch;

static inline CUresult launch(const Launch *l, CUstream stream) {
  void *at[max_params];
  for (uint32_t i = 0; i < l->params; i++) at[i] = (void *)&l->param[i];
  return cuLaunchKernel((CUfunction)l->fn, l->grid[0], l->grid[1], l->grid[2], l->block[0], l->block[1], l->block[2], l->shared, stream, at, 0);
}
#endif
