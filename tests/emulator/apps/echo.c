/* Exercises a port: banner, echo, a loop of known length between two tick readings, stack use, faults, reset. */
#include "port.h"

#include <string.h>

static void say(const char *text) {
    port_write((const uint8_t *)text, strlen(text));
}

static uint8_t next(void) {
    uint8_t byte;
    while (port_read(&byte, 1) == 0)
        port_idle();
    return byte;
}

static uint32_t next_u32(void) {
    uint32_t value = 0;
    for (unsigned i = 0; i < 32; i += 8)
        value |= (uint32_t)next() << i;
    return value;
}

static void say_u32(uint32_t value) {
    uint8_t bytes[4];
    for (unsigned i = 0; i < 4; ++i)
        bytes[i] = (uint8_t)(value >> (8 * i));
    port_write(bytes, 4);
}

/* Two instructions a turn on every core. */
static void count_down(uint32_t n) {
#if defined(__arm__)
    __asm volatile("1: subs %0, %0, #1\n bne 1b" : "+l"(n) : : "cc");
#elif defined(__riscv)
    __asm volatile("1: addi %0, %0, -1\n bnez %0, 1b" : "+r"(n));
#else
    (void)n;
#endif
}

static void echo(uint32_t n) {
    uint8_t bytes[64];
    while (n > 0) {
        const size_t got = port_read(bytes, n < sizeof bytes ? n : sizeof bytes);
        if (got == 0) port_idle();
        port_write(bytes, got);
        n -= (uint32_t)got;
    }
}

static void measure(uint32_t n) {
    port_receive(false);
    const uint32_t before = port_ticks();
    count_down(n);
    const uint32_t ticks = port_ticks() - before;
    port_receive(true);
    say_u32(ticks);
}

static __attribute__((noinline)) void use_stack(void) {
    volatile uint8_t bytes[1000];
    for (size_t i = 0; i < sizeof bytes; ++i)
        bytes[i] = (uint8_t)i;
}

static void say_memory(struct port_memory memory) {
    say_u32((uint32_t)(uintptr_t)memory.base);
    say_u32(memory.size);
    say_u32(memory.size > 0 ? memory.base[0] : 0u);
}

/* An address that no board maps, out of the compiler's sight. */
static void break_bus(void) {
    volatile uintptr_t address = PORT_UNMAPPED;
    *(volatile uint32_t *)address = 1u;
}

/* Each frame hands its address on, so that no compiler makes a loop of it. */
static __attribute__((noinline)) uint32_t overflow(const volatile uint32_t *above) {
    volatile uint32_t frame[16] = {above[0] + 1u};
    return frame[0] == 0 ? 0 : overflow(frame) + frame[0];
}

int app_main(void) {
    say("echo ready\n");
    for (;;) {
        switch (next()) {
        case 'e':
            echo(next_u32());
            break;
        case 'm':
            measure(next_u32());
            break;
        case 's':
            port_stack_paint();
            use_stack();
            say_u32(port_stack_used());
            break;
        case 'a':
            say_memory(port_arena());
            break;
        case 'l':
            say_memory(port_linked_model());
            break;
        case 'o':
            say_memory(port_model_slot());
            break;
        case 'f':
            break_bus();
            break;
        case 'v': {
            const volatile uint32_t first = 0;
            say_u32(overflow(&first));
            break;
        }
        case 'r':
            port_reset();
        case 'q':
            return next();
        default:
            return 1;
        }
    }
}
