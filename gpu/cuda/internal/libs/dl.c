//go:build cuda && linux && amd64

// cuBLASLt and NVRTC, opened at run time: no library of CUDA's is linked.
#define _GNU_SOURCE
#include "dl.h"
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#define NVRTC(X) \
  X(nvrtcVersion, int, (int *, int *)) \
  X(nvrtcGetNumSupportedArchs, int, (int *)) \
  X(nvrtcGetSupportedArchs, int, (int *)) \
  X(nvrtcCreateProgram, int, (void **, const char *, const char *, int, const char *const *, const char *const *)) \
  X(nvrtcCompileProgram, int, (void *, int, const char *const *)) \
  X(nvrtcGetProgramLogSize, int, (void *, size_t *)) \
  X(nvrtcGetProgramLog, int, (void *, char *)) \
  X(nvrtcGetPTXSize, int, (void *, size_t *)) \
  X(nvrtcGetPTX, int, (void *, char *)) \
  X(nvrtcGetCUBINSize, int, (void *, size_t *)) \
  X(nvrtcGetCUBIN, int, (void *, char *)) \
  X(nvrtcDestroyProgram, int, (void **))
#define LT(X) \
  X(cublasLtGetVersion, size_t, (void)) \
  X(cublasLtCreate, int, (void **)) \
  X(cublasLtDestroy, int, (void *)) \
  X(cublasLtMatmulDescCreate, int, (void **, int, int)) \
  X(cublasLtMatmulDescDestroy, int, (void *)) \
  X(cublasLtMatmulDescSetAttribute, int, (void *, int, const void *, size_t)) \
  X(cublasLtMatrixLayoutCreate, int, (void **, int, uint64_t, uint64_t, int64_t)) \
  X(cublasLtMatrixLayoutDestroy, int, (void *)) \
  X(cublasLtMatmulPreferenceCreate, int, (void **)) \
  X(cublasLtMatmulPreferenceDestroy, int, (void *)) \
  X(cublasLtMatmulPreferenceSetAttribute, int, (void *, int, const void *, size_t)) \
  X(cublasLtMatmulAlgoGetHeuristic, int, (void *, void *, void *, void *, void *, void *, void *, int, void *, int *)) \
  X(cublasLtMatmul, int, (void *, void *, const void *, const void *, void *, const void *, void *, const void *, const void *, void *, void *, void *, const void *, void *, size_t, void *))
#define DECLARE(f, r, a) static r(*f) a;
#define LOAD(f, r, a) ok &= (f = (r(*) a)dlsym(lib, #f)) != 0;
NVRTC(DECLARE)
LT(DECLARE)

int open_lib(int which, const char *name, char *err, char *path, int room) {
  void *lib = dlopen(name, RTLD_NOW), *mark = 0;
  int ok = 1;
  Dl_info info;
  if (!lib) {
    const char *e = dlerror();
    snprintf(err, room, "%s", e ? e : "?");
    return no_library;
  }
  switch (which) {
  case lib_nvrtc: NVRTC(LOAD) mark = (void *)nvrtcVersion; break;
  case lib_lt: LT(LOAD) mark = (void *)cublasLtGetVersion; break;
  }
  snprintf(path, room, "%s", mark && dladdr(mark, &info) && info.dli_fname ? info.dli_fname : name);
  return ok ? 0 : no_symbol;
}

#define CALL(f, ...) return f ? f(__VA_ARGS__) : no_symbol
int rtc_version(int *major, int *minor) { CALL(nvrtcVersion, major, minor); }
int rtc_archs(int *list, int room, int *n) {
  int r = nvrtcGetNumSupportedArchs ? nvrtcGetNumSupportedArchs(n) : no_symbol;
  if (r || *n > room) return r ? r : no_symbol;
  return nvrtcGetSupportedArchs(list);
}
int rtc_create(void **prog, const char *source, const char *name, int headers, const char *const *text, const char *const *names) {
  CALL(nvrtcCreateProgram, prog, source, name, headers, text, names);
}
int rtc_compile(void *prog, int options, const char *const *option) { CALL(nvrtcCompileProgram, prog, options, option); }
int rtc_log_size(void *prog, size_t *n) { CALL(nvrtcGetProgramLogSize, prog, n); }
int rtc_log(void *prog, char *out) { CALL(nvrtcGetProgramLog, prog, out); }
int rtc_code_size(void *prog, int ptx, size_t *n) {
  if (ptx) CALL(nvrtcGetPTXSize, prog, n);
  CALL(nvrtcGetCUBINSize, prog, n);
}
int rtc_code(void *prog, int ptx, char *out) {
  if (ptx) CALL(nvrtcGetPTX, prog, out);
  CALL(nvrtcGetCUBIN, prog, out);
}
int rtc_destroy(void *prog) { CALL(nvrtcDestroyProgram, &prog); }

// Of cublasLt.h; the same in CUDA 11.8 and 12.
enum {
  compute_32f = 68, type_32f = 0,
  desc_transa = 3, desc_transb = 4,
  pref_workspace = 1, pref_reduction = 3, pref_align = 5, // then 6 and 7, and 8 for the result
};

size_t lt_version(void) { return cublasLtGetVersion ? cublasLtGetVersion() : 0; }
int lt_create(void **handle) { CALL(cublasLtCreate, handle); }
int lt_destroy(void *handle) { CALL(cublasLtDestroy, handle); }

static int ask(void *handle, const Shape *s, uint64_t room, Plan *p) {
  struct { uint64_t algo[8]; size_t workspace; int state; float waves; int reserved[4]; } found;
  void *pref = 0;
  uint32_t none = 0; // no sums in parts: their order would depend on the number of rows
  int got = 0, r = cublasLtMatmulPreferenceCreate(&pref);
  if (r) return r;
  r = cublasLtMatmulPreferenceSetAttribute(pref, pref_workspace, &room, sizeof room);
  if (!r) r = cublasLtMatmulPreferenceSetAttribute(pref, pref_reduction, &none, sizeof none);
  for (int i = 0; i < 4 && !r; i++)
    r = cublasLtMatmulPreferenceSetAttribute(pref, pref_align + i, &s->align[i < 2 ? i : 2], sizeof(uint32_t));
  if (!r) r = cublasLtMatmulAlgoGetHeuristic(handle, p->desc, p->a, p->b, p->c, p->c, pref, 1, &found, &got);
  if (!r && (!got || found.state)) r = no_algorithm;
  memcpy(p->algo, found.algo, sizeof p->algo);
  cublasLtMatmulPreferenceDestroy(pref);
  return r;
}

int lt_plan(void *handle, const Shape *s, uint64_t room, const uint64_t *algo, Plan *p) {
  memset(p, 0, sizeof *p);
  int r = cublasLtMatmulDescCreate(&p->desc, compute_32f, type_32f);
  if (!r) r = cublasLtMatmulDescSetAttribute(p->desc, desc_transa, &s->ta, sizeof s->ta);
  if (!r) r = cublasLtMatmulDescSetAttribute(p->desc, desc_transb, &s->tb, sizeof s->tb);
  if (!r) r = cublasLtMatrixLayoutCreate(&p->a, s->in, s->ta ? s->k : s->m, s->ta ? s->m : s->k, s->lda);
  if (!r) r = cublasLtMatrixLayoutCreate(&p->b, s->in, s->tb ? s->n : s->k, s->tb ? s->k : s->n, s->ldb);
  if (!r) r = cublasLtMatrixLayoutCreate(&p->c, s->out, s->m, s->n, s->ldc);
  if (!r && algo) memcpy(p->algo, algo, sizeof p->algo);
  if (!r && !algo) r = ask(handle, s, room, p);
  if (r) lt_drop(p);
  return r;
}

void lt_drop(Plan *p) {
  if (p->desc) cublasLtMatmulDescDestroy(p->desc);
  if (p->a) cublasLtMatrixLayoutDestroy(p->a);
  if (p->b) cublasLtMatrixLayoutDestroy(p->b);
  if (p->c) cublasLtMatrixLayoutDestroy(p->c);
  memset(p, 0, sizeof *p);
}

int lt_matmul(void *handle, const Plan *p, const Operands *o) {
  return cublasLtMatmul(handle, p->desc, &o->alpha, o->a, p->a, o->b, p->b, &o->beta, o->c, p->c, o->c, p->c, p->algo, o->workspace, o->room, o->stream);
}
