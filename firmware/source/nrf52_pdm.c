/* nRF52's PDM with a digital microphone, 16 kHz mono. Not run: nobody has tried it on a board.
 *
 * nRF52840 Product Specification 1.1, 6.15. [port.defines] PORT_PDM_CLOCK_PIN and PORT_PDM_POWER_PIN, pins of port 0, and
 * PORT_PDM_DATA_PIN, 32 x port + pin. EasyDMA fills one buffer while the interrupt hands on the other: an interrupt that
 * comes 4 ms late loses samples that nothing counts. */
#include "source.h"

#define PDM(offset) REGISTER(0x4001D000u + (offset))
#define PDM_START PDM(0x000u)
#define PDM_STOP PDM(0x004u)
#define PDM_STARTED PDM(0x100u)
#define PDM_STOPPED PDM(0x104u)
#define PDM_END PDM(0x108u)
#define PDM_INTENSET PDM(0x304u)
#define PDM_ENABLE PDM(0x500u)
#define PDM_CLOCK PDM(0x504u)
#define PDM_MODE PDM(0x508u)
#define PDM_RATIO PDM(0x520u)
#define PDM_CLOCK_PIN PDM(0x540u)
#define PDM_DATA_PIN PDM(0x544u)
#define PDM_POINTER PDM(0x560u)
#define PDM_COUNT PDM(0x564u)
#define CLOCK_1280_KHZ 0x0A000000u
#define MONO_LEFT_FALLING 1u
#define RATIO_80 1u
#define HFXO_START REGISTER(0x40000000u)
#define GPIO_SET REGISTER(0x50000508u)
#define GPIO_CLEAR REGISTER(0x5000050Cu)
#define GPIO_OUTPUT REGISTER(0x50000518u)

_Static_assert(PORT_SOURCE_HZ == 16000u, "1.28 MHz / 80");
_Static_assert(PORT_PDM_CLOCK_PIN < 32 && PORT_PDM_POWER_PIN < 32, "pins of port 0");

#define COUNT 64u
static int16_t buffers[2][COUNT];
static uint32_t filling; /* of the buffers, the one that ends next */
static ofr_samples *samples;

void port_source_interrupt(void) {
    if (PDM_END) {
        PDM_END = 0u;
        ofr_samples_put(samples, buffers[filling], COUNT);
        filling ^= 1u;
    }
    if (PDM_STARTED) { /* the pointer has been taken: name the buffer after it */
        PDM_STARTED = 0u;
        PDM_POINTER = (uint32_t)(uintptr_t)buffers[filling ^ 1u];
    }
}

static bool init(void) {
    HFXO_START = 1u;
    GPIO_OUTPUT = 1u << PORT_PDM_POWER_PIN | 1u << PORT_PDM_CLOCK_PIN;
    GPIO_CLEAR = 1u << PORT_PDM_CLOCK_PIN;
    PDM_CLOCK_PIN = PORT_PDM_CLOCK_PIN;
    PDM_DATA_PIN = PORT_PDM_DATA_PIN;
    PDM_CLOCK = CLOCK_1280_KHZ;
    PDM_RATIO = RATIO_80;
    PDM_MODE = MONO_LEFT_FALLING;
    PDM_COUNT = COUNT;
    PDM_INTENSET = 1u << 0 | 1u << 2; /* STARTED, END */
    PDM_ENABLE = 1u;
    return true;
}

static bool start(ofr_samples *to) {
    samples = to;
    filling = 0;
    GPIO_SET = 1u << PORT_PDM_POWER_PIN;
    PDM_STARTED = PDM_STOPPED = PDM_END = 0u;
    PDM_POINTER = (uint32_t)(uintptr_t)buffers[0];
    source_interrupt(true);
    PDM_START = 1u;
    return true;
}

static void stop(void) {
    source_interrupt(false);
    PDM_STOP = 1u;
    while (!PDM_STOPPED) {
    }
    GPIO_CLEAR = 1u << PORT_PDM_POWER_PIN;
}

const ofr_source port_source = {"nrf52_pdm", PORT_SOURCE_HZ, 1, OFR_S16, init, start, stop};
