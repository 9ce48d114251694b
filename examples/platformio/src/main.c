/* One inference in a project of one's own: the library brings runtime, kernels and the model, the board says the class. */
#include <offramp.h>
#include <port.h> /* of the emulated boards' platform; a framework has its own way to print */

extern const uint8_t ofr_blob[], ofr_blob_end[];

static _Alignas(OFR_ALIGN) uint8_t arena[32 * 1024]; /* `offramp inspect` says how much a model wants */
static ofr_model model;

static int say(const char *text, size_t n) {
    port_write((const uint8_t *)text, n);
    return 0;
}

int app_main(void) {
    ofr_fault fault;
    ofr_buffer scores;
    if (ofr_load(&model, ofr_blob, (size_t)(ofr_blob_end - ofr_blob), 0, &ofr_linked_kernels, arena, sizeof arena, NULL,
                 0, &fault) != OFR_OK) {
        return 1; /* fault tells step, tensor, found and allowed */
    }
    const ofr_buffer input = ofr_input(&model, 0);
    for (uint32_t i = 0; i < input.bytes; i++) {
        ((int8_t *)input.data)[i] = (int8_t)i; /* a sensor's samples */
    }
    if (ofr_run(&model) != OFR_DONE || ofr_result(&model, 0, &scores) != OFR_OK) {
        return 2;
    }
    const int8_t *score = scores.data;
    uint32_t best = 0;
    for (uint32_t i = 1; i < scores.bytes; i++) {
        best = score[i] > score[best] ? i : best;
    }
    const char line[] = {'c', 'l', 'a', 's', 's', ' ', (char)('0' + best), '\n'};
    return say(line, sizeof line);
}
