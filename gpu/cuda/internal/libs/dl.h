#ifndef STARBOOK_DL_H
#define STARBOOK_DL_H
#include <stddef.h>
#include <stdint.h>

// Every call returns the library's own status, or one of these.
enum { no_symbol = -1, no_library = -2, no_algorithm = -3 };

enum { lib_nvrtc, lib_lt, lib_companion };
// open_lib opens a library by path or soname; what dlopen says goes to err, the
// file that was opened to path.
int open_lib(int which, const char *name, char *err, char *path, int room);

int rtc_version(int *major, int *minor);
int rtc_archs(int *list, int room, int *n);
int rtc_create(void **prog, const char *source, const char *name, int headers, const char *const *text, const char *const *names);
int rtc_compile(void *prog, int options, const char *const *option);
int rtc_log_size(void *prog, size_t *n);
int rtc_log(void *prog, char *out);
int rtc_code_size(void *prog, int ptx, size_t *n);
int rtc_code(void *prog, int ptx, char *out);
int rtc_destroy(void *prog);

// A product of column-major matrices: c (m, n) = op(a)·op(b), inner dimension k.
typedef struct {
  int32_t ta, tb, in, out; // transposed or not; cudaDataType of a and b, and of c
  uint64_t m, n, k;
  int64_t lda, ldb, ldc;
  uint32_t align[3]; // bytes that the addresses of a, b and c are multiples of
} Shape;
// What cuBLASLt knows of a Shape.
typedef struct {
  void *desc, *a, *b, *c;
  uint64_t algo[8];
} Plan;
typedef struct {
  float alpha, beta;
  void *a, *b, *c, *workspace, *stream;
  uint64_t room; // bytes of the workspace
} Operands;

size_t lt_version(void);
int lt_create(void **handle);
int lt_destroy(void *handle);
// lt_plan describes s. It asks for an algorithm if algo is 0, else it takes that one.
int lt_plan(void *handle, const Shape *s, uint64_t room, const uint64_t *algo, Plan *p);
void lt_drop(Plan *p);
int lt_matmul(void *handle, const Plan *p, const Operands *o);
#endif
