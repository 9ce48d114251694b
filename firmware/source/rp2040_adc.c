/* RP2040's converter on GPIO 26, through its FIFO, an analogue microphone around half the supply behind it. Not run: nobody
 * has tried it on a board.
 *
 * RP2040 Datasheet 2.14, 2.15, 4.9. The converter's clock is the crystal's 12 MHz, of which a conversion takes 96. */
#include "source.h"

#define ADC(offset) REGISTER(0x4004C000u + (offset))
#define ADC_CONTROL ADC(0x00u)
#define ADC_FIFO_CONTROL ADC(0x08u)
#define ADC_FIFO ADC(0x0Cu)
#define ADC_DIVIDER ADC(0x10u)
#define ADC_INTERRUPT ADC(0x18u)
#define ENABLE 1u
#define START_MANY (1u << 3)
#define READY (1u << 8)
#define FIFO_ENABLE 1u
#define FIFO_CLEAR (1u << 10 | 1u << 11) /* underflow, overflow */
#define FIFO_OVERFLOW (1u << 11)
#define FIFO_LEVEL(control) ((control) >> 16 & 15u)
#define FIFO_THRESHOLD_4 (4u << 24)
#define RESETS_DONE REGISTER(0x4000C008u)
#define RESETS_CLEAR REGISTER(0x4000F000u)
#define RESET_ADC 1u
#define CLK_ADC_CTRL REGISTER(0x40008060u)
#define FROM_CRYSTAL (3u << 5 | 1u << 11)
#define PAD_GPIO26 REGISTER(0x4001C000u + 4u + 4u * 26u)
#define PAD_OUTPUT_OFF (1u << 7)

_Static_assert(PORT_CLOCK_HZ / PORT_SOURCE_HZ >= 96u, "a conversion takes 96 cycles");
_Static_assert(PORT_CLOCK_HZ / PORT_SOURCE_HZ <= 0x10000u, "the divider has 16 bits");

static ofr_samples *samples;

/* Where it comes too late the FIFO has dropped samples that it did not count: at least one, behind those that it held. */
void port_source_interrupt(void) {
    const uint32_t control = ADC_FIFO_CONTROL;
    for (uint32_t n = FIFO_LEVEL(control); n != 0; --n) {
        const int16_t sample = (int16_t)(((int32_t)(ADC_FIFO & 0xFFFu) - 2048) * 16);
        ofr_samples_put(samples, &sample, 1);
    }
    if (control & FIFO_OVERFLOW) {
        ADC_FIFO_CONTROL |= FIFO_OVERFLOW;
        ofr_samples_lose(samples, 1);
    }
}

static bool init(void) {
    CLK_ADC_CTRL = FROM_CRYSTAL;
    RESETS_CLEAR = RESET_ADC;
    while (!(RESETS_DONE & RESET_ADC)) {
    }
    PAD_GPIO26 = PAD_OUTPUT_OFF; /* no pulls, no digital input */
    ADC_CONTROL = ENABLE;
    while (!(ADC_CONTROL & READY)) {
    }
    ADC_DIVIDER = (PORT_CLOCK_HZ / PORT_SOURCE_HZ - 1u) << 8;
    ADC_FIFO_CONTROL = FIFO_ENABLE | FIFO_CLEAR | FIFO_THRESHOLD_4;
    ADC_INTERRUPT = 1u;
    return true;
}

static bool start(ofr_samples *to) {
    samples = to;
    while (FIFO_LEVEL(ADC_FIFO_CONTROL) != 0)
        (void)ADC_FIFO;
    source_interrupt(true);
    ADC_CONTROL = ENABLE | START_MANY;
    return true;
}

static void stop(void) {
    ADC_CONTROL = ENABLE;
    source_interrupt(false);
}

const ofr_source port_source = {"rp2040_adc", PORT_SOURCE_HZ, 1, OFR_S16, init, start, stop};
