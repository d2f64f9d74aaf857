// A device in a process of its own, for tests: takes orders on its standard input and answers on its standard output, so that the
// sanitizers watch the kernels and not the test, and a mistake of a kernel ends this process alone.
//
//   order                                                     answer
//   'a' bytes:u64                       allocate              status, address:u64
//   'f' address:u64                     free                  status
//   'w' address:u64 bytes:u64 data      write                 status
//   's' address:u64 bytes:u64 value:u8  set                   status
//   'c' from:u64 to:u64 bytes:u64       copy              status
//   'r' address:u64 bytes:u64           read                  status, data
//   'm' size:u64*4 alpha:f32 beta:f32 a b c    multiply matrices   status
//   'k' name grid_x:u32 grid_y:u32 block:u32 count:u32 arguments     run a kernel; name and arguments are length:u32 data
//
// What is multiplied has rows, columns, the inner index and a count; a, b and c are each address:u64 type:u32 transposed:u32 column:i64
// matrix:i64, as a library of products has them (products.h).
//
// Status is 0, 1 for no memory, 2 for a kernel that is not there or takes other arguments. Numbers are little-endian.
// Arguments of the program: forward, reverse or random; a seed; the bytes that may be allocated altogether.
#include "products.h"
#include "table.h"

namespace {

bool take(void* bytes, size_t count) { return fread(bytes, 1, count, stdin) == count; }

template <class T> T number() {
    T value;
    // the test has ended
    if (!take(&value, sizeof value)) exit(0);
    return value;
}

std::string text() {
    std::string bytes(number<uint32_t>(), 0);
    if (!take(bytes.data(), bytes.size())) exit(0);
    return bytes;
}

void answer(const void* bytes, size_t count) { fwrite(bytes, 1, count, stdout); }

void status(uint8_t code) { answer(&code, 1); }

} // namespace

int main(int count, char** words) {
    if (count != 4) return 2;
    std::string order = words[1];
    shim::order = order == "forward" ? shim::Order::Forward : order == "reverse" ? shim::Order::Reverse : shim::Order::Random;
    shim::random_numbers.seed(strtoull(words[2], nullptr, 10));
    uint64_t left = strtoull(words[3], nullptr, 10);
    std::map<uint64_t, uint64_t> held;
    for (;;) {
        uint8_t code = number<uint8_t>();
        if (code == 'a') {
            uint64_t bytes = number<uint64_t>();
            char* place = bytes <= left ? shim::memory(bytes) : nullptr;
            status(place ? 0 : 1);
            if (place) {
                left -= bytes;
                held[(uint64_t)place] = bytes;
                uint64_t address = (uint64_t)place;
                answer(&address, sizeof address);
            }
        } else if (code == 'f') {
            uint64_t address = number<uint64_t>();
            left += held[address];
            held.erase(address);
            free((void*)address);
            status(0);
        } else if (code == 'w') {
            uint64_t address = number<uint64_t>(), bytes = number<uint64_t>();
            if (!take((void*)address, bytes)) exit(0);
            status(0);
        } else if (code == 's') {
            uint64_t address = number<uint64_t>(), bytes = number<uint64_t>();
            memset((void*)address, number<uint8_t>(), bytes);
            status(0);
        } else if (code == 'c') {
            uint64_t from = number<uint64_t>(), to = number<uint64_t>();
            memmove((void*)to, (void*)from, number<uint64_t>());
            status(0);
        } else if (code == 'r') {
            uint64_t address = number<uint64_t>(), bytes = number<uint64_t>();
            status(0);
            answer((void*)address, bytes);
        } else if (code == 'm') {
            uint64_t rows = number<uint64_t>(), columns = number<uint64_t>(), inner = number<uint64_t>(), many = number<uint64_t>();
            float alpha = number<float>(), beta = number<float>();
            shim::Factor of[3];
            for (shim::Factor& factor : of) {
                factor.data = (const void*)number<uint64_t>();
                factor.type = (int)number<uint32_t>();
                factor.transposed = number<uint32_t>() != 0;
                factor.column = number<int64_t>();
                factor.matrix = number<int64_t>();
            }
            shim::multiply((int64_t)rows, (int64_t)columns, (int64_t)inner, alpha, of[0], of[1], beta, (float*)of[2].data, of[2].column,
                           of[2].matrix, (int64_t)many);
            status(0);
        } else if (code == 'k') {
            auto kernel = shim::kernels.find(text());
            uint32_t x = number<uint32_t>(), y = number<uint32_t>(), block = number<uint32_t>();
            std::vector<std::string> arguments(number<uint32_t>());
            std::vector<void*> pointers;
            std::vector<size_t> sizes;
            for (std::string& bytes : arguments) {
                bytes = text();
                pointers.push_back(bytes.data());
                sizes.push_back(bytes.size());
            }
            bool fits = kernel != shim::kernels.end() && kernel->second.sizes == sizes;
            if (fits) kernel->second.run(pointers.data(), x, y, block);
            status(fits ? 0 : 2);
        } else {
            return 2;
        }
        fflush(stdout);
    }
}
