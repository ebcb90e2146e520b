// A libcuda.so.1 for tests: device memory is host memory, and kernels run
// through sim.h. Work on a stream is not done until somebody waits for it, so
// that host memory that changes too early, or is read too early, shows.
#include "sim.h"
#include <chrono>
#include <deque>
#include <map>

#define API extern "C" __attribute__((visibility("default")))

namespace sim {
std::map<std::string, Kernel> &table();
}

namespace {

typedef unsigned long long Ptr;
typedef std::function<void()> Work;

enum { invalid = 1, memory = 2, uninitialized = 3, wrong_capture = 901, not_found = 500, bad_context = 201 };
enum { shared_default = 48 << 10, shared_most = 227 << 10 };

struct Function {
  std::string name;
  sim::Kernel run;
  int shared = shared_default; // as raised by cuFuncSetAttribute
};
struct Graph { std::vector<Work> work; };
using Clock = std::chrono::steady_clock;
struct Event { bool done = false; Clock::time_point at; };

char context, stream;    // handles are addresses, as everything that Go may take for one
std::deque<Work> queue;  // of the one stream there is
Graph *capturing;
std::map<char *, size_t> live, pinned;
size_t used, peak, launches;
thread_local bool current;

size_t total() {
  const char *mib = getenv("SIM_MEMORY_MIB");
  return (mib ? strtoull(mib, 0, 10) : 1024) << 20;
}

void add(Work w) {
  if (capturing) capturing->work.push_back(std::move(w));
  else queue.push_back(std::move(w));
}

void drain() {
  while (!queue.empty()) {
    Work w = std::move(queue.front());
    queue.pop_front();
    w();
  }
}

// holds reports whether one allocation contains n bytes at p.
bool holds(const std::map<char *, size_t> &m, const void *at, size_t n) {
  char *p = (char *)at;
  auto i = m.upper_bound(p);
  if (i == m.begin()) return false;
  --i;
  return p + n <= i->first + i->second;
}

int check(Ptr p, size_t n) {
  if (!current) return bad_context;
  return holds(live, (void *)p, n) ? 0 : invalid;
}

int allocate(std::map<char *, size_t> &m, size_t n, void **p) {
  char *q;
  if (posix_memalign((void **)&q, 256, n)) return memory;
  memset(q, 0xcd, n);
  m[q] = n;
  *p = q;
  return 0;
}

int release(std::map<char *, size_t> &m, void *p) {
  drain(); // cuMemFree waits
  auto i = m.find((char *)p);
  if (i == m.end()) return invalid;
  memset(i->first, 0xdd, i->second);
  m.erase(i);
  free(p);
  return 0;
}

} // namespace

// What libcublasLt.so of the same file puts on the stream.
void sim_add(std::function<void()> w) { add(std::move(w)); }

API int cuInit(unsigned) { return 0; }
API int cuDriverGetVersion(int *v) { return *v = 12080, 0; }
API int cuGetErrorName(int r, const char **s) {
  switch (r) {
  case 0: *s = "CUDA_SUCCESS"; break;
  case invalid: *s = "CUDA_ERROR_INVALID_VALUE"; break;
  case memory: *s = "CUDA_ERROR_OUT_OF_MEMORY"; break;
  case not_found: *s = "CUDA_ERROR_NOT_FOUND"; break;
  case bad_context: *s = "CUDA_ERROR_INVALID_CONTEXT"; break;
  default: *s = nullptr; return invalid;
  }
  return 0;
}
API int cuGetErrorString(int r, const char **s) { return cuGetErrorName(r, s); }
API int cuDeviceGetCount(int *n) {
  const char *devices = getenv("SIM_DEVICES");
  return *n = devices ? atoi(devices) : 1, 0;
}
API int cuDeviceGet(int *d, int i) { return *d = i, 0; }
API int cuDeviceGetName(char *s, int n, int) { return snprintf(s, n, "CPU standing in for a GPU"), 0; }
API int cuDeviceTotalMem_v2(size_t *n, int) { return *n = total(), 0; }
API int cuDeviceGetAttribute(int *v, int attribute, int) {
  switch (attribute) {
  case 16: *v = 4; break;            // multiprocessors
  case 75: *v = 8; break;            // compute capability, major
  case 76: *v = 0; break;            // minor
  case 97: *v = shared_most; break;  // shared memory a block may ask for
  default: *v = 0;
  }
  return 0;
}
API int cuDevicePrimaryCtxRetain(void **c, int) { return *c = &context, 0; }
API int cuDevicePrimaryCtxRelease(int) { return 0; }
API int cuDevicePrimaryCtxRelease_v2(int) { return 0; }
API int cuCtxSetCurrent(void *c) { return current = c != nullptr, 0; }
API int cuCtxGetCurrent(void **c) { return *c = current ? &context : nullptr, 0; }
API int cuCtxSynchronize() { return drain(), 0; }

API int cuMemAlloc_v2(Ptr *p, size_t n) {
  if (!current) return bad_context;
  if (used + n > total()) return memory;
  int r = allocate(live, n, (void **)p);
  if (!r) peak = std::max(peak, used += n);
  return r;
}
API int cuMemFree_v2(Ptr p) {
  auto i = live.find((char *)p);
  if (i != live.end()) used -= i->second;
  return release(live, (void *)p);
}
API int cuMemGetInfo_v2(size_t *f, size_t *t) { return *t = total(), *f = *t - used, 0; }
API int cuMemHostAlloc(void **p, size_t n, unsigned) { return allocate(pinned, n, p); }
API int cuMemFreeHost(void *p) { return release(pinned, p); }
// The synchronous copies wait for themselves only: our stream is a non-blocking one.
API int cuMemcpyHtoD_v2(Ptr d, const void *s, size_t n) {
  if (int r = check(d, n)) return r;
  return memcpy((void *)d, s, n), 0;
}
API int cuMemcpyDtoH_v2(void *d, Ptr s, size_t n) {
  if (int r = check(s, n)) return r;
  return memcpy(d, (void *)s, n), 0;
}
API int cuMemcpyHtoDAsync_v2(Ptr d, const void *s, size_t n, void *) {
  if (int r = check(d, n)) return r;
  if (!holds(pinned, s, n)) return invalid; // allowed, but then it is not asynchronous
  return add([=] { memcpy((void *)d, s, n); }), 0;
}
API int cuMemcpyDtoHAsync_v2(void *d, Ptr s, size_t n, void *) {
  if (int r = check(s, n)) return r;
  if (!holds(pinned, d, n)) return invalid;
  return add([=] { memcpy(d, (void *)s, n); }), 0;
}
API int cuMemcpyDtoDAsync_v2(Ptr d, Ptr s, size_t n, void *) {
  int r = check(d, n);
  if (!r) r = check(s, n);
  if (r) return r;
  return add([=] { memmove((void *)d, (void *)s, n); }), 0;
}
API int cuMemsetD8Async(Ptr d, unsigned char v, size_t n, void *) {
  if (int r = check(d, n)) return r;
  return add([=] { memset((void *)d, v, n); }), 0;
}

// An image is what the NVRTC beside this driver makes: the names of its kernels.
API int cuModuleLoadData(void **m, const void *image) {
  if (strncmp((const char *)image, "SIM", 3)) return 200;
  return *m = (void *)image, 0;
}
API int cuModuleLoadDataEx(void **m, const void *image, unsigned, void *, void *) { return cuModuleLoadData(m, image); }
API int cuModuleUnload(void *) { return 0; }
API int cuModuleGetFunction(void **f, void *, const char *name) {
  auto i = sim::table().find(name);
  if (i == sim::table().end()) return not_found;
  return *f = new Function{name, i->second}, 0; // lives as long as the process
}
API int cuFuncSetAttribute(void *f, int attribute, int value) {
  if (attribute != 8) return invalid; // the most dynamic shared memory
  if (value > shared_most) return invalid;
  return ((Function *)f)->shared = value, 0;
}
API int cuFuncGetAttribute(int *v, int attribute, void *f) { return *v = attribute == 8 ? ((Function *)f)->shared : 0, 0; }
API int cuLaunchKernel(void *f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared, void *, void **params, void **) {
  auto *fn = (Function *)f;
  if (!current) return bad_context;
  if (!gx || !gy || !gz || gy > 65535 || gz > 65535 || !bx || bx * by * bz > 1024 || (int)shared > fn->shared) return invalid;
  launches++;
  Work body = fn->run(params);
  add([=] { sim::launch(dim3(gx, gy, gz), dim3(bx, by, bz), shared, fn->name.c_str(), body); });
  return 0;
}

API int cuStreamCreate(void **s, unsigned) { return *s = &stream, 0; }
API int cuStreamCreateWithPriority(void **s, unsigned, int) { return *s = &stream, 0; }
API int cuStreamDestroy_v2(void *) { return drain(), 0; }
API int cuStreamSynchronize(void *) {
  if (capturing) return wrong_capture;
  return drain(), 0;
}
API int cuStreamBeginCapture_v2(void *, unsigned) {
  if (capturing) return wrong_capture;
  return capturing = new Graph, 0;
}
API int cuStreamEndCapture(void *, void **g) {
  if (!capturing) return wrong_capture;
  *g = capturing;
  return capturing = nullptr, 0;
}
API int cuStreamIsCapturing(void *, unsigned *s) { return *s = capturing ? 1 : 0, 0; }
API int cuGraphInstantiateWithFlags(void **e, void *g, unsigned long long) { return *e = new Graph(*(Graph *)g), 0; }
API int cuGraphLaunch(void *e, void *) {
  auto *g = (Graph *)e;
  return add([=] { for (auto &w : g->work) w(); }), 0;
}
API int cuGraphDestroy(void *g) { return delete (Graph *)g, 0; }
API int cuGraphExecDestroy(void *e) { return drain(), delete (Graph *)e, 0; }

API int cuEventCreate(void **e, unsigned) { return *e = new Event, 0; }
API int cuEventDestroy_v2(void *e) { return drain(), delete (Event *)e, 0; }
API int cuEventRecord(void *e, void *) {
  auto *event = (Event *)e;
  event->done = false;
  return add([=] { event->done = true, event->at = Clock::now(); }), 0;
}
API int cuEventQuery(void *e) { return ((Event *)e)->done ? 0 : 600; }
API int cuEventSynchronize(void *e) { // only what comes before it is done
  while (!((Event *)e)->done && !queue.empty()) {
    Work w = std::move(queue.front());
    queue.pop_front();
    w();
  }
  return 0;
}
API int cuEventElapsedTime(float *ms, void *from, void *to) {
  return *ms = std::chrono::duration<float, std::milli>(((Event *)to)->at - ((Event *)from)->at).count(), 0;
}
