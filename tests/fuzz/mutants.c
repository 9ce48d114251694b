/* Seeded mutants of blobs: tries them in this process, or writes them to a batch file for a board.
 *
 *     mutants try COUNT SEED BLOB...            statuses counted, and the longest attempt
 *     mutants write COUNT SEED FILE BLOB...     batch: count, then size and bytes of each, 16-byte aligned
 *     mutants replay FILE                       "status hash" of each mutant of a batch
 *
 * A finding ends the process; the last line on stderr says which mutant it was. */
#include "attempt.h"
#include "mutate.h"

#include <signal.h>
#include <time.h>
#include <unistd.h>

enum { MAX_BLOBS = 512, LIMIT_S = 5, N_STATUSES = 64, N_HINTS = 8 };

static unsigned long current;

/* So that a sanitizer's finding comes by on_signal. */
const char *__asan_default_options(void);
const char *__asan_default_options(void) {
    return "abort_on_error=1:handle_abort=0";
}

const char *__ubsan_default_options(void);
const char *__ubsan_default_options(void) {
    return "abort_on_error=1:print_stacktrace=1";
}

static void on_signal(int number) {
    fprintf(stderr, "%s at mutant %lu\n", number == SIGALRM ? "time limit" : "finding", current);
    _exit(3);
}

static bytes read_file(const char *path) {
    FILE *file = fopen(path, "rb");
    if (file == NULL || fseek(file, 0, SEEK_END)) {
        perror(path);
        exit(2);
    }
    const bytes content = {allocate((size_t)ftell(file)), (uint32_t)ftell(file)};
    rewind(file);
    if (fread(content.at, 1, content.n, file) != content.n) {
        perror(path);
        exit(2);
    }
    fclose(file);
    return content;
}

/* Mutant `index` of a seed is the same whoever asks for it, and in whatever order. */
static bytes make_mutant(unsigned long seed, unsigned long index, const bytes *blobs, uint32_t n_blobs) {
    uint32_t random = (uint32_t)(seed * 2654435761u + index * 40503u) | 1u;
    for (int i = 0; i < N_HINTS; i++) {
        (void)next_random(&random);
    }
    const bytes from = blobs[index % n_blobs];
    bytes mutant = {allocate(from.n), from.n};
    memcpy(mutant.at, from.at, from.n);
    mutate(&random, &mutant, blobs[below(&random, n_blobs)]);
    return mutant;
}

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static ofr_status limited_attempt(bytes mutant, uint32_t *hash) {
    alarm(LIMIT_S);
    const ofr_status status = attempt(mutant.at, mutant.n, hash);
    alarm(0);
    return status;
}

static int try_all(unsigned long count, unsigned long seed, const bytes *blobs, uint32_t n_blobs) {
    unsigned long by_status[N_STATUSES] = {0};
    double longest = 0;
    for (current = 0; current < count; current++) {
        uint32_t hash;
        const bytes mutant = make_mutant(seed, current, blobs, n_blobs);
        const double start = seconds();
        const ofr_status status = limited_attempt(mutant, &hash);
        const double took = seconds() - start;
        longest = took > longest ? took : longest;
        if (status != OFR_DONE && (status >= 0 || -status >= N_STATUSES)) {
            fprintf(stderr, "status %d at mutant %lu\n", (int)status, current);
            return 4;
        }
        by_status[status == OFR_DONE ? 0 : -status]++;
        free(mutant.at);
    }
#define PRINT(name, value, text, remedy)                                                                               \
    if (value <= 0) printf("%s %lu\n", value == 0 ? "ran" : #name, by_status[value <= 0 ? -(value) : 0]);
    OFR_STATUS_LIST(PRINT)
    printf("longest_ms %.1f\n", longest * 1e3);
    return 0;
}

static void put_u32(FILE *file, uint32_t value) {
    fwrite(&value, 1, sizeof value, file);
}

static int write_all(unsigned long count, unsigned long seed, const char *path, const bytes *blobs, uint32_t n_blobs) {
    static const uint8_t padding[OFR_ALIGN];
    FILE *file = fopen(path, "wb");
    if (file == NULL) {
        perror(path);
        return 2;
    }
    put_u32(file, (uint32_t)count);
    fwrite(padding, 1, 12, file);
    for (unsigned long i = 0; i < count; i++) {
        const bytes mutant = make_mutant(seed, i, blobs, n_blobs);
        put_u32(file, mutant.n);
        fwrite(padding, 1, 12, file);
        fwrite(mutant.at, 1, mutant.n, file);
        fwrite(padding, 1, (0u - mutant.n) % OFR_ALIGN, file);
        free(mutant.at);
    }
    return fclose(file) == 0 ? 0 : 2;
}

static int replay(const char *path) {
    const bytes batch = read_file(path);
    const uint8_t *at = batch.at + OFR_ALIGN;
    for (current = 0; current < u32_at(batch.at); current++) {
        uint32_t hash;
        const bytes mutant = {(uint8_t *)(uintptr_t)at + OFR_ALIGN, u32_at(at)};
        const ofr_status status = limited_attempt(mutant, &hash);
        printf("%d %08x\n", (int)status, (unsigned)hash);
        at += OFR_ALIGN + ((mutant.n + OFR_ALIGN - 1) & ~(OFR_ALIGN - 1));
    }
    free(batch.at);
    return 0;
}

int main(int argc, char **argv) {
    bytes blobs[MAX_BLOBS];
    signal(SIGALRM, on_signal);
    signal(SIGABRT, on_signal);
    if (argc == 3 && strcmp(argv[1], "replay") == 0) {
        return replay(argv[2]);
    }
    const int writes = argc > 1 && strcmp(argv[1], "write") == 0;
    const int first = writes ? 5 : 4;
    if (argc <= first || argc - first > MAX_BLOBS) {
        fputs("usage: mutants try COUNT SEED BLOB... | write COUNT SEED FILE BLOB... | replay FILE\n", stderr);
        return 2;
    }
    const uint32_t n_blobs = (uint32_t)(argc - first);
    for (uint32_t i = 0; i < n_blobs; i++) {
        blobs[i] = read_file(argv[first + (int)i]);
    }
    const unsigned long count = strtoul(argv[2], NULL, 10), seed = strtoul(argv[3], NULL, 10);
    const int result = writes ? write_all(count, seed, argv[4], blobs, n_blobs) : try_all(count, seed, blobs, n_blobs);
    for (uint32_t i = 0; i < n_blobs; i++) {
        free(blobs[i].at);
    }
    return result;
}
