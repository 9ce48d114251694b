/* Nordic's nRF51 and nRF52: UART without flow control and TIMER0 as a 32-bit counter at 16 MHz, or the core's cycles.
 *
 * [port.defines] PORT_UART, PORT_UART_RX_IRQ, PORT_UART_TX_PIN and PORT_UART_RX_PIN (32 x port + pin), and
 * PORT_TIMER, without which the core must have a DWT. */
#include "../cortex_m/cortex_m.h"
#include "../port.h"
#ifndef PORT_TIMER
#include "../cortex_m/dwt.h"
#endif

#define UART(offset) (*(volatile uint32_t *)(PORT_UART + (offset)))
#define UART_STARTRX UART(0x000u)
#define UART_STARTTX UART(0x008u)
#define UART_RXDRDY UART(0x108u)
#define UART_TXDRDY UART(0x11Cu)
#define UART_INTENSET UART(0x304u)
#define UART_ENABLE UART(0x500u)
#define UART_PSELTXD UART(0x50Cu)
#define UART_PSELRXD UART(0x514u)
#define UART_RXD UART(0x518u)
#define UART_TXD UART(0x51Cu)
#define UART_BAUDRATE UART(0x524u)

#define TIMER(offset) (*(volatile uint32_t *)(PORT_TIMER + (offset)))
#define TIMER_START TIMER(0x000u)
#define TIMER_CAPTURE0 TIMER(0x040u)
#define TIMER_BITMODE TIMER(0x508u)
#define TIMER_PRESCALER TIMER(0x510u)
#define TIMER_CC0 TIMER(0x540u)

PORT_LINK_BUFFER struct ring cortex_m_received;

void cortex_m_init(void) {
    UART_PSELTXD = PORT_UART_TX_PIN;
    UART_PSELRXD = PORT_UART_RX_PIN;
    UART_BAUDRATE = 0x01D7E000u; /* 115,200 */
    UART_ENABLE = 4u;
    UART_INTENSET = 1u << 2; /* RXDRDY */
    UART_STARTTX = 1u;
    UART_STARTRX = 1u;
#ifdef PORT_TIMER
    TIMER_BITMODE = 3u; /* 32 bits */
    TIMER_PRESCALER = 0u;
    TIMER_START = 1u;
#else
    dwt_start();
#endif
}

void cortex_m_receive(void) {
    while (UART_RXDRDY) {
        if (ring_is_full(&cortex_m_received)) {
            cortex_m_stall();
            return;
        }
        UART_RXDRDY = 0u;
        ring_put(&cortex_m_received, (uint8_t)UART_RXD);
    }
}

void port_write(const uint8_t *bytes, size_t n) {
    for (size_t i = 0; i < n; ++i) {
        UART_TXDRDY = 0u;
        UART_TXD = bytes[i];
        while (!UART_TXDRDY) {
        }
    }
}

uint32_t port_ticks(void) {
#ifdef PORT_TIMER
    TIMER_CAPTURE0 = 1u;
    return TIMER_CC0;
#else
    return dwt_cycles();
#endif
}
