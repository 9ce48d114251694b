/* Front ends of all kinds: their blocks are checked, their rows become inputs of a model. */
#include "feature.h"

static const ofr_feature_kind *find(const ofr_feature_kinds *kinds, uint32_t kind) {
    for (uint32_t i = 0; i < kinds->count; i++) {
        if (kinds->table[i]->kind == kind) {
            return kinds->table[i];
        }
    }
    return NULL;
}

static uint32_t window_bytes(const ofr_features_params *p) {
    return p->window_rows == p->hop_rows ? 0 : ((uint32_t)p->row_bytes * p->window_rows + 3u) & ~3u;
}

/* Finds the kind; writes the memory that it wants for itself. */
static ofr_status check(const void *params, uint32_t bytes, const ofr_feature_kinds *kinds,
                        const ofr_feature_kind **kind, uint32_t *kind_bytes) {
    const ofr_features_params *p = params;
    if (params == NULL || kinds == NULL) {
        return OFR_E_ARGUMENT;
    }
    if ((uintptr_t)params % 4 != 0) {
        return OFR_E_ALIGN;
    }
    if (bytes < sizeof *p) {
        return OFR_E_FRONT_END;
    }
    *kind = find(kinds, p->kind);
    if (*kind == NULL || p->packing != OFR_FEATURES_PACKING || p->hop_rows == 0 || p->hop_rows > p->window_rows ||
        p->row_bytes == 0 || p->element_bytes == 0 || window_bytes(p) > OFR_FEATURE_MOST_BYTES) {
        return OFR_E_FRONT_END;
    }
    const ofr_status status = (*kind)->check(params, bytes, kind_bytes);
    return status == OFR_OK && *kind_bytes + window_bytes(p) != p->memory_bytes ? OFR_E_FRONT_END : status;
}

ofr_status ofr_features_peek(const void *params, uint32_t bytes, const ofr_feature_kinds *kinds,
                             ofr_features_need *need) {
    const ofr_features_params *p = params;
    const ofr_feature_kind *kind;
    uint32_t kind_bytes;
    const ofr_status status = check(params, bytes, kinds, &kind, &kind_bytes);
    if (status != OFR_OK || need == NULL) {
        return status != OFR_OK ? status : OFR_E_ARGUMENT;
    }
    *need = (ofr_features_need){
        .memory_bytes = p->memory_bytes,
        .input_bytes = (uint32_t)p->row_bytes * p->window_rows,
        .first_run = p->first_run,
        .next_run = p->next_run,
        .element_bytes = p->element_bytes,
        .row_bytes = p->row_bytes,
        .window_rows = p->window_rows,
        .hop_rows = p->hop_rows,
        .rate_hz = p->rate_hz,
        .kind = p->kind,
    };
    return OFR_OK;
}

ofr_status ofr_features_open(ofr_features *f, const void *params, uint32_t bytes, const ofr_feature_kinds *kinds,
                             void *memory, uint32_t memory_bytes) {
    const ofr_features_params *p = params;
    const ofr_feature_kind *kind;
    uint32_t kind_bytes;
    const ofr_status status = check(params, bytes, kinds, &kind, &kind_bytes);
    if (status != OFR_OK) {
        return status;
    }
    if (f == NULL || memory == NULL) {
        return OFR_E_ARGUMENT;
    }
    if ((uintptr_t)memory % 4 != 0) {
        return OFR_E_ALIGN;
    }
    if (p->memory_bytes > memory_bytes) {
        return OFR_E_STATE;
    }
    *f = (ofr_features){
        .kind = kind,
        .params = params,
        .memory = memory,
        .kind_bytes = kind_bytes,
        .rows = window_bytes(p) != 0 ? (uint8_t *)memory + kind_bytes : NULL,
        .element_bytes = p->element_bytes,
        .row_bytes = p->row_bytes,
        .window_rows = p->window_rows,
        .hop_rows = p->hop_rows,
    };
    ofr_features_reset(f);
    return OFR_OK;
}

void ofr_features_reset(ofr_features *f) {
    memset(f->memory, 0, f->kind_bytes);
    f->next = 0;
    f->missing = f->window_rows;
}

/* The ring's rows, the oldest first. */
static void copy_window(const ofr_features *f, uint8_t *input) {
    const uint32_t newer = (uint32_t)f->next * f->row_bytes;
    const uint32_t older = (uint32_t)f->window_rows * f->row_bytes - newer;
    memcpy(input, f->rows + newer, older);
    memcpy(input + older, f->rows, newer);
}

/* A row is in place; whether a run is due. */
static bool count_row(ofr_features *f, uint8_t *input) {
    f->next = (uint16_t)(f->next + 1u == f->window_rows ? 0 : f->next + 1u);
    if (--f->missing != 0) {
        return false;
    }
    f->missing = f->hop_rows;
    if (f->rows != NULL) {
        copy_window(f, input);
    }
    return true;
}

uint32_t ofr_features_feed(ofr_features *f, const void *raw, uint32_t bytes, void *input, bool *due) {
    const uint8_t *at = raw;
    uint32_t left = bytes / f->element_bytes;
    bool ready = true;
    *due = false;
    while ((left != 0 || ready) && !*due) { /* an element may make several rows */
        ready = false;
        uint8_t *row = (f->rows != NULL ? f->rows : (uint8_t *)input) + (uint32_t)f->next * f->row_bytes;
        const uint32_t taken = f->kind->feed(f->params, f->memory, at, left, (int8_t *)row, &ready);
        at += taken * f->element_bytes;
        left -= taken;
        *due = ready && count_row(f, input);
    }
    return (uint32_t)(at - (const uint8_t *)raw);
}
