// As much of CUDA C++ as the kernels here use, on a processor: each thread of a block is a fiber, and a barrier hands over to the next.
//
//   launch ── for each block, in the order asked for ── for each thread, in that order: run to its next barrier or its end
//                                                        └── again, until all have ended
//
// Threads run one after the other, forward, backward or shuffled anew at every barrier, so that a race that changes a result in one of
// these orders shows. Shared memory is allocated for each block and filled with junk; with the sanitizers, an access outside it, or
// outside a buffer, ends the program with its place. A barrier that only some threads of a block reach ends it too, and so does what a
// warp does as one where only some of its lanes come by (warp.h).
//
// Not here: the speed of anything.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <numeric>
#include <random>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#define FRESH(stack, size) ASAN_UNPOISON_MEMORY_REGION(stack, size)
#define SWITCH_TO(saved, stack, size) __sanitizer_start_switch_fiber(saved, stack, size)
#define SWITCHED(saved, stack, size) __sanitizer_finish_switch_fiber(saved, stack, size)
#else
#define FRESH(stack, size) (void)(stack)
#define SWITCH_TO(saved, stack, size) (void)(saved)
#define SWITCHED(saved, stack, size) (void)(saved)
#endif

#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define KERNEL extern "C" void
#define SHARED(type, name)                                                                                                     \
    static const char key_of_##name = 0;                                                                                       \
    Plain<type>& name = *(Plain<type>*)shim::shared(&key_of_##name, sizeof(Plain<type>))

#define threadIdx (shim::running->thread)
#define blockIdx (shim::block_index)
#define blockDim (shim::block_size)
#define gridDim (shim::grid_size)
#define __syncthreads() shim::barrier()

struct uint3 {
    uint32_t x, y, z;
};
struct alignas(16) uint4 {
    uint32_t x, y, z, w;
};
struct alignas(16) float4 {
    float x, y, z, w;
};
inline uint4 make_uint4(uint32_t x, uint32_t y, uint32_t z, uint32_t w) { return {x, y, z, w}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }

inline uint32_t __float_as_uint(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}
inline float __uint_as_float(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}
template <class T> T atomicAdd(T* place, T value) {
    T old = *place;
    *place += value;
    return old;
}
template <class T> T atomicMin(T* place, T value) {
    T old = *place;
    if (value < old) *place = value;
    return old;
}
template <class T> T atomicMax(T* place, T value) {
    T old = *place;
    if (value > old) *place = value;
    return old;
}
template <class T> T atomicOr(T* place, T value) {
    T old = *place;
    *place |= value;
    return old;
}

namespace shim {

#if !defined(__x86_64__)
#error "the shim knows how to change fibers on x86-64 alone"
#endif

// Puts what a call preserves on the stack, notes that stack, and takes up another. The library's swapcontext asks the kernel each time.
extern "C" void shim_switch(void** from, void* to);
asm(R"(
    .text
    .globl shim_switch
    .type shim_switch, @function
shim_switch:
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
    .size shim_switch, .-shim_switch
)");

constexpr size_t STACK = 64 << 10;

// Sixteen bytes on their way to shared memory.
struct Copy {
    void* to;
    const void* from;
    bool there;
};

struct Fiber {
    uint3 thread;
    char* stack;
    void* top = nullptr;
    void* fake = nullptr;
    bool ended = false;
    // At the barrier of its block.
    bool waits = false;
    // Which meeting of its warp it waits for the others at; none is 0.
    uint64_t meets = 0;
    // Copies that it has begun.
    std::vector<Copy> copies = {};
};

// Lanes of a warp that do something as one.
struct Warp {
    uint32_t here = 0;
    // The meeting that is open: the first is 1.
    uint64_t open = 1;
    // What each lane brings, to this meeting and the one before: a lane may be at the next while others still look.
    struct {
        uint32_t words[6];
        const uint16_t* row;
    } brought[2][32];
};

enum class Order { Forward, Reverse, Random };

inline Order order = Order::Forward;
inline std::mt19937_64 random_numbers;
inline Fiber* running = nullptr;
inline void* scheduler_top = nullptr;
inline void* scheduler_fake = nullptr;
inline const void* scheduler_stack = nullptr;
inline size_t scheduler_size = 0;
inline uint3 block_index, block_size, grid_size;
inline std::function<void()> body;
inline std::map<const void*, std::unique_ptr<char, void (*)(void*)>> block_memory;
inline std::vector<Warp> warps;

[[noreturn]] inline void fail(const char* what) {
    fprintf(stderr, "shim: %s, in block %u,%u\n", what, block_index.x, block_index.y);
    abort();
}

// Aligned as device memory is, and as large as asked for, so that the sanitizer sees the first byte too many.
inline char* memory(size_t bytes) {
    void* place = nullptr;
    if (posix_memalign(&place, 256, bytes > 0 ? bytes : 1) != 0) return nullptr;
    memset(place, 0xa5, bytes);
    return (char*)place;
}

inline void* shared(const void* key, size_t bytes) {
    auto found = block_memory.find(key);
    if (found == block_memory.end()) {
        found = block_memory.emplace(key, std::unique_ptr<char, void (*)(void*)>(memory(bytes), free)).first;
    }
    return found->second.get();
}

inline void to_scheduler(bool ends) {
    Fiber* self = running;
    SWITCH_TO(ends ? nullptr : &self->fake, scheduler_stack, scheduler_size);
    shim_switch(&self->top, scheduler_top);
    SWITCHED(self->fake, nullptr, nullptr);
}

inline void barrier() {
    running->waits = true;
    to_scheduler(false);
}

inline void enter() {
    SWITCHED(nullptr, &scheduler_stack, &scheduler_size);
    body();
    running->ended = true;
    to_scheduler(true);
}

inline std::vector<uint32_t> sequence(uint32_t count) {
    std::vector<uint32_t> places(count);
    std::iota(places.begin(), places.end(), 0u);
    if (order == Order::Reverse) std::reverse(places.begin(), places.end());
    if (order == Order::Random) std::shuffle(places.begin(), places.end(), random_numbers);
    return places;
}

inline void run_block(std::vector<Fiber>& fibers) {
    uint32_t threads = block_size.x;
    block_memory.clear();
    for (uint32_t i = 0; i < threads; i++) {
        Fiber& fiber = fibers[i];
        fiber.thread = {i, 0, 0};
        fiber.ended = fiber.waits = false;
        fiber.meets = 0;
        fiber.copies.clear();
        fiber.fake = nullptr;
        // frames of a thread that has ended were never left
        FRESH(fiber.stack, STACK);
        // six registers of no meaning, where to go, and where nobody returns to
        void** top = (void**)(fiber.stack + STACK) - 8;
        memset(top, 0, 8 * sizeof *top);
        top[6] = (void*)enter;
        fiber.top = top;
    }
    warps.assign((threads + 31) / 32, {});
    for (;;) {
        uint32_t ended = 0, waiting = 0;
        bool moved = false;
        for (uint32_t i : sequence(threads)) {
            running = &fibers[i];
            bool meets = running->meets > 0 && warps[i / 32].open == running->meets;
            if (!running->ended && !running->waits && !meets) {
                moved = true;
                running->meets = 0;
                SWITCH_TO(&scheduler_fake, running->stack, STACK);
                shim_switch(&scheduler_top, running->top);
                SWITCHED(scheduler_fake, nullptr, nullptr);
            }
            ended += running->ended;
            waiting += running->waits;
        }
        if (ended == threads) return;
        if (moved) continue;
        if (ended > 0 && waiting > 0) fail("some threads wait at a barrier that others have passed by");
        if (waiting < threads) fail("some lanes of a warp wait for others that do not come");
        for (uint32_t i = 0; i < threads; i++) fibers[i].waits = false;
    }
}

// Runs a kernel on a grid.
inline void launch(uint32_t grid_x, uint32_t grid_y, uint32_t block, std::function<void()> kernel) {
    grid_size = {grid_x, grid_y, 1};
    block_size = {block, 1, 1};
    body = std::move(kernel);
    static std::vector<Fiber>& fibers = *new std::vector<Fiber>;
    while (fibers.size() < block) fibers.push_back(Fiber{{}, memory(STACK)});
    for (uint32_t index : sequence(grid_x * grid_y)) {
        block_index = {index % grid_x, index / grid_x, 0};
        run_block(fibers);
    }
    block_memory.clear();
}

} // namespace shim
