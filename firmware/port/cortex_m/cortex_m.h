/* What a Cortex-M family adds to cortex_m/startup.c: its serial port and its tick counter. */
#ifndef OFFRAMP_PORT_CORTEX_M_H
#define OFFRAMP_PORT_CORTEX_M_H

#include "../ring.h"

extern struct ring cortex_m_received;

/* Brings up the serial port and the tick counter. */
void cortex_m_init(void);

/* Handler of PORT_UART_RX_IRQ: moves what was received into cortex_m_received while there is room. */
void cortex_m_receive(void);

/* What the handler calls when there is none: it will be called again once the application has taken bytes. */
void cortex_m_stall(void);

#endif
