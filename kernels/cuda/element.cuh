// Elements of tensors to f32 and back, in the integer arithmetic of kernels/src/convert.rs: rounding to nearest, ties to even,
// subnormals included; infinities stay; a NaN stays one.
#pragma once
#include "common.cuh"

// The order of kernels/gpu/src/merge/operand.rs.
enum Kind : u32 { F64 = 0, F32 = 1, F16 = 2, BF16 = 3 };

__device__ inline float f32_from_f16(u32 half) {
    u32 sign = (half & 0x8000u) << 16;
    u32 exponent = half & 0x7c00u;
    if (exponent == 0) {
        return __uint_as_float(sign | __float_as_uint((float)(int)(half & 0x3ffu) * 5.9604644775390625e-8f));
    }
    u32 rebias = exponent == 0x7c00u ? 224u << 23 : 112u << 23;
    return __uint_as_float(sign | (((half & 0x7fffu) << 13) + rebias));
}

__device__ inline u32 f16_from_f32(float value) {
    u32 bits = __float_as_uint(value);
    u32 sign = (bits >> 16) & 0x8000u;
    u32 size = bits & 0x7fffffffu;
    u32 number;
    if (size > 0x7f800000u) {
        number = 0x7e00u | ((size >> 13) & 0x3ffu);
    } else if (size < 0x38800000u) {
        // one half puts the last bit of an f16 subnormal in the last bit of the sum: the addition itself rounds
        number = __float_as_uint(__uint_as_float(size) + 0.5f) - 0x3f000000u;
    } else if (size >= 0x47800000u) {
        number = 0x7c00u;
    } else {
        number = (size + (0xfffu + ((size >> 13) & 1u)) - (112u << 23)) >> 13;
    }
    return sign | number;
}

__device__ inline float f32_from_bf16(u32 bits) { return __uint_as_float(bits << 16); }

__device__ inline u32 bf16_from_f32(float value) {
    u32 bits = __float_as_uint(value);
    if (not_a_number(value)) return (bits >> 16) | 0x40u;
    return (bits + (0x7fffu + ((bits >> 16) & 1u))) >> 16;
}

// One element, wherever it lies.
__device__ inline float decode_one(const void* data, u32 kind, u64 index) {
    switch (kind) {
    case F64: return (float)((const double*)data)[index];
    case F32: return ((const float*)data)[index];
    case F16: return f32_from_f16(((const u16*)data)[index]);
    default: return f32_from_bf16(((const u16*)data)[index]);
    }
}

__device__ inline void encode_one(void* data, u32 kind, u64 index, float value) {
    switch (kind) {
    case F64: ((double*)data)[index] = (double)value; break;
    case F32: ((float*)data)[index] = value; break;
    case F16: ((u16*)data)[index] = (u16)f16_from_f32(value); break;
    default: ((u16*)data)[index] = (u16)bf16_from_f32(value);
    }
}

// A pair of two-byte elements, as they lie in a word.
__device__ inline void decode_pair(u32 word, u32 kind, float* values) {
    values[0] = kind == F16 ? f32_from_f16(word & 0xffffu) : f32_from_bf16(word & 0xffffu);
    values[1] = kind == F16 ? f32_from_f16(word >> 16) : __uint_as_float(word & 0xffff0000u);
}

__device__ inline u32 encode_pair(u32 kind, const float* values) {
    return kind == F16 ? f16_from_f32(values[0]) | f16_from_f32(values[1]) << 16
                       : bf16_from_f32(values[0]) | bf16_from_f32(values[1]) << 16;
}

// Elements first .. first + count of a tensor. `first` is a multiple of RUN and the tensor begins at a multiple of sixteen bytes,
// so that a whole run is read sixteen bytes at a time.
__device__ inline void decode(const void* data, u32 kind, u64 first, u32 count, float* values) {
    if (count < RUN || kind == F64) {
        for (u32 i = 0; i < RUN; i++) values[i] = i < count ? decode_one(data, kind, first + i) : 0.0f;
    } else if (kind == F32) {
        const float4* source = (const float4*)((const float*)data + first);
        float4 low = source[0], high = source[1];
        values[0] = low.x, values[1] = low.y, values[2] = low.z, values[3] = low.w;
        values[4] = high.x, values[5] = high.y, values[6] = high.z, values[7] = high.w;
    } else {
        uint4 words = *(const uint4*)((const u16*)data + first);
        decode_pair(words.x, kind, values), decode_pair(words.y, kind, values + 2);
        decode_pair(words.z, kind, values + 4), decode_pair(words.w, kind, values + 6);
    }
}

__device__ inline void encode(void* data, u32 kind, u64 first, u32 count, const float* values) {
    if (count < RUN || kind == F64) {
        for (u32 i = 0; i < RUN; i++) {
            if (i < count) encode_one(data, kind, first + i, values[i]);
        }
    } else if (kind == F32) {
        float4* target = (float4*)((float*)data + first);
        target[0] = make_float4(values[0], values[1], values[2], values[3]);
        target[1] = make_float4(values[4], values[5], values[6], values[7]);
    } else {
        *(uint4*)((u16*)data + first) = make_uint4(encode_pair(kind, values), encode_pair(kind, values + 2),
                                                   encode_pair(kind, values + 4), encode_pair(kind, values + 6));
    }
}

// Writes a finished run, and the place of its first NaN, if there is one, where that of an earlier one is not yet.
__device__ inline void finish(void* out, u32 kind, u64 first, u32 count, const float* values, u64* bad) {
    encode(out, kind, first, count, values);
    for (u32 i = 0; i < RUN; i++) {
        if (i < count && not_a_number(values[i])) atomicMin(bad, first + i);
    }
}
