// tensor.cuh on a processor: what a warp does as one is a meeting of its 32 fibers, to which each brings what it holds, and copies that go
// on beside the computing are made as late as they may be, so that a wait that is missing shows.
#pragma once
#include "cuda.h"

namespace shim {

using Brought = decltype(Warp::brought[0]);

inline Brought& meet(std::initializer_list<uint32_t> words, const uint16_t* row) {
    Warp& warp = warps[running->thread.x / 32];
    uint64_t meeting = warp.open;
    auto& brought = warp.brought[meeting % 2];
    auto& own = brought[running->thread.x % 32];
    std::copy(words.begin(), words.end(), own.words);
    own.row = row;
    if (++warp.here == 32) {
        warp.here = 0;
        warp.open++;
    } else {
        running->meets = meeting;
        to_scheduler(false);
    }
    return brought;
}

inline uint32_t lane() { return running->thread.x % 32; }

// The sixteen bytes that a lane points at, as a row of a matrix.
inline const uint16_t* matrix_row(Brought& brought, uint32_t matrix, uint32_t row) {
    const uint16_t* place = brought[matrix * 8 + row].row;
    if ((uintptr_t)place % 16 != 0) fail("a row of a matrix does not begin at a multiple of sixteen bytes");
    return place;
}

} // namespace shim

inline void multiply(float* c, const u32* a, const u32* b) {
    auto& brought = shim::meet({a[0], a[1], a[2], a[3], b[0], b[1]}, nullptr);
    u32 g = shim::lane() / 4, t = shim::lane() % 4;
    auto half = [](u32 word, u32 which) { return f32_from_bf16(which ? word >> 16 : word & 0xffffu); };
    for (u32 i = 0; i < 4; i++) {
        u32 row = g + i / 2 * 8, column = 2 * t + i % 2;
        float sum = c[i];
        for (u32 k = 0; k < 16; k++) {
            // a lane has of A rows g and g+8 by turns, of k first the lower eight; of B the column g
            u32 of_a = brought[row % 8 * 4 + k % 8 / 2].words[row / 8 + k / 8 * 2];
            u32 of_b = brought[column * 4 + k % 8 / 2].words[4 + k / 8];
            sum = fmaf(half(of_a, k % 2), half(of_b, k % 2), sum);
        }
        c[i] = sum;
    }
}

inline void load_matrices(u32* words, const u16* row) {
    auto& brought = shim::meet({}, row);
    u32 g = shim::lane() / 4, t = shim::lane() % 4;
    for (u32 matrix = 0; matrix < 4; matrix++) {
        const u16* from = shim::matrix_row(brought, matrix, g) + 2 * t;
        words[matrix] = from[0] | (u32)from[1] << 16;
    }
}

inline void load_transposed(u32* words, const u16* row) {
    auto& brought = shim::meet({}, row);
    u32 g = shim::lane() / 4, t = shim::lane() % 4;
    for (u32 matrix = 0; matrix < 4; matrix++) {
        words[matrix] = shim::matrix_row(brought, matrix, 2 * t)[g] | (u32)shim::matrix_row(brought, matrix, 2 * t + 1)[g] << 16;
    }
}

inline void begin_copy(void* shared, const void* from, bool there) {
    if ((uintptr_t)shared % 16 != 0 || (uintptr_t)from % 16 != 0) shim::fail("a copy of sixteen bytes is not aligned to them");
    shim::running->copies.push_back({shared, from, there});
}

inline void close_group() {}

inline void wait_for_groups() {
    for (const shim::Copy& copy : shim::running->copies) {
        if (copy.there) memcpy(copy.to, copy.from, 16);
        else memset(copy.to, 0, 16);
    }
    shim::running->copies.clear();
}

inline u32 pair_of(float low, float high) { return bf16_from_f32(low) | bf16_from_f32(high) << 16; }
