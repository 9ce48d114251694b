/* Text of MLPerf Tiny's protocol: what mlperf.c writes to the line, and words, numbers and hex digits that it reads. */
#ifndef OFFRAMP_MLPERF_TEXT_H
#define OFFRAMP_MLPERF_TEXT_H

#include "port.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LONGEST_NUMBER 9u

static inline void say(const char *text) {
    size_t n = 0;
    while (text[n] != 0)
        ++n;
    port_write((const uint8_t *)text, n);
}

static inline void say_number(uint64_t value) {
    char digits[21];
    size_t at = sizeof digits - 1;
    digits[at] = 0;
    do {
        digits[--at] = (char)('0' + value % 10u);
        value /= 10u;
    } while (value != 0);
    say(digits + at);
}

static inline void say_with(const char *before, uint64_t value, const char *after) {
    say(before);
    say_number(value);
    say(after);
}

/* The next word of what is left of a line, ended by a zero byte there; NULL behind the last. */
static inline const char *word(char **rest) {
    char *at = *rest;
    while (*at == ' ')
        ++at;
    const char *found = *at == 0 ? NULL : at;
    while (*at != 0 && *at != ' ')
        ++at;
    if (*at == ' ') *at++ = 0;
    *rest = at;
    return found;
}

static inline bool is(const char *found, const char *wanted_word) {
    while (*found != 0 && *found == *wanted_word)
        ++found, ++wanted_word;
    return *found == *wanted_word;
}

/* A decimal number; false where a word is none or has more than LONGEST_NUMBER digits. */
static inline bool read_number(const char *digits, uint32_t *value) {
    uint32_t n = 0;
    *value = 0;
    for (; digits[n] >= '0' && digits[n] <= '9' && n <= LONGEST_NUMBER; ++n)
        *value = *value * 10u + (uint32_t)(digits[n] - '0');
    return n > 0 && n <= LONGEST_NUMBER && digits[n] == 0;
}

static inline int hex_digit(char digit) {
    if (digit >= '0' && digit <= '9') return digit - '0';
    if (digit >= 'a' && digit <= 'f') return digit - 'a' + 10;
    if (digit >= 'A' && digit <= 'F') return digit - 'A' + 10;
    return -1;
}

#endif
