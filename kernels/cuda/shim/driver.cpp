// A libcuda.so.1 without a GPU, for tests of what talks to the driver: the calls that kernels/gpu/src/cuda makes, on a processor. Kernels
// are those of the shim, whatever machine code is loaded; streams do everything at once, one after the other for all threads.
//
// Variables say what kind of GPU it is not:
//   BRAID_FAKE_GPUS          how many (1)
//   BRAID_FAKE_ARCHITECTURE  major number (9)
//   BRAID_FAKE_CUDA          version of the driver (13000)
//   BRAID_FAKE_MEMORY        bytes that can be allocated (1 GiB)
//   BRAID_FAKE_LAUNCHES      after so many the GPU is lost (never)
//   BRAID_FAKE_ORDER         of threads and blocks: forward, reverse or random (forward)
#include "table.h"

#include <mutex>

namespace {

constexpr int SUCCESS = 0, INVALID = 1, NO_MEMORY = 2, NO_DEVICE = 100, NOT_FOUND = 500, LOST = 719;

std::mutex lock;
std::map<uint64_t, size_t> held;
size_t used = 0;
bool lost = false;
uint64_t launches = 0;

uint64_t setting(const char* name, uint64_t otherwise) {
    const char* text = getenv(name);
    return text ? strtoull(text, nullptr, 10) : otherwise;
}

// Whether `bytes` from `address` on are inside memory that was handed out.
bool inside(uint64_t address, size_t bytes) {
    auto after = held.upper_bound(address);
    if (after == held.begin()) return false;
    auto found = std::prev(after);
    return address - found->first + bytes <= found->second;
}

} // namespace

// Kernels have names of the C library, and must not get in its way.
#pragma GCC visibility push(default)

#define GUARD                                                                                                                  \
    std::lock_guard<std::mutex> guard(lock);                                                                                   \
    if (lost) return LOST

extern "C" {

int cuInit(unsigned) {
    std::string order = getenv("BRAID_FAKE_ORDER") ? getenv("BRAID_FAKE_ORDER") : "";
    if (order == "reverse") shim::order = shim::Order::Reverse;
    if (order == "random") shim::order = shim::Order::Random;
    return setting("BRAID_FAKE_GPUS", 1) == 0 ? NO_DEVICE : SUCCESS;
}

int cuDriverGetVersion(int* version) {
    *version = (int)setting("BRAID_FAKE_CUDA", 13000);
    return SUCCESS;
}

int cuGetErrorString(int error, const char** text) {
    *text = error == NO_DEVICE   ? "no CUDA-capable device is detected"
            : error == NO_MEMORY ? "out of memory"
            : error == LOST      ? "unspecified launch failure"
                                 : "invalid argument";
    return SUCCESS;
}

int cuDeviceGetCount(int* count) {
    *count = (int)setting("BRAID_FAKE_GPUS", 1);
    return SUCCESS;
}

int cuDeviceGet(int* device, int ordinal) {
    *device = ordinal;
    return SUCCESS;
}

int cuDeviceGetName(char* name, int length, int) {
    snprintf(name, (size_t)length, "fake");
    return SUCCESS;
}

int cuDeviceGetAttribute(int* value, int attribute, int) {
    *value = attribute == 75 ? (int)setting("BRAID_FAKE_ARCHITECTURE", 9) : attribute == 16 ? 2 : 0;
    return SUCCESS;
}

int cuDeviceTotalMem_v2(size_t* bytes, int) {
    *bytes = setting("BRAID_FAKE_MEMORY", 1 << 30);
    return SUCCESS;
}

int cuDevicePrimaryCtxRetain(void** context, int) {
    *context = &held;
    return SUCCESS;
}

int cuDevicePrimaryCtxRelease_v2(int) { return SUCCESS; }

int cuCtxSetCurrent(void* context) { return context == &held ? SUCCESS : INVALID; }

// A fat binary begins with this.
int cuModuleLoadData(void** module, const void* image) {
    *module = &used;
    return shim::argument<uint32_t>(image) == 0xba55ed50u ? SUCCESS : INVALID;
}

int cuModuleGetFunction(const void** function, void*, const char* name) {
    auto found = shim::kernels.find(name);
    if (found == shim::kernels.end()) return NOT_FOUND;
    *function = &found->second;
    return SUCCESS;
}

int cuStreamCreate(void** stream, unsigned) {
    *stream = new int;
    return SUCCESS;
}

int cuStreamDestroy_v2(void* stream) {
    delete (int*)stream;
    return SUCCESS;
}

int cuStreamQuery(void*) {
    GUARD;
    return SUCCESS;
}

int cuStreamSynchronize(void*) {
    GUARD;
    return SUCCESS;
}

int cuMemAlloc_v2(uint64_t* address, size_t bytes) {
    GUARD;
    if (used + bytes > setting("BRAID_FAKE_MEMORY", 1 << 30)) return NO_MEMORY;
    *address = (uint64_t)shim::memory(bytes);
    held[*address] = bytes;
    used += bytes;
    return SUCCESS;
}

int cuMemFree_v2(uint64_t address) {
    GUARD;
    auto found = held.find(address);
    if (found == held.end()) return INVALID;
    used -= found->second;
    held.erase(found);
    free((void*)address);
    return SUCCESS;
}

int cuMemHostAlloc(void** place, size_t bytes, unsigned) {
    *place = shim::memory(bytes);
    return *place ? SUCCESS : NO_MEMORY;
}

int cuMemFreeHost(void* place) {
    free(place);
    return SUCCESS;
}

int cuMemcpyHtoDAsync_v2(uint64_t to, const void* from, size_t bytes, void*) {
    GUARD;
    if (!inside(to, bytes)) return INVALID;
    memcpy((void*)to, from, bytes);
    return SUCCESS;
}

int cuMemcpyDtoHAsync_v2(void* to, uint64_t from, size_t bytes, void*) {
    GUARD;
    if (!inside(from, bytes)) return INVALID;
    memcpy(to, (void*)from, bytes);
    return SUCCESS;
}

int cuMemcpyDtoDAsync_v2(uint64_t to, uint64_t from, size_t bytes, void*) {
    GUARD;
    if (!inside(to, bytes) || !inside(from, bytes)) return INVALID;
    memmove((void*)to, (void*)from, bytes);
    return SUCCESS;
}

int cuMemsetD8Async(uint64_t address, unsigned char value, size_t bytes, void*) {
    GUARD;
    if (!inside(address, bytes)) return INVALID;
    memset((void*)address, value, bytes);
    return SUCCESS;
}

int cuLaunchKernel(const shim::Entry* kernel, unsigned x, unsigned y, unsigned, unsigned block, unsigned, unsigned, unsigned, void*,
                   void** arguments, void**) {
    GUARD;
    lost = launches++ >= setting("BRAID_FAKE_LAUNCHES", UINT64_MAX);
    if (lost) return LOST;
    kernel->run(arguments, x, y, block);
    return SUCCESS;
}

} // extern "C"

#pragma GCC visibility pop
