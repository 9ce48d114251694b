/* ST's STM32 F4, F7, H7 and L4: a USART at 115,200 from the clock that the chip starts with, and the core's cycles.
 *
 * [port.defines], all from the data sheet and the board's manual:
 *   PORT_STM32_F4, _F7, _H7 or _L4 = 1
 *   PORT_UART, PORT_UART_RX_IRQ               the USART's address and interrupt number
 *   PORT_UART_APB, PORT_UART_ENABLE_BIT       its clock gate: bus 1 or 2, bit of that bus's enable register
 *   PORT_UART_TX_PIN, PORT_UART_RX_PIN        16 x letter + number: PA2 is 0xA2, PD8 0xD8, PA10 0xAA, PG9 0x109
 *   PORT_UART_FUNCTION                        the pins' alternate function
 * Under a framework also PORT_UART_HANDLER, the name that its vector table has for that interrupt. */
#include "../cortex_m/cortex_m.h"
#include "../cortex_m/dwt.h"
#include "../port.h"
#include "series.h"

#define REGISTER(address) (*(volatile uint32_t *)(address))
#define UART(offset) REGISTER(PORT_UART + (offset))
#define STATUS_OVERRUN (1u << 3)
#define STATUS_RECEIVED (1u << 5)
#define STATUS_CAN_SEND (1u << 7)
#define CONTROL_RX (1u << 2)
#define CONTROL_TX (1u << 3)
#define CONTROL_RX_INTERRUPT (1u << 5)
#define GPIO_LETTER(pin) (((pin) >> 4) - 0xAu)

PORT_LINK_BUFFER struct ring cortex_m_received;

static void connect(uint32_t pin) {
    const uint32_t base = GPIO + 0x400u * GPIO_LETTER(pin), number = pin & 15u;
    volatile uint32_t *mode = &REGISTER(base), *function = &REGISTER(base + 0x20u + 4u * (number / 8u));
    REGISTER(RCC + RCC_GPIO) |= 1u << GPIO_LETTER(pin);
    (void)REGISTER(RCC + RCC_GPIO); /* the gate opens two cycles later */
    *function = (*function & ~(15u << 4u * (number % 8u))) | PORT_UART_FUNCTION << 4u * (number % 8u);
    *mode = (*mode & ~(3u << 2u * number)) | 2u << 2u * number;
}

void cortex_m_init(void) {
    const uint32_t gate = RCC + (PORT_UART_APB == 1u ? RCC_APB1 : RCC_APB2);
    REGISTER(gate) |= 1u << PORT_UART_ENABLE_BIT;
    (void)REGISTER(gate);
    connect(PORT_UART_TX_PIN);
    connect(PORT_UART_RX_PIN);
    UART(UART_BAUD) = (UART_CLOCK_HZ + 115200u / 2u) / 115200u;
    UART(UART_CONTROL) = UART_ENABLE | CONTROL_TX | CONTROL_RX | CONTROL_RX_INTERRUPT;
    dwt_start();
}

/* An overrun would raise the interrupt for ever. Reading status and data clears it on F4. */
void cortex_m_receive(void) {
#ifdef UART_CLEAR
    UART(UART_CLEAR) = STATUS_OVERRUN;
#endif
    while (UART(UART_STATUS) & (STATUS_RECEIVED | STATUS_OVERRUN)) {
        if (ring_is_full(&cortex_m_received)) {
            cortex_m_stall();
            return;
        }
#ifdef UART_CLEAR
        UART(UART_CLEAR) = STATUS_OVERRUN;
#endif
        ring_put(&cortex_m_received, (uint8_t)UART(UART_RECEIVED));
    }
}

#ifdef PORT_UART_HANDLER
void PORT_UART_HANDLER(void);
void PORT_UART_HANDLER(void) {
    cortex_m_receive();
}
#endif

void port_write(const uint8_t *bytes, size_t n) {
    for (size_t i = 0; i < n; ++i) {
        while (!(UART(UART_STATUS) & STATUS_CAN_SEND)) {
        }
        UART(UART_SEND) = bytes[i];
    }
}

uint32_t port_ticks(void) {
    return dwt_cycles();
}
