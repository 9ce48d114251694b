/* nRF51's converter on AIN4 (micro:bit: ring 0), which TIMER1 starts through PPI, an analogue microphone around half the
 * supply behind it. Not run: nobody has tried it on a board.
 *
 * nRF51 Series Reference Manual 3.0: PPI, TIMER, ADC. At 9 bits a conversion takes 36 us; an interrupt that comes a period
 * late finds the next result in the place of its own, which nothing counts. */
#include "source.h"

#define ADC(offset) REGISTER(0x40007000u + (offset))
#define ADC_START_TASK 0x40007000u
#define ADC_STOP ADC(0x004u)
#define ADC_END ADC(0x100u)
#define ADC_INTENSET ADC(0x304u)
#define ADC_ENABLE ADC(0x500u)
#define ADC_CONFIG ADC(0x504u)
#define ADC_RESULT ADC(0x508u)
#define BITS_9 1u
#define INPUT_THIRD (2u << 2)
#define SUPPLY_THIRD (3u << 5)
#define AIN4 (1u << (8 + 4))
#define TIMER1(offset) REGISTER(0x40009000u + (offset))
#define TIMER_START TIMER1(0x000u)
#define TIMER_STOP TIMER1(0x004u)
#define TIMER_CLEAR TIMER1(0x00Cu)
#define TIMER_COMPARE_EVENT 0x40009140u
#define TIMER_SHORTS TIMER1(0x200u)
#define TIMER_PRESCALER TIMER1(0x510u)
#define TIMER_CC0 TIMER1(0x540u)
#define PPI_ENABLE_SET REGISTER(0x4001F504u)
#define PPI_EVENT0 REGISTER(0x4001F510u)
#define PPI_TASK0 REGISTER(0x4001F514u)

_Static_assert(PORT_CLOCK_HZ / PORT_SOURCE_HZ >= 640u, "a conversion takes 36 us and some");
_Static_assert(PORT_CLOCK_HZ / PORT_SOURCE_HZ <= 0xFFFFu, "the timer has 16 bits");

static ofr_samples *samples;

void port_source_interrupt(void) {
    if (ADC_END == 0u) return;
    ADC_END = 0u;
    const int16_t sample = (int16_t)(((int32_t)(ADC_RESULT & 0x1FFu) - 256) * 128);
    ofr_samples_put(samples, &sample, 1);
}

static bool init(void) {
    ADC_CONFIG = BITS_9 | INPUT_THIRD | SUPPLY_THIRD | AIN4;
    ADC_INTENSET = 1u;
    TIMER_PRESCALER = 0u;
    TIMER_CC0 = PORT_CLOCK_HZ / PORT_SOURCE_HZ;
    TIMER_SHORTS = 1u; /* begins again at each comparison */
    PPI_EVENT0 = TIMER_COMPARE_EVENT;
    PPI_TASK0 = ADC_START_TASK;
    PPI_ENABLE_SET = 1u;
    return true;
}

static bool start(ofr_samples *to) {
    samples = to;
    ADC_ENABLE = 1u;
    ADC_END = 0u;
    source_interrupt(true);
    TIMER_CLEAR = 1u;
    TIMER_START = 1u;
    return true;
}

static void stop(void) {
    TIMER_STOP = 1u;
    source_interrupt(false);
    ADC_STOP = 1u;
    ADC_ENABLE = 0u;
}

const ofr_source port_source = {"nrf51_adc", PORT_SOURCE_HZ, 1, OFR_S16, init, start, stop};
