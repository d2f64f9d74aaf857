// Rows of softmax attention: what a block of queries makes of its scores, kernels/src/attention/softmax. The products before and after are a
// library's: scores are Q K^T already scaled, probabilities times V are the outputs.
//
// A row of a matrix belongs to a query of one head; queries of a head lie one after the other, and heads too. A query sees the keys
// first .. end of its `Seen`, which are its document's up to itself; all others have the probability 0, whatever their scores are.
// A block has one row. Sums are in f32, over THREADS partial sums in a fixed tree.
#include "element.cuh"

// Keys that a query sees, counted from the first key of the matrix; at least one.
struct Seen {
    u32 first;
    u32 end;
};

template <class Combine> __device__ inline float over_block(float value, float* room, Combine combine) {
    room[threadIdx.x] = value;
    for (u32 step = THREADS / 2; step > 0; step /= 2) {
        __syncthreads();
        if (threadIdx.x < step) room[threadIdx.x] = combine(room[threadIdx.x], room[threadIdx.x + step]);
    }
    __syncthreads();
    float all = room[0];
    __syncthreads(); // before it is used again
    return all;
}

struct Larger {
    __device__ float operator()(float a, float b) const { return a > b ? a : b; }
};

struct Sum {
    __device__ float operator()(float a, float b) const { return a + b; }
};

// probabilities = softmax(scores) of each row, and log_sums = ln sum e^score. Grid: queries, heads.
KERNEL softmax(const float* scores, const Seen* seen, u32 keys, float* log_sums, void* probabilities, u32 kind) {
    SHARED(float[THREADS], room);
    Seen own = seen[blockIdx.x];
    u64 row = (u64)blockIdx.y * gridDim.x + blockIdx.x;
    const float* of_row = scores + row * keys;
    float top = of_row[own.first];
    for (u32 j = own.first + threadIdx.x; j < own.end; j += blockDim.x) top = of_row[j] > top ? of_row[j] : top;
    top = over_block(top, room, Larger());
    float sum = 0.0f;
    for (u32 j = own.first + threadIdx.x; j < own.end; j += blockDim.x) sum += expf(of_row[j] - top);
    sum = over_block(sum, room, Sum());
    if (threadIdx.x == 0) log_sums[row] = top + logf(sum);
    for (u32 j = threadIdx.x; j < keys; j += blockDim.x) {
        bool visible = j >= own.first && j < own.end;
        encode_one(probabilities, kind, row * keys + j, visible ? expf(of_row[j] - top) / sum : 0.0f);
    }
}

// From the gradients of probabilities those of scores, P (dP - sum P dP), and the probabilities once more, from the logarithms of their
// sums. Grid as above.
KERNEL softmax_backward(const float* scores, const float* d_probabilities, const Seen* seen, u32 keys, const float* log_sums,
                        void* probabilities, void* d_scores, u32 kind) {
    SHARED(float[THREADS], room);
    Seen own = seen[blockIdx.x];
    u64 row = (u64)blockIdx.y * gridDim.x + blockIdx.x;
    float log_sum = log_sums[row], mean = 0.0f;
    for (u32 j = own.first + threadIdx.x; j < own.end; j += blockDim.x) {
        mean = fmaf(expf(scores[row * keys + j] - log_sum), d_probabilities[row * keys + j], mean);
    }
    mean = over_block(mean, room, Sum());
    for (u32 j = threadIdx.x; j < keys; j += blockDim.x) {
        u64 place = row * keys + j;
        bool visible = j >= own.first && j < own.end;
        float probability = visible ? expf(scores[place] - log_sum) : 0.0f;
        encode_one(probabilities, kind, place, probability);
        encode_one(d_scores, kind, place, visible ? probability * (d_probabilities[place] - mean) : 0.0f);
    }
}
