// The scheduler of sim.h: one fiber a CUDA thread.
#include "sim.h"
#include <map>

// The System V ABI for x86-64: rbx, rbp and r12 to r15 belong to the caller.
asm(R"(
.text
.globl sim_switch
.hidden sim_switch
.type sim_switch, @function
sim_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size sim_switch, .-sim_switch
)");

namespace sim {

static const size_t stack_size = 128 << 10;

static void entry() {
  (*body)();
  cur->done = true;
  progress++;
  alive--;
  if (alive && arrived == alive) { // a barrier waits for those that have not left, as on the device
    arrived = 0;
    turn++;
  }
  yield();
  die("a finished thread ran on");
}

// start lays a stack out so that sim_switch to it returns into entry.
static void *start(char *stack) {
  void **top = (void **)(stack + stack_size) - 2; // entry begins with rsp = 8 mod 16, as after a call
  *top = (void *)entry;
  for (int i = 0; i < 6; i++) *--top = nullptr;
  return top;
}

void launch(dim3 g, dim3 b, unsigned shared, const char *name, const std::function<void()> &f) {
  static std::vector<char *> stacks;
  static std::vector<char> room;
  static const bool backwards = getenv("SIM_ORDER") && !strcmp(getenv("SIM_ORDER"), "reverse");
  const unsigned n = b.x * b.y * b.z;
  kernel = name;
  grid = g;
  block = b;
  if (!n || n > 1024 || !g.x || !g.y || !g.z || g.y > 65535 || g.z > 65535) die("a launch of an impossible size");
  while (stacks.size() < n) stacks.push_back((char *)malloc(stack_size));
  if (room.size() < shared + 256) room.resize(shared + 256);
  dynamic = (char *)(((uintptr_t)room.data() + 127) & ~(uintptr_t)127);
  body = &f;
  std::vector<Thread> t(n);
  std::vector<Warp> w((n + 31) / 32);
  for (bid.z = 0; bid.z < g.z; bid.z++)
    for (bid.y = 0; bid.y < g.y; bid.y++)
      for (bid.x = 0; bid.x < g.x; bid.x++) {
        arrived = 0;
        alive = n;
        memset(dynamic, 0xcd, shared);
        for (unsigned i = 0; i < w.size(); i++) {
          w[i] = Warp{};
          w[i].width = std::min(32u, n - 32 * i);
        }
        for (unsigned i = 0; i < n; i++)
          t[i] = Thread{{i % b.x, i / b.x % b.y, i / b.x / b.y}, i % 32, &w[i / 32], start(stacks[i]), false};
        while (alive) {
          unsigned long before = progress;
          for (unsigned i = 0; i < n; i++) {
            cur = &t[backwards ? n - 1 - i : i];
            if (!cur->done) sim_switch(&scheduler, cur->sp);
          }
          if (progress == before) die("deadlock: some threads wait at a barrier or shuffle that the others never reach");
        }
      }
}

std::map<std::string, Kernel> &table() {
  static std::map<std::string, Kernel> t;
  return t;
}

void Entry::add(const char *name, Kernel k) {
  if (!table().emplace(name, k).second) {
    fprintf(stderr, "sim: two kernels are called %s\n", name);
    abort();
  }
}

} // namespace sim
