/* Start, vectors, faults, exit and reset of any Cortex-M, from M0 to M55. */
#include "../image.h"
#include "../port.h"
#include "cortex_m.h"

#define REGISTER(address) (*(volatile uint32_t *)(address))
#define SCB_VTOR REGISTER(0xE000ED08u)
#define SCB_AIRCR REGISTER(0xE000ED0Cu)
#define SCB_SHCSR REGISTER(0xE000ED24u)
#define SCB_CPACR REGISTER(0xE000ED88u)
#define NVIC_ISER(irq) REGISTER(0xE000E100u + 4u * ((irq) / 32u))
#define NVIC_ICER(irq) REGISTER(0xE000E180u + 4u * ((irq) / 32u))
#define NVIC_ISPR(irq) REGISTER(0xE000E200u + 4u * ((irq) / 32u))
#define RX_BIT (1u << (PORT_UART_RX_IRQ % 32u))

#ifndef PORT_FRAMEWORK
/* An application may define it: SysTick's handler, otherwise a fault. */
void SysTick_Handler(void) __attribute__((weak, alias("fault")));

#ifdef PORT_SOURCE_IRQ
void port_source_interrupt(void); /* of a driver in firmware/source/ */
#endif

static void start(void);
void fault(void);

/* The stack pointer is the first word, so the table is words; the linker fills in the addresses. */
union vector {
    void (*handler)(void);
    uint32_t *stack;
};

#if defined PORT_SOURCE_IRQ && PORT_SOURCE_IRQ > PORT_UART_RX_IRQ
#define LAST_IRQ PORT_SOURCE_IRQ
#else
#define LAST_IRQ PORT_UART_RX_IRQ
#endif

__attribute__((section(".image_entry"), used)) static const union vector vectors[16 + LAST_IRQ + 1] = {
    [0] = {.stack = image_stack_end},
    [1] = {.handler = start},
    [2] = {.handler = fault},
    [3] = {.handler = fault},
    [4] = {.handler = fault},
    [5] = {.handler = fault},
    [6] = {.handler = fault},
    [7] = {.handler = fault},
    [15] = {.handler = SysTick_Handler},
    [16 + PORT_UART_RX_IRQ] = {.handler = cortex_m_receive},
#ifdef PORT_SOURCE_IRQ
    [16 + PORT_SOURCE_IRQ] = {.handler = port_source_interrupt},
#endif
};

__attribute__((used, noreturn)) static void start_in_c(void) {
#if __ARM_ARCH >= 7
    SCB_SHCSR |= 7u << 16; /* memory, bus and usage faults by their own names */
#ifdef __ARM_ARCH_8M_MAIN__
    SCB_SHCSR |= 1u << 19; /* and secure faults */
#endif
#endif
#if __ARM_FP || __ARM_FEATURE_MVE
    SCB_CPACR |= 0xFu << 20;
    __asm volatile("dsb\n isb" ::: "memory");
#endif
#ifdef PORT_HARDWARE
    SCB_VTOR = (uint32_t)(uintptr_t)vectors; /* a boot loader's were in use before */
#endif
    image_start();
    cortex_m_init();
    port_receive(true);
    port_exit(app_main());
}

/* The stack pointer is set again because a debugger or a boot loader may jump here. */
__attribute__((naked)) static void start(void) {
    __asm volatile("ldr r0, =image_stack_end\n"
                   "mov sp, r0\n"
                   "bl  start_in_c\n");
}

/* The stack may be what failed, so the report starts from an empty one: nothing returns from here. */
__attribute__((naked, used)) void fault(void) {
    __asm volatile("movs r1, #4\n"
                   "mov  r2, lr\n"
                   "mrs  r0, msp\n"
                   "tst  r2, r1\n"
                   "beq  1f\n"
                   "mrs  r0, psp\n"
                   "1: ldr r1, =image_stack_end\n"
                   "mov  sp, r1\n"
                   "ldr  r2, =report\n"
                   "bx   r2\n");
}

__attribute__((used, noreturn)) static void report(const uint32_t *frame) {
    static const char *const kinds[] = {"", "", "nmi", "hard", "memory", "bus", "usage", "secure"};
    uint32_t ipsr;
    __asm volatile("mrs %0, ipsr" : "=r"(ipsr));
    /* No frame was written if the stack had overflowed. */
    const uint32_t pc = frame >= image_stack && frame + 8 <= image_stack_end ? frame[6] : 0;
    image_fault(ipsr < 8 ? kinds[ipsr] : "interrupt", pc);
}
#endif /* PORT_FRAMEWORK */

void port_receive(bool enabled) {
    if (enabled)
        NVIC_ISER(PORT_UART_RX_IRQ) = RX_BIT;
    else
        NVIC_ICER(PORT_UART_RX_IRQ) = RX_BIT;
    __asm volatile("dsb\n isb" ::: "memory");
}

void cortex_m_stall(void) {
    cortex_m_received.stalled = true;
    NVIC_ICER(PORT_UART_RX_IRQ) = RX_BIT;
}

size_t port_read(uint8_t *bytes, size_t n) {
    const size_t count = ring_take(&cortex_m_received, bytes, n);
    if (count > 0 && cortex_m_received.stalled) {
        cortex_m_received.stalled = false;
        NVIC_ISPR(PORT_UART_RX_IRQ) = RX_BIT; /* the byte that waits has raised its interrupt before */
        port_receive(true);
    }
    return count;
}

/* With interrupts masked, wfi still wakes on a pending one: none is missed between the test and the sleep. */
void port_idle(void) {
    __asm volatile("cpsid i" ::: "memory");
    if (ring_is_empty(&cortex_m_received)) __asm volatile("wfi" ::: "memory");
    __asm volatile("cpsie i" ::: "memory");
}

#ifdef PORT_HARDWARE
/* A board has nothing to go back to: it starts again, and its banner tells. */
void port_exit(int code) {
    (void)code;
    port_reset();
}
#else
/* Arm semihosting, operation SYS_EXIT_EXTENDED with reason ADP_Stopped_ApplicationExit. */
void port_exit(int code) {
    const uint32_t block[2] = {0x20026u, (uint32_t)code};
    register uint32_t operation __asm("r0") = 0x20u;
    register const uint32_t *argument __asm("r1") = block;
    for (;;)
        __asm volatile("bkpt 0xAB" : : "r"(operation), "r"(argument) : "memory");
}
#endif

void port_reset(void) {
    __asm volatile("dsb" ::: "memory");
    SCB_AIRCR = 0x05FA0004u; /* key and SYSRESETREQ */
    for (;;)
        __asm volatile("dsb");
}
