/* An inference for each row of `inputs` on QEMU's Xtensa core lx106: an instruction-set check, no board.
 *
 * Rows and model are linked in; what every row gives goes to file 1 by simulator calls. */
#include "offramp.h"

extern const uint8_t ofr_blob[], ofr_blob_end[], inputs[], inputs_end[];
static _Alignas(OFR_ALIGN) uint8_t arena[64 * 1024];
static ofr_model model;

enum { SYS_EXIT = 1, SYS_WRITE = 4 };
static int call(int number, int a, const void *b, unsigned c) {
    register int a2 __asm("a2") = number;
    register int a3 __asm("a3") = a;
    register const void *a4 __asm("a4") = b;
    register unsigned a5 __asm("a5") = c;
    __asm volatile("simcall" : "+r"(a2), "+r"(a3) : "r"(a4), "r"(a5) : "memory");
    return a2;
}

/* libgcc for lx106 lacks 64-bit products: those of halves, added up. */
long long __muldi3(long long a, long long b);
long long __muldi3(long long a, long long b) {
    const uint32_t a0 = (uint32_t)a & 0xFFFFu, a1 = (uint32_t)a >> 16, b0 = (uint32_t)b & 0xFFFFu,
                   b1 = (uint32_t)b >> 16;
    const uint32_t low = a0 * b0, middle = a1 * b0 + (low >> 16), other = a0 * b1 + (middle & 0xFFFFu);
    uint32_t high = a1 * b1 + (middle >> 16) + (other >> 16);
    high += (uint32_t)((uint64_t)a >> 32) * (uint32_t)b + (uint32_t)a * (uint32_t)((uint64_t)b >> 32);
    return (long long)((uint64_t)high << 32 | (uint32_t)(other << 16 | (low & 0xFFFFu)));
}

/* And division; a bit at a time. */
unsigned __udivsi3(unsigned a, unsigned b);
unsigned __umodsi3(unsigned a, unsigned b);
int __divsi3(int a, int b);
int __modsi3(int a, int b);
static unsigned divide(unsigned a, unsigned b, unsigned *rest) {
    unsigned quotient = 0, left = 0;
    for (int bit = 31; bit >= 0; --bit) {
        const unsigned carry = left >> 31;
        left = left << 1 | (a >> bit & 1u);
        quotient <<= 1;
        if (carry || left >= b) {
            left -= b;
            quotient |= 1u;
        }
    }
    *rest = left;
    return quotient;
}
unsigned __udivsi3(unsigned a, unsigned b) {
    unsigned rest;
    return divide(a, b, &rest);
}
unsigned __umodsi3(unsigned a, unsigned b) {
    unsigned rest;
    divide(a, b, &rest);
    return rest;
}
static unsigned magnitude(int n) {
    return n < 0 ? 0u - (unsigned)n : (unsigned)n;
}
int __divsi3(int a, int b) {
    const unsigned q = __udivsi3(magnitude(a), magnitude(b));
    return (int)((a < 0) != (b < 0) ? 0u - q : q);
}
int __modsi3(int a, int b) {
    const unsigned r = __umodsi3(magnitude(a), magnitude(b));
    return (int)(a < 0 ? 0u - r : r);
}

static int infer(void) {
    const uint32_t blob_bytes = (uint32_t)(ofr_blob_end - ofr_blob);
    if (ofr_load(&model, ofr_blob, blob_bytes, 0, &ofr_linked_kernels, arena, sizeof arena, NULL, 0, NULL)) return 1;
    for (const uint8_t *row = inputs; row < inputs_end;) {
        const ofr_buffer input = ofr_input(&model, 0);
        for (uint32_t i = 0; i < input.bytes; i++)
            ((uint8_t *)input.data)[i] = *row++;
        ofr_buffer result;
        if (ofr_run(&model) != OFR_DONE || ofr_result(&model, 0, &result)) return 2;
        call(SYS_WRITE, 1, result.data, result.bytes);
    }
    return 0;
}

__attribute__((noreturn, used)) void start(void);
void start(void) {
    const int code = infer();
    for (;;)
        call(SYS_EXIT, code, NULL, 0);
}
