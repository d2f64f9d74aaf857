// A libcufile.so.0 without GPUDirect Storage, for tests: reads files into the memory of the driver that is none (driver.cpp), and only as a
// disk could: whole blocks of files that are read past the page cache, to whole blocks of memory, and not in the compatibility mode.
//
// Variables say what there is not:
//   BRAID_FAKE_STORAGE       "none": the module of the kernel is missing
//   BRAID_FAKE_READS         after so many, reads fail (never)
#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <cstring>

namespace {

constexpr int SUCCESS = 0, NO_MODULE = 5010, NOT_DIRECT = 5020, INVALID = 5022, NO_WAY = 5008;
constexpr size_t BLOCK = 4096;

bool compatible = true;
std::atomic<uint64_t> reads{0};

} // namespace

extern "C" {

struct Status {
    int cufile, driver;
};

struct Descriptor {
    int kind;
    union {
        int descriptor;
        void* pointer;
    } handle;
    const void* operations;
};

Status cuFileSetParameterBool(int parameter, bool value) {
    if (parameter == 1) compatible = value;
    return {parameter == 1 ? SUCCESS : INVALID, 0};
}

Status cuFileDriverOpen() {
    const char* storage = getenv("BRAID_FAKE_STORAGE");
    bool none = storage && strcmp(storage, "none") == 0;
    return {none || compatible ? NO_MODULE : SUCCESS, 0};
}

Status cuFileHandleRegister(void** handle, Descriptor* of) {
    if (of->kind != 1) return {INVALID, 0};
    if (!(fcntl(of->handle.descriptor, F_GETFL) & O_DIRECT)) return {NOT_DIRECT, 0};
    *handle = new int(of->handle.descriptor);
    return {SUCCESS, 0};
}

void cuFileHandleDeregister(void* handle) { delete (int*)handle; }

Status cuFileBufRegister(const void* address, size_t bytes, int) {
    return {(uintptr_t)address % BLOCK || bytes % BLOCK ? INVALID : SUCCESS, 0};
}

Status cuFileBufDeregister(const void*) { return {SUCCESS, 0}; }

ssize_t cuFileRead(void* handle, void* to, size_t bytes, off_t offset, off_t at) {
    const char* most = getenv("BRAID_FAKE_READS");
    if (most && reads++ >= strtoull(most, nullptr, 10)) return -NO_WAY;
    if (offset % BLOCK || bytes % BLOCK || ((uintptr_t)to + (size_t)at) % BLOCK) return -INVALID;
    return pread(*(int*)handle, (char*)to + at, bytes, offset);
}

} // extern "C"
