// A libcublasLt and a libnvrtc for tests. They lie in the same file as the fake
// driver, under other names.
#include "sim.h"

#define API extern "C" __attribute__((visibility("default")))

void sim_add(std::function<void()> w);

namespace {

enum { ok = 0, invalid = 7, unsupported = 15 };
enum { f32 = 0, bf16 = 14, i8 = 3 };

struct Desc { int transA = 0, transB = 0; };
struct Layout { int type; uint64_t rows, cols; int64_t ld; };
struct Preference { uint64_t workspace = 0; uint32_t reduction = ~0u, align[4] = {256, 256, 256, 256}; };
struct Algo { uint64_t mark, words[7]; };
struct Heuristic { Algo algo; size_t workspace; int state; float waves; int reserved[4]; };
static_assert(sizeof(Algo) == 64 && sizeof(Heuristic) == 96);
char handle, program;
const uint64_t mark = 0x53494d4c54; // an algorithm that nobody asked a heuristic for is refused

float get(const void *p, int type, long i) {
  if (type == f32) return ((const float *)p)[i];
  return __uint_as_float((unsigned)((const uint16_t *)p)[i] << 16);
}

void put(void *p, int type, long i, float f) {
  if (type == f32) {
    ((float *)p)[i] = f;
    return;
  }
  unsigned u = __float_as_uint(f);
  ((uint16_t *)p)[i] = std::isnan(f) ? 0x7fff : (u + 0x7fff + (u >> 16 & 1)) >> 16;
}

bool known(int t) { return t == f32 || t == bf16; }

// shape checks that op(A)·op(B) is the shape of C and that no column is longer than its step.
int shape(const Desc *d, const Layout *a, const Layout *b, const Layout *c) {
  uint64_t m = d->transA ? a->cols : a->rows, k = d->transA ? a->rows : a->cols;
  uint64_t k2 = d->transB ? b->cols : b->rows, n = d->transB ? b->rows : b->cols;
  if (m != c->rows || n != c->cols || k != k2 || !m || !n || !k) return invalid;
  if (a->ld < (int64_t)a->rows || b->ld < (int64_t)b->rows || c->ld < (int64_t)c->rows) return invalid;
  if (!known(a->type) || !known(b->type) || !known(c->type) || a->type != b->type) return unsupported;
  return a->type == f32 && c->type != f32 ? unsupported : ok;
}

// Columns as floats, so that the inner loop is over neighbours.
std::vector<float> lanes(const void *p, const Layout *l, bool by_row) {
  std::vector<float> x(l->rows * l->cols);
  for (uint64_t j = 0; j < l->cols; j++)
    for (uint64_t i = 0; i < l->rows; i++)
      x[by_row ? i * l->cols + j : j * l->rows + i] = get(p, l->type, j * l->ld + i);
  return x;
}

} // namespace

API size_t cublasLtGetVersion() { return 120800; }
API int cublasLtCreate(void **h) { return *h = &handle, ok; }
API int cublasLtDestroy(void *) { return ok; }
API int cublasLtMatmulDescCreate(void **d, int compute, int scale) {
  if (compute != 68 || scale != f32) return unsupported;
  return *d = new Desc, ok;
}
API int cublasLtMatmulDescDestroy(void *d) { return delete (Desc *)d, ok; }
API int cublasLtMatmulDescSetAttribute(void *d, int attribute, const void *v, size_t n) {
  if (n != 4) return invalid;
  int *to = attribute == 3 ? &((Desc *)d)->transA : attribute == 4 ? &((Desc *)d)->transB : nullptr;
  return to ? memcpy(to, v, 4), ok : unsupported;
}
API int cublasLtMatrixLayoutCreate(void **l, int type, uint64_t rows, uint64_t cols, int64_t ld) {
  return *l = new Layout{type, rows, cols, ld}, ok;
}
API int cublasLtMatrixLayoutDestroy(void *l) { return delete (Layout *)l, ok; }
API int cublasLtMatmulPreferenceCreate(void **p) { return *p = new Preference, ok; }
API int cublasLtMatmulPreferenceDestroy(void *p) { return delete (Preference *)p, ok; }
API int cublasLtMatmulPreferenceSetAttribute(void *p, int attribute, const void *v, size_t n) {
  auto *q = (Preference *)p;
  if (attribute == 1 && n == 8) memcpy(&q->workspace, v, 8);
  else if (attribute == 3 && n == 4) memcpy(&q->reduction, v, 4);
  else if (attribute >= 5 && attribute <= 8 && n == 4) memcpy(&q->align[attribute - 5], v, 4);
  else return unsupported;
  return ok;
}
API int cublasLtMatmulAlgoGetHeuristic(void *, void *d, void *a, void *b, void *c, void *, void *p, int want, Heuristic *out, int *got) {
  auto *q = (Preference *)p;
  *got = 0;
  if (int r = shape((Desc *)d, (Layout *)a, (Layout *)b, (Layout *)c)) return r;
  if (want < 1) return invalid;
  *out = Heuristic{};
  out->algo.mark = mark;
  for (int i = 0; i < 4; i++) out->algo.words[i] = q->align[i];
  out->workspace = std::min<uint64_t>(q->workspace, 4096);
  return *got = 1, ok;
}
API int cublasLtMatmul(void *, void *desc, const float *alpha, const void *A, void *la, const void *B, void *lb, const float *beta,
                       const void *C, void *lc, void *D, void *ld, const Algo *algo, void *workspace, size_t bytes, void *) {
  Desc d = *(Desc *)desc;
  Layout a = *(Layout *)la, b = *(Layout *)lb, c = *(Layout *)lc;
  if (int r = shape(&d, &a, &b, &c)) return r;
  if (C != D || lc != ld) return unsupported;
  if (!algo || algo->mark != mark) return unsupported;
  if (bytes < 4096 || !workspace) return invalid;
  const void *at[3] = {A, B, D};
  for (int i = 0; i < 3; i++)
    if ((uintptr_t)at[i] % algo->words[i]) return unsupported; // it was chosen for better aligned operands
  float al = *alpha, be = *beta;
  sim_add([=] {
    auto x = lanes(A, &a, !d.transA), y = lanes(B, &b, d.transB);
    uint64_t k = d.transA ? a.rows : a.cols;
    for (uint64_t j = 0; j < c.cols; j++)
      for (uint64_t i = 0; i < c.rows; i++) {
        const float *u = &x[i * k], *v = &y[j * k];
        float s = 0;
        for (uint64_t l = 0; l < k; l++) s += u[l] * v[l];
        long z = j * c.ld + i;
        put(D, c.type, z, al * s + (be == 0 ? 0 : be * get(D, c.type, z)));
      }
    memset(workspace, 0xcd, 4096); // who keeps something there loses it
  });
  return ok;
}

API int nvrtcVersion(int *major, int *minor) { return *major = 12, *minor = 8, 0; }
API int nvrtcCreateProgram(void **p, const char *, const char *, int, const char *const *, const char *const *) { return *p = &program, 0; }
API int nvrtcCompileProgram(void *, int, const char *const *) { return 0; }
API int nvrtcDestroyProgram(void **) { return 0; }
API int nvrtcGetProgramLogSize(void *, size_t *n) { return *n = 1, 0; }
API int nvrtcGetProgramLog(void *, char *s) { return *s = 0, 0; }
API int nvrtcGetCUBINSize(void *, size_t *n) { return *n = 4, 0; }
API int nvrtcGetCUBIN(void *, char *s) { return memcpy(s, "SIM", 4), 0; }
API int nvrtcGetPTXSize(void *, size_t *n) { return *n = 4, 0; }
API int nvrtcGetPTX(void *, char *s) { return memcpy(s, "SIM", 4), 0; }
API int nvrtcGetNumSupportedArchs(int *n) { return *n = 1, 0; }
API int nvrtcGetSupportedArchs(int *a) { return *a = 80, 0; }
API const char *nvrtcGetErrorString(int) { return "NVRTC_ERROR"; }
