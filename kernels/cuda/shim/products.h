// Matrix products as a library of products has them, on a processor: for a test's device, and for the library that is none. Columns lie one
// after the other, as that library wants it. Sums are in f32, in the order of the inner index.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>

namespace shim {

// Numbers of the types of elements, as that library has them.
enum Numbers { HALF = 2, BRAIN = 14, SINGLE = 0 };

struct Factor {
    const void* data;
    int type;
    bool transposed;
    // Elements from column to column, and from matrix to matrix.
    int64_t column, matrix;
};

inline float widened(const void* data, int type, int64_t index) {
    if (type == SINGLE) return ((const float*)data)[index];
    uint16_t bits = ((const uint16_t*)data)[index];
    if (type == BRAIN) {
        uint32_t wide = (uint32_t)bits << 16;
        float value;
        memcpy(&value, &wide, sizeof value);
        return value;
    }
    int exponent = bits >> 10 & 31, fraction = bits & 1023;
    float size = exponent == 31 ? (fraction ? NAN : INFINITY)
                                : exponent ? std::ldexp(1024.0f + (float)fraction, exponent - 25) : std::ldexp((float)fraction, -24);
    return bits >> 15 ? -size : size;
}

// c = alpha a b + beta c for each of `count` matrices, whose a is rows * inner and b inner * columns once they are transposed.
inline void multiply(int64_t rows, int64_t columns, int64_t inner, float alpha, Factor a, Factor b, float beta, float* c, int64_t c_column,
                     int64_t c_matrix, int64_t count) {
    auto element = [](const Factor& of, int64_t which, int64_t row, int64_t column) {
        if (of.transposed) return widened(of.data, of.type, which * of.matrix + row * of.column + column);
        return widened(of.data, of.type, which * of.matrix + column * of.column + row);
    };
    for (int64_t which = 0; which < count; which++) {
        for (int64_t column = 0; column < columns; column++) {
            for (int64_t row = 0; row < rows; row++) {
                float sum = 0.0f;
                for (int64_t i = 0; i < inner; i++) sum += element(a, which, row, i) * element(b, which, i, column);
                float* place = c + which * c_matrix + column * c_column + row;
                // what lies there is not looked at where it does not count
                *place = beta == 0.0f ? alpha * sum : alpha * sum + beta * *place;
            }
        }
    }
}

} // namespace shim
