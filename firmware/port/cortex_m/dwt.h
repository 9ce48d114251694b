/* The cycle counter of cores from Cortex-M3 on: DWT in the Armv7-M Architecture Reference Manual (DDI 0403), C1.8. */
#ifndef OFFRAMP_PORT_DWT_H
#define OFFRAMP_PORT_DWT_H

#include <stdint.h>

static inline void dwt_start(void) {
    *(volatile uint32_t *)0xE000EDFCu |= 1u << 24;    /* DEMCR.TRCENA */
    *(volatile uint32_t *)0xE0001FB0u = 0xC5ACCE55u; /* the lock that Cortex-M7 has; ignored by others */
    *(volatile uint32_t *)0xE0001000u |= 1u;          /* CYCCNTENA */
}

static inline uint32_t dwt_cycles(void) {
    return *(const volatile uint32_t *)0xE0001004u;
}

#endif
