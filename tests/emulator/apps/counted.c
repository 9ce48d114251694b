/* Known numbers of instructions between readings of the ticks: a loop, reads of flash, and a call of a function. */
#include "port.h"

#define TURNS 100
#define WORDS 50

/* noipa: gcc neither inlines nor clones them. */
__attribute__((noipa)) static void turns(uint32_t n)
{
#if defined(__arm__)
    __asm volatile("1: subs %0, %0, #1\n bne 1b" : "+l"(n) : : "cc");
#elif defined(__riscv)
    __asm volatile("1: addi %0, %0, -1\n bnez %0, 1b" : "+r"(n));
#endif
}

static const uint32_t table[WORDS] = {1};

__attribute__((noipa)) static void reads(const uint32_t *p, const uint32_t *end)
{
    uint32_t word;
#if defined(__arm__)
    __asm volatile("1: ldr %0, [%1]\n adds %1, #4\n cmp %1, %2\n bne 1b" : "=&l"(word), "+l"(p) : "l"(end) : "cc");
#elif defined(__riscv)
    __asm volatile("1: lw %0, 0(%1)\n addi %1, %1, 4\n bne %1, %2, 1b" : "=&r"(word), "+r"(p) : "r"(end));
#endif
    (void)word;
}

int app_main(void)
{
    static uint32_t in_ram[WORDS];
    (void)port_ticks();
    turns(TURNS);
    (void)port_ticks();
    reads(table, table + WORDS);
    (void)port_ticks();
    reads(in_ram, in_ram + WORDS);
    (void)port_ticks();
    return 7;
}
