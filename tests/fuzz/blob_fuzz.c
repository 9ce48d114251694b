/* libFuzzer target: any bytes are a blob. Half of the mutations are this project's own, half libFuzzer's. */
#include "attempt.h"
#include "mutate.h"

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed) {
    uint32_t random = seed | 1u;
    if (size < 8 || next_random(&random) & 64u) {
        return LLVMFuzzerMutate(data, size, max_size);
    }
    bytes blob = {allocate(size), (uint32_t)size};
    memcpy(blob.at, data, size);
    mutate(&random, &blob, blob);
    memcpy(data, blob.at, blob.n);
    free(blob.at);
    return blob.n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    uint32_t hash;
    (void)attempt(data, (uint32_t)size, &hash);
    return 0;
}
