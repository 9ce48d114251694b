/* Arm's MPS2 and MPS3 boards: the CMSDK serial port, and the CMSDK timer or the SSE-300's system counter. */
#include "../cortex_m/cortex_m.h"
#include "../port.h"

struct cmsdk_uart {
    volatile uint32_t data, state, ctrl, intclear, bauddiv;
};
#define UART ((struct cmsdk_uart *)PORT_UART)
#define STATE_TX_FULL 1u
#define STATE_RX_FULL 2u
#define CTRL_TX_RX_RX_INTERRUPT (1u | 2u | 8u)
#define INT_RX 2u

PORT_LINK_BUFFER struct ring cortex_m_received;

#ifdef PORT_SSE_COUNTER
/* Control frame of the SSE-300's counter: CNTCR, CNTSR, CNTCV low word. */
static volatile uint32_t *const counter = (volatile uint32_t *)PORT_SSE_COUNTER;
static void ticks_start(void) {
    counter[0] = 1u;
}
uint32_t port_ticks(void) {
    return counter[2];
}
#else
struct cmsdk_timer {
    volatile uint32_t ctrl, value, reload;
};
#define TIMER ((struct cmsdk_timer *)PORT_TIMER)
static void ticks_start(void) {
    TIMER->reload = 0xFFFFFFFFu;
    TIMER->value = 0xFFFFFFFFu;
    TIMER->ctrl = 1u;
}
uint32_t port_ticks(void) {
    return ~TIMER->value;
} /* it counts down */
#endif

void cortex_m_init(void) {
    UART->bauddiv = 16u;
    UART->ctrl = CTRL_TX_RX_RX_INTERRUPT;
    ticks_start();
}

void cortex_m_receive(void) {
    UART->intclear = INT_RX;
    while (UART->state & STATE_RX_FULL) {
        if (ring_is_full(&cortex_m_received)) {
            cortex_m_stall();
            return;
        }
        ring_put(&cortex_m_received, (uint8_t)UART->data);
    }
}

void port_write(const uint8_t *bytes, size_t n) {
    for (size_t i = 0; i < n; ++i) {
        while (UART->state & STATE_TX_FULL) {
        }
        UART->data = bytes[i];
    }
}
