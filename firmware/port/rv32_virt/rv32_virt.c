/* QEMU's RISC-V machine "virt": 16550 serial port polled, its interrupt used only to wake from sleep. */
#include "../image.h"
#include "../port.h"

#define UART ((volatile uint8_t *)PORT_UART)
#define UART_IER 1
#define UART_FCR 2
#define UART_LSR 5
#define LSR_RECEIVED 1u
#define LSR_CAN_SEND 0x20u

#define PLIC(offset) (*(volatile uint32_t *)(PORT_PLIC + (offset)))
#define PLIC_PRIORITY PLIC(4u * PORT_UART_RX_IRQ)
#define PLIC_ENABLE PLIC(0x2000u)
#define PLIC_CLAIM PLIC(0x200004u)
#define MIE_EXTERNAL (1u << 11)

#define FINISHER (*(volatile uint32_t *)PORT_FINISHER)
#define FINISHER_FAIL 0x3333u
#define FINISHER_PASS 0x5555u
#define FINISHER_RESET 0x7777u

_Noreturn void rv32_start(void);
_Noreturn void rv32_fault(uint32_t cause, uint32_t pc);

/* Below the stack lies more RAM: a locked PMP entry makes its next 4 KB inaccessible. */
static void guard_stack(void) {
    const uintptr_t guard = ((uintptr_t)image_stack - 4096u) >> 2 | (4096u / 8u - 1u); /* NAPOT */
    __asm volatile("csrw pmpaddr0, %0\n csrw pmpcfg0, %1" : : "r"(guard), "r"(0x98u));
}

void rv32_start(void) {
    image_start();
    guard_stack();
    UART[UART_FCR] = 1u; /* 16 bytes each way */
    UART[UART_IER] = 1u;
    PLIC_PRIORITY = 1u;
    PLIC_ENABLE = 1u << PORT_UART_RX_IRQ;
    __asm volatile("csrs mie, %0" : : "r"(MIE_EXTERNAL));
    port_exit(app_main());
}

void rv32_fault(uint32_t cause, uint32_t pc) {
    static const char *const kinds[] = {"fetch-align", "fetch", "illegal",     "breakpoint",
                                        "load-align",  "load",  "store-align", "store"};
    image_fault(cause < 8 ? kinds[cause] : "trap", pc);
}

size_t port_read(uint8_t *bytes, size_t n) {
    size_t count = 0;
    while (count < n && UART[UART_LSR] & LSR_RECEIVED)
        bytes[count++] = UART[0];
    return count;
}

void port_write(const uint8_t *bytes, size_t n) {
    for (size_t i = 0; i < n; ++i) {
        while (!(UART[UART_LSR] & LSR_CAN_SEND)) {
        }
        UART[0] = bytes[i];
    }
}

/* wfi ends on a pending interrupt although none is ever taken; claiming and completing it arms the next. */
void port_idle(void) {
    if (!(UART[UART_LSR] & LSR_RECEIVED)) __asm volatile("wfi" ::: "memory");
    PLIC_CLAIM = PLIC_CLAIM;
}

void port_receive(bool enabled) {
    (void)enabled; /* nothing interrupts */
}

uint32_t port_ticks(void) {
    uint32_t cycles;
    __asm volatile("csrr %0, mcycle" : "=r"(cycles));
    return cycles;
}

void port_exit(int code) {
    for (;;)
        FINISHER = code == 0 ? FINISHER_PASS : (uint32_t)code << 16 | FINISHER_FAIL;
}

void port_reset(void) {
    for (;;)
        FINISHER = FINISHER_RESET;
}
