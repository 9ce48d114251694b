/* Espressif's ESP32-C3 behind its second-stage boot loader: UART0 as the boot ROM left it, polled, and the core's cycles.
 *
 * ESP32-C3 Technical Reference Manual: 1.4 CPU registers, 9.3 reset, 12 and 13 watchdogs, 26 UART. */
#include "../image.h"
#include "../port.h"

#define REGISTER(address) (*(volatile uint32_t *)(address))
#define UART 0x60000000u
#define UART_FIFO REGISTER(UART)
#define UART_STATUS REGISTER(UART + 0x1Cu)
#define RECEIVED(status) ((status) & 0x3FFu)
#define WAITING(status) ((status) >> 16 & 0x3FFu)
#define FIFO_BYTES 128u

#define RTC 0x60008000u
#define RTC_OPTIONS REGISTER(RTC)
#define SYSTEM_RESET (1u << 31)
#define RTC_WATCHDOG REGISTER(RTC + 0x90u)
#define RTC_WATCHDOG_LOCK REGISTER(RTC + 0xA8u)
#define RTC_SUPER REGISTER(RTC + 0xACu)
#define RTC_SUPER_LOCK REGISTER(RTC + 0xB0u)
#define SUPER_FEEDS_ITSELF (1u << 31)
#define TIMER_WATCHDOG(group) REGISTER(0x6001F048u + 0x1000u * (group))
#define TIMER_WATCHDOG_LOCK(group) REGISTER(0x6001F064u + 0x1000u * (group))
#define WATCHDOG_KEY 0x50D83AA1u
#define SUPER_KEY 0x8F1D312Au

_Noreturn void esp32_start(void);
_Noreturn void esp32_fault(uint32_t cause, uint32_t pc);

/* The boot loader leaves them running. */
static void stop_watchdogs(void) {
    RTC_WATCHDOG_LOCK = WATCHDOG_KEY;
    RTC_WATCHDOG = 0;
    RTC_WATCHDOG_LOCK = 0;
    RTC_SUPER_LOCK = SUPER_KEY;
    RTC_SUPER |= SUPER_FEEDS_ITSELF;
    RTC_SUPER_LOCK = 0;
    for (uint32_t group = 0; group < 2; ++group) {
        TIMER_WATCHDOG_LOCK(group) = WATCHDOG_KEY;
        TIMER_WATCHDOG(group) = 0;
        TIMER_WATCHDOG_LOCK(group) = 0;
    }
}

void esp32_start(void) {
    stop_watchdogs();
    image_start();
    __asm volatile("csrwi 0x7E0, 1\n csrwi 0x7E1, 1"); /* mpcer: count cycles; mpcmr: on. It has no mcycle. */
    port_exit(app_main());
}

void esp32_fault(uint32_t cause, uint32_t pc) {
    static const char *const kinds[] = {"fetch-align", "fetch", "illegal",     "breakpoint",
                                        "load-align",  "load",  "store-align", "store"};
    image_fault(cause < 8 ? kinds[cause] : "trap", pc);
}

size_t port_read(uint8_t *bytes, size_t n) {
    size_t count = 0;
    while (count < n && RECEIVED(UART_STATUS))
        bytes[count++] = (uint8_t)UART_FIFO;
    return count;
}

void port_write(const uint8_t *bytes, size_t n) {
    for (size_t i = 0; i < n; ++i) {
        while (WAITING(UART_STATUS) >= FIFO_BYTES - 1u) {
        }
        UART_FIFO = bytes[i];
    }
}

void port_idle(void) { /* the FIFO holds 128 bytes, so nothing is lost by looking again */
}

void port_receive(bool enabled) {
    (void)enabled; /* nothing interrupts */
}

uint32_t port_ticks(void) {
    uint32_t cycles;
    __asm volatile("csrr %0, 0x7E2" : "=r"(cycles)); /* mpccr */
    return cycles;
}

/* A board has nothing to go back to: it starts again, and its banner tells. */
void port_exit(int code) {
    (void)code;
    while (WAITING(UART_STATUS)) {
    }
    port_reset();
}

void port_reset(void) {
    RTC_OPTIONS |= SYSTEM_RESET;
    for (;;) {
    }
}
