/* Raspberry Pi's RP2040: the crystal's 12 MHz, UART0 on GPIO 0 and 1, SysTick widened to 32 bits.
 *
 * RP2040 Datasheet: 2.14 resets, 2.15 clocks, 2.16 crystal, 2.19 GPIO, 4.2 UART (Arm's PL011).
 * [port.defines] PORT_UART_RX_IRQ */
#include "../cortex_m/cortex_m.h"
#include "../port.h"

#define REGISTER(address) (*(volatile uint32_t *)(address))
#define RESETS 0x4000C000u
#define RESETS_DONE REGISTER(RESETS + 8u)
#define RESETS_CLEAR REGISTER(RESETS + 0x3000u) /* writes of ones clear bits */
#define USED (1u << 5 | 1u << 8 | 1u << 22)     /* IO_BANK0, PADS_BANK0, UART0 */
#define XOSC_CTRL REGISTER(0x40024000u)
#define XOSC_STATUS REGISTER(0x40024004u)
#define XOSC_STARTUP REGISTER(0x4002400Cu)
#define CLK_REF_CTRL REGISTER(0x40008030u)
#define CLK_REF_SELECTED REGISTER(0x40008038u)
#define CLK_SYS_CTRL REGISTER(0x4000803Cu)
#define CLK_SYS_SELECTED REGISTER(0x40008044u)
#define CLK_PERI_CTRL REGISTER(0x40008048u)
#define GPIO_CTRL(pin) REGISTER(0x40014004u + 8u * (pin))
#define FUNCTION_UART 2u

#define UART(offset) REGISTER(0x40034000u + (offset))
#define UART_DATA UART(0x00u)
#define UART_FLAGS UART(0x18u)
#define FLAG_RX_EMPTY (1u << 4)
#define FLAG_TX_FULL (1u << 5)
#define UART_BAUD_WHOLE UART(0x24u)
#define UART_BAUD_64TH UART(0x28u)
#define UART_LINE UART(0x2Cu)
#define UART_CONTROL UART(0x30u)
#define UART_LEVELS UART(0x34u)
#define UART_MASK UART(0x38u)
#define UART_CLEAR UART(0x44u)
#define RX_AND_TIMEOUT (1u << 4 | 1u << 6)
#define BAUD_64THS ((12000000u * 8u / 115200u + 1u) / 2u) /* 64 x 12 MHz / (16 x 115,200) */

#define SYSTICK_CTRL REGISTER(0xE000E010u)
#define SYSTICK_RELOAD REGISTER(0xE000E014u)
#define SYSTICK_VALUE REGISTER(0xE000E018u)
#define SCB_ICSR REGISTER(0xE000ED04u)
#define PENDING_SYSTICK (1u << 26)
#define LONGEST 0xFFFFFFu

PORT_LINK_BUFFER struct ring cortex_m_received;
static volatile uint32_t passed; /* ticks of whole rounds */

void SysTick_Handler(void);
void SysTick_Handler(void) {
    passed += LONGEST + 1u;
}

static void start_clocks(void) {
    XOSC_STARTUP = 47u; /* 1 ms in units of 256 cycles */
    XOSC_CTRL = 0xAA0u | 0xFABu << 12;
    while (!(XOSC_STATUS & 1u << 31)) {
    }
    CLK_SYS_CTRL = 0u; /* from clk_ref */
    while (!(CLK_SYS_SELECTED & 1u)) {
    }
    CLK_REF_CTRL = 2u; /* from the crystal */
    while (!(CLK_REF_SELECTED & 1u << 2)) {
    }
    CLK_PERI_CTRL = 1u << 11;
}

void cortex_m_init(void) {
    start_clocks();
    RESETS_CLEAR = USED;
    while ((RESETS_DONE & USED) != USED) {
    }
    UART_BAUD_WHOLE = BAUD_64THS / 64u;
    UART_BAUD_64TH = BAUD_64THS % 64u;
    UART_LINE = 3u << 5 | 1u << 4; /* 8 bits, FIFOs */
    UART_LEVELS = 0u;              /* interrupt at 4 bytes, or when the line rests */
    UART_MASK = RX_AND_TIMEOUT;
    UART_CONTROL = 1u | 1u << 8 | 1u << 9;
    GPIO_CTRL(0u) = FUNCTION_UART;
    GPIO_CTRL(1u) = FUNCTION_UART;
    SYSTICK_RELOAD = LONGEST;
    SYSTICK_VALUE = 0u;
    SYSTICK_CTRL = 7u; /* the core's clock, with interrupt */
}

void cortex_m_receive(void) {
    UART_CLEAR = RX_AND_TIMEOUT;
    while (!(UART_FLAGS & FLAG_RX_EMPTY)) {
        if (ring_is_full(&cortex_m_received)) {
            cortex_m_stall();
            return;
        }
        ring_put(&cortex_m_received, (uint8_t)UART_DATA);
    }
}

void port_write(const uint8_t *bytes, size_t n) {
    for (size_t i = 0; i < n; ++i) {
        while (UART_FLAGS & FLAG_TX_FULL) {
        }
        UART_DATA = bytes[i];
    }
}

/* The counter runs down. A round that its handler has not counted yet is seen as pending. */
uint32_t port_ticks(void) {
    for (;;) {
        const uint32_t before = passed, value = SYSTICK_VALUE, pending = SCB_ICSR & PENDING_SYSTICK;
        if (before == passed) {
            const uint32_t round = pending && value > LONGEST / 2u ? LONGEST + 1u : 0u;
            return before + round + LONGEST - value;
        }
    }
}
