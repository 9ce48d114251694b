/* A sensor whose samples depend on their numbers alone (docs/source.md), from SysTick's interrupt. */
#include "source.h"

#include <stdatomic.h>

#define SYST_CSR REGISTER(0xE000E010u)
#define SYST_RVR REGISTER(0xE000E014u)
#define SYST_CVR REGISTER(0xE000E018u)
#define SYST_ON 7u /* the core's clock, with interrupt */

_Static_assert(PORT_CLOCK_HZ / PORT_SOURCE_HZ <= 0xFFFFFFu, "SysTick has 24 bits");

static ofr_samples *samples;
static uint32_t number;
static uint32_t rest; /* of a period, in 1 / PORT_SOURCE_HZ of a tick */

void SysTick_Handler(void);

/* Whole ticks, now and then one more, so that the rate is exact. It counts from the next period on. */
static void set_period(void) {
    rest += PORT_CLOCK_HZ % PORT_SOURCE_HZ;
    const uint32_t more = rest >= PORT_SOURCE_HZ;
    if (more != 0) rest -= PORT_SOURCE_HZ;
    SYST_RVR = PORT_CLOCK_HZ / PORT_SOURCE_HZ - 1u + more;
}

static int16_t sample_of(uint32_t n) {
    uint32_t x = n * 2654435761u;
    x = (x ^ x >> 15) * 2246822519u;
    return (int16_t)(x >> 16);
}

void SysTick_Handler(void) {
    const int16_t sample = sample_of(number++);
    ofr_samples_put(samples, &sample, 1);
    set_period();
}

static bool init(void) {
    SYST_CSR = 0u;
    return true;
}

static bool start(ofr_samples *to) {
    samples = to;
    number = rest = 0;
    set_period();
    SYST_CVR = 0u;
    atomic_signal_fence(memory_order_release); /* what the handler reads is written before it runs */
    SYST_CSR = SYST_ON;
    return true;
}

static void stop(void) {
    SYST_CSR = 0u;
    REGISTER(0xE000ED04u) = 1u << 25; /* ICSR.PENDSTCLR */
    __asm volatile("dsb\n isb" ::: "memory");
}

const ofr_source port_source = {"synthetic", PORT_SOURCE_HZ, 1, OFR_S16, init, start, stop};
