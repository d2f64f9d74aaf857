// A libcublas.so.13 without a GPU, for tests: the calls that kernels/gpu/src/blas makes, on a processor, with the memory of the driver that
// is none (driver.cpp). Products are done at once.
//
// BRAID_FAKE_PRODUCTS: after so many, all fail (never).
#include "products.h"

#include <atomic>
#include <cstdlib>

namespace {

constexpr int SUCCESS = 0, NOT_INITIALIZED = 1, INVALID = 7, EXECUTION = 13, NOT_SUPPORTED = 15;
constexpr int COMPUTE_32F = 68;

struct Handle {
    void* stream = nullptr;
};

std::atomic<uint64_t> products{0};

bool fails() {
    const char* text = getenv("BRAID_FAKE_PRODUCTS");
    return text && products++ >= strtoull(text, nullptr, 10);
}

} // namespace

extern "C" {

int cublasCreate_v2(Handle** handle) {
    *handle = new Handle;
    return SUCCESS;
}

int cublasDestroy_v2(Handle* handle) {
    delete handle;
    return SUCCESS;
}

int cublasSetStream_v2(Handle* handle, void* stream) {
    handle->stream = stream;
    return SUCCESS;
}

int cublasGemmStridedBatchedEx(Handle* handle, int transpose_a, int transpose_b, int m, int n, int k, const void* alpha, const void* a,
                               int a_type, int lda, long long a_stride, const void* b, int b_type, int ldb, long long b_stride,
                               const void* beta, void* c, int c_type, int ldc, long long c_stride, int count, int compute, int) {
    if (!handle || !handle->stream) return NOT_INITIALIZED;
    if (m < 0 || n < 0 || k < 0 || count < 0 || lda < (transpose_a ? k : m) || ldb < (transpose_b ? n : k) || ldc < m) return INVALID;
    bool known = a_type == shim::SINGLE || a_type == shim::HALF || a_type == shim::BRAIN;
    if (!known || a_type != b_type || c_type != shim::SINGLE || compute != COMPUTE_32F) return NOT_SUPPORTED;
    if (fails()) return EXECUTION;
    shim::multiply(m, n, k, *(const float*)alpha, {a, a_type, transpose_a != 0, lda, a_stride},
                   {b, b_type, transpose_b != 0, ldb, b_stride}, *(const float*)beta, (float*)c, ldc, c_stride, count);
    return SUCCESS;
}

const char* cublasGetStatusString(int status) {
    return status == EXECUTION ? "the GPU program failed to execute" : status == INVALID ? "an unsupported value" : "another status";
}

} // extern "C"
