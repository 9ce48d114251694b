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
#if OFR_BLOB_FEATURES_BYTES
static uint32_t kept[OFR_BLOB_FEATURES_BYTES / 4]; // by the front end, between runs
static ofr_features features;

// Raw elements become input 0. What follows one that completes it is left for the next run: keep it in an application.
static void feed() {
    uint8_t raw[16 * OFR_BLOB_ELEMENT_BYTES];
    bool due = false;
    while (!due) {
        for (uint32_t k = 0; k < sizeof raw; k++) raw[k] = static_cast<uint8_t>(k); // a sensor's samples, as they come
        ofr_features_feed(&features, raw, sizeof raw, ofr_input(&model, 0).data, &due);
    }
}
#endif

void setup() {
    Serial.begin(115200);
#if OFR_BLOB_STATE_BYTES
    loaded = ofr_load(&model, ofr_blob, OFR_BLOB_BYTES, 0, &ofr_linked_kernels, arena, sizeof arena, state,
                      sizeof state, nullptr);
#else
    loaded = ofr_load(&model, ofr_blob, OFR_BLOB_BYTES, 0, &ofr_linked_kernels, arena, sizeof arena, nullptr, 0,
                      nullptr);
#endif
#if OFR_BLOB_FEATURES_BYTES
    uint32_t bytes = 0;
    if (loaded == OFR_OK) {
        const void *params = ofr_front_end(&model, &bytes);
        loaded = ofr_features_open(&features, params, bytes, &ofr_linked_features, kept, sizeof kept);
    }
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
#if OFR_BLOB_FEATURES_BYTES
        for (uint32_t k = 0; i != 0 && k < input.bytes; k++) { // the front end makes input 0
#else
        for (uint32_t k = 0; k < input.bytes; k++) {
#endif
            static_cast<uint8_t *>(input.data)[k] = static_cast<uint8_t>(k); // a sensor's samples
        }
    }
#if OFR_BLOB_FEATURES_BYTES
    feed();
#endif
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
