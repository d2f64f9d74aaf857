// The kernels by name, for those who have arguments as bytes: a test's device and the driver that is none.
#pragma once
#define BRAID_SHIM
#include <algorithm>
#include <string>
#include <tuple>

#include "../all.cu"

namespace shim {

struct Entry {
    // Bytes of each argument.
    std::vector<size_t> sizes;
    // Runs it on a grid; each pointer is to an argument.
    void (*run)(void** arguments, uint32_t x, uint32_t y, uint32_t block);
};

template <class T> T argument(const void* bytes) {
    T value;
    memcpy(&value, bytes, sizeof value);
    return value;
}

template <class... A, size_t... I>
void call(void (*kernel)(A...), void** arguments, uint32_t x, uint32_t y, uint32_t block, std::index_sequence<I...>) {
    std::tuple<A...> values(argument<A>(arguments[I])...);
    launch(x, y, block, [&] { std::apply(kernel, values); });
}

template <auto kernel> struct Of;
template <class... A, void (*kernel)(A...)> struct Of<kernel> {
    static void run(void** arguments, uint32_t x, uint32_t y, uint32_t block) {
        call(kernel, arguments, x, y, block, std::index_sequence_for<A...>{});
    }
    static Entry entry() { return {{sizeof(A)...}, run}; }
};

#define ENTRY(name) {#name, Of<name>::entry()}
inline const std::map<std::string, Entry> kernels = {
    ENTRY(convert),       ENTRY(linear),         ENTRY(task_vectors), ENTRY(gram),           ENTRY(l1),
    ENTRY(histogram),     ENTRY(scan),           ENTRY(count_ties),   ENTRY(sum_ties),       ENTRY(trim),
    ENTRY(draw_ranked),   ENTRY(gated_forward),  ENTRY(sum_parts),    ENTRY(gate_gradients), ENTRY(gated_backward),
    ENTRY(delta_forward), ENTRY(delta_backward), ENTRY(softmax),      ENTRY(softmax_backward),
    ENTRY(decay_forward_64), ENTRY(decay_forward_128), ENTRY(chunk_values),
};

} // namespace shim
