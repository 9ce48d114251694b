// One inference a second, its time and its answer over the serial port.
#include <offramp.h>
#include <offramp_blob.h>

alignas(OFR_ALIGN) static uint8_t arena[OFR_BLOB_ARENA_BYTES];
#if OFR_BLOB_STATE_BYTES
alignas(OFR_ALIGN) static uint8_t state[OFR_BLOB_STATE_BYTES];
#endif
#if OFR_BLOB_CALLER_BYTES
alignas(OFR_ALIGN) static uint8_t inputs[OFR_BLOB_CALLER_BYTES];
#endif
static ofr_model model;
static ofr_status loaded;

void setup() {
    Serial.begin(115200);
#if OFR_BLOB_STATE_BYTES
    loaded = ofr_load(&model, ofr_blob, OFR_BLOB_BYTES, 0, &ofr_linked_kernels, arena, sizeof arena, state,
                      sizeof state, nullptr);
#else
    loaded = ofr_load(&model, ofr_blob, OFR_BLOB_BYTES, 0, &ofr_linked_kernels, arena, sizeof arena, nullptr, 0,
                      nullptr);
#endif
}

void loop() {
    delay(1000);
    if (loaded != OFR_OK) {
        Serial.println(ofr_status_text(loaded));
        return;
    }
#if OFR_BLOB_CALLER_BYTES
    uint8_t *next = inputs;
#endif
    for (unsigned i = 0; i < OFR_BLOB_INPUTS; i++) {
        ofr_buffer input = ofr_input(&model, i);
#if OFR_BLOB_CALLER_BYTES
        if (input.data == nullptr) {
            input.data = next;
            next += (input.bytes + OFR_ALIGN - 1) / OFR_ALIGN * OFR_ALIGN;
            if (ofr_bind_input(&model, i, input.data) != OFR_OK) return;
        }
#endif
        for (uint32_t k = 0; k < input.bytes; k++) {
            static_cast<uint8_t *>(input.data)[k] = static_cast<uint8_t>(k); // a sensor's samples
        }
    }
    const unsigned long start = micros();
    const ofr_status ran = ofr_run(&model);
    const unsigned long took = micros() - start;
    ofr_buffer answer;
    if (ran < OFR_OK || ofr_result(&model, 0, &answer) != OFR_OK) {
        Serial.println(ofr_status_text(ran));
        return;
    }
    Serial.print(took);
    Serial.print(" us:");
    for (uint32_t k = 0; k < answer.bytes; k++) {
        Serial.print(' ');
        Serial.print(static_cast<const int8_t *>(answer.data)[k]);
    }
    Serial.println();
}
