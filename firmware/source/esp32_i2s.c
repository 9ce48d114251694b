/* ESP32's I2S with a digital microphone (INMP441 and the like: 24 bits, of which the upper 16 are kept; left channel), for
 * ESP32, ESP32-S3 and ESP32-C3. Not run: nobody has tried it on a board.
 *
 * ESP-IDF 4.4's driver/i2s.h, as Arduino's core 2 brings it, so it builds under that framework alone (`offramp flash
 * --source sensor`). [port.defines] PORT_I2S_CLOCK_PIN (SCK), PORT_I2S_SELECT_PIN (WS) and PORT_I2S_DATA_PIN (SD).
 *
 * A task takes the place of the interrupt handler: of a higher priority than the application's and on its core, it can
 * interrupt that and is never interrupted by it. The driver tells of a buffer that it dropped by an event; it keeps the last
 * EVENTS of these and of those that filled one, so that of more than 128 ms some loss is not counted. */
#include "source.h"

#include <driver/i2s.h>
#include <freertos/FreeRTOS.h>
#include <freertos/queue.h>
#include <freertos/task.h>

#define COUNT 64u
#define BUFFERS 8
#define EVENTS 64
#define STACK_BYTES 3072u

static QueueHandle_t events;
static ofr_samples *volatile samples; /* NULL: what comes is dropped */

static void count_lost(ofr_samples *to) {
    i2s_event_t event;
    while (xQueueReceive(events, &event, 0) == pdTRUE)
        if (event.type == I2S_EVENT_RX_Q_OVF && to != NULL) ofr_samples_lose(to, COUNT);
}

static void run(void *unused) {
    static int32_t words[COUNT];
    static int16_t kept[COUNT];
    (void)unused;
    for (;;) {
        size_t n_bytes = 0;
        i2s_read(I2S_NUM_0, words, sizeof words, &n_bytes, portMAX_DELAY);
        ofr_samples *to = samples;
        count_lost(to);
        const uint32_t n = (uint32_t)(n_bytes / sizeof *words);
        for (uint32_t i = 0; i < n; ++i)
            kept[i] = (int16_t)(words[i] >> 16);
        if (to != NULL) ofr_samples_put(to, kept, n);
    }
}

static bool init(void) {
    const i2s_config_t config = {
        .mode = I2S_MODE_MASTER | I2S_MODE_RX,
        .sample_rate = PORT_SOURCE_HZ,
        .bits_per_sample = I2S_BITS_PER_SAMPLE_32BIT,
        .channel_format = I2S_CHANNEL_FMT_ONLY_LEFT,
        .communication_format = I2S_COMM_FORMAT_STAND_I2S,
        .dma_buf_count = BUFFERS,
        .dma_buf_len = COUNT,
    };
    const i2s_pin_config_t pins = {
        .mck_io_num = I2S_PIN_NO_CHANGE,
        .bck_io_num = PORT_I2S_CLOCK_PIN,
        .ws_io_num = PORT_I2S_SELECT_PIN,
        .data_out_num = I2S_PIN_NO_CHANGE,
        .data_in_num = PORT_I2S_DATA_PIN,
    };
    if (i2s_driver_install(I2S_NUM_0, &config, EVENTS, &events) != ESP_OK) return false;
    if (i2s_set_pin(I2S_NUM_0, &pins) != ESP_OK) return false;
    return xTaskCreatePinnedToCore(run, "sensor", STACK_BYTES, NULL, uxTaskPriorityGet(NULL) + 1u, NULL,
                                   xPortGetCoreID()) == pdPASS;
}

static bool start(ofr_samples *to) {
    samples = to;
    return true;
}

static void stop(void) {
    samples = NULL;
}

const ofr_source port_source = {"esp32_i2s", PORT_SOURCE_HZ, 1, OFR_S16, init, start, stop};
