/* A driver in this folder defines the sensor of an image that is built with `--source`; others hold none of it.
 *
 * PORT_SOURCE_HZ is the rate and PORT_CLOCK_HZ the core's clock. With PORT_SOURCE_IRQ the vector table names
 * port_source_interrupt for that interrupt. */
#ifndef OFFRAMP_PORT_SOURCE_H
#define OFFRAMP_PORT_SOURCE_H

#include "offramp_source.h"

#define REGISTER(address) (*(volatile uint32_t *)(address))

extern const ofr_source port_source;

#ifdef PORT_SOURCE_IRQ
void port_source_interrupt(void);

/* NVIC_ISER and NVIC_ICER. What the handler reads is written before it can run. An interrupt of before may still be
 * pending when it is enabled again, so a handler asks for the flag that it serves. */
static inline void source_interrupt(bool enabled) {
    __asm volatile("dsb" ::: "memory");
    REGISTER((enabled ? 0xE000E100u : 0xE000E180u) + 4u * (PORT_SOURCE_IRQ / 32u)) = 1u << (PORT_SOURCE_IRQ % 32u);
    __asm volatile("dsb\n isb" ::: "memory");
}
#endif

#endif
