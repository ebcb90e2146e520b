//go:build cuda && linux && amd64

// The driver's entry points, opened at run time. gorgonia.org/cu refers to them
// by name, and the linker finds them here instead of in libcuda, so that the
// program starts where there is no driver. They are hidden: libraries that open
// libcuda themselves never meet these.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <cuda.h>
#include "load.h"

#define HIDDEN __attribute__((visibility("hidden")))

#define F(name, params, args) static CUresult(*real_##name) params;
#include "forward.h"
#undef F
static CUresult (*real_cuInit)(unsigned), (*real_cuDeviceGetCount)(int *), (*real_cuDriverGetVersion)(int *);

static pthread_once_t once = PTHREAD_ONCE_INIT;
static int status = -1, absent;
static char why[512], path[512];
static const char *missing[256];

static void *sym(void *lib, const char *name) {
  void *f = dlsym(lib, name);
  if (!f && absent < 256) missing[absent++] = name;
  return f;
}

static void open_driver(void) {
  static const char *const places[] = {
    "libcuda.so.1", // the dynamic linker's own search
    "/usr/lib/wsl/lib/libcuda.so.1",
    "/usr/local/nvidia/lib64/libcuda.so.1",
    "/run/opengl-driver/lib/libcuda.so.1",
  };
  const char *named = getenv("STARBOOK_LIBCUDA"), *found = named, *err;
  void *lib;
  if (named && *named) {
    lib = dlopen(named, RTLD_NOW);
    if (!lib) {
      err = dlerror();
      snprintf(why, sizeof why, "STARBOOK_LIBCUDA names no driver library (%s)", err ? err : "?");
      return;
    }
  } else {
    lib = 0;
    for (unsigned i = 0; !lib && i < sizeof places / sizeof *places; i++) {
      lib = dlopen(found = places[i], RTLD_NOW);
      if (!lib && i == 0) {
        err = dlerror();
        snprintf(why, sizeof why, "the NVIDIA driver library libcuda.so.1 was not found (%s)", err ? err : "?");
      }
    }
    if (!lib) return;
  }
  snprintf(path, sizeof path, "%s", found);
  Dl_info info;
  real_cuInit = (CUresult(*)(unsigned))dlsym(lib, "cuInit");
  if (real_cuInit && dladdr((void *)real_cuInit, &info) && info.dli_fname) snprintf(path, sizeof path, "%s", info.dli_fname);
  real_cuDeviceGetCount = (CUresult(*)(int *))dlsym(lib, "cuDeviceGetCount");
  real_cuDriverGetVersion = (CUresult(*)(int *))dlsym(lib, "cuDriverGetVersion");
  if (!real_cuInit || !real_cuDeviceGetCount || !real_cuDriverGetVersion) {
    snprintf(why, sizeof why, "%s is no driver library: it lacks cuInit, cuDeviceGetCount or cuDriverGetVersion", path);
    return;
  }
#define F(name, params, args) real_##name = (CUresult(*) params)sym(lib, #name);
#include "forward.h"
#undef F
  status = (int)real_cuInit(0);
  if (status) {
    const char *text = 0;
    if (real_cuGetErrorString) real_cuGetErrorString((CUresult)status, &text);
    snprintf(why, sizeof why, "the NVIDIA driver %s refused to start: error %d (%s)", path, status, text ? text : "?");
  }
}

int driver_status(void) {
  pthread_once(&once, open_driver);
  return status;
}

const char *driver_why(void) { return driver_status() ? why : ""; }

const char *driver_path(void) {
  driver_status();
  return path;
}

int driver_missing(const char *const **names) {
  driver_status();
  *names = missing;
  return absent;
}

// cu calls cuInit when the program starts, and ends the program if it fails.
// That there is no GPU is no failure of a program that also runs on the CPU, so
// this says that all is well, and driver_status opens the driver later.
HIDDEN CUresult cuInit(unsigned flags) {
  (void)flags;
  return CUDA_SUCCESS;
}

HIDDEN CUresult cuDeviceGetCount(int *n) {
  *n = 0;
  return driver_status() ? CUDA_SUCCESS : real_cuDeviceGetCount(n);
}

HIDDEN CUresult cuDriverGetVersion(int *version) {
  *version = 0;
  return driver_status() ? CUDA_SUCCESS : real_cuDriverGetVersion(version);
}

#define F(name, params, args) \
  HIDDEN CUresult name params { return real_##name ? real_##name args : CUDA_ERROR_NOT_SUPPORTED; }
#include "forward.h"
