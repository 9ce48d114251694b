/* Checks of layers that a vendor's library computes. */
#include "library_layer.h"

int ofr_window_fits(uint32_t length, uint32_t out, uint32_t taps, uint32_t stride, uint32_t dilation, uint32_t pad) {
    const uint32_t reach = ofr_plus(ofr_times(taps - 1, dilation), 1);
    return taps != 0 && dilation != 0 && out != 0 && length <= INT16_MAX && reach <= INT16_MAX && pad < reach &&
           ofr_times(out - 1, stride) < length + pad;
}

ofr_status ofr_check_shifts(const ofr_call *call, const int32_t *shift, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) {
        if (shift[i] < -31 || shift[i] > 30) {
            return ofr_refuse(call, OFR_E_VALUE, (uint32_t)shift[i], 30);
        }
    }
    return OFR_OK;
}

static ofr_status check_window(const ofr_call *call, const ofr_conv_2d_params *p) {
    if (!ofr_window_fits(p->rows, p->out_rows, p->kernel_h, p->stride_h, p->dilation_h, p->pad_top)) {
        return ofr_refuse(call, OFR_E_VALUE, p->out_rows, p->rows);
    }
    if (!ofr_window_fits(p->cols, p->out_cols, p->kernel_w, p->stride_w, p->dilation_w, p->pad_left)) {
        return ofr_refuse(call, OFR_E_VALUE, p->out_cols, p->cols);
    }
    return OFR_OK;
}

/* `per_output`: weights of one output channel; libraries count them in uint16. */
static ofr_status check_layer(const ofr_call *call, uint32_t per_output, uint32_t overread) {
    const ofr_conv_2d_params *p = call->params;
    if (p->per_channel != 1 || p->in_c == 0 || p->out_c == 0 || per_output > UINT16_MAX) {
        return ofr_refuse(call, OFR_E_VALUE, per_output, UINT16_MAX);
    }
    if (p->input_zero_point < -128 || p->input_zero_point > 127) {
        return ofr_refuse(call, OFR_E_VALUE, (uint32_t)p->input_zero_point, 127);
    }
    if (call->in[0].dtype != OFR_S8 || call->out[0].dtype != OFR_S8) {
        return ofr_refuse(call, OFR_E_DTYPE, call->in[0].dtype, OFR_S8);
    }
    const uint32_t in = ofr_times(ofr_times(p->rows, p->cols), p->in_c);
    const uint32_t out = ofr_times(ofr_times(p->out_rows, p->out_cols), p->out_c);
    const uint32_t weights = ofr_times(p->out_c, per_output);
    const uint32_t tail = ((0u - weights) & 3u) + overread;
    const uint32_t block = ofr_plus(ofr_plus(sizeof *p, 12u * p->out_c), ofr_plus(weights, tail));
    ofr_status status = check_window(call, p);
    if (status == OFR_OK) {
        status = ofr_expect(call, OFR_E_SHAPE, call->in[0].bytes, in);
    }
    if (status == OFR_OK) {
        status = ofr_expect(call, OFR_E_SHAPE, call->out[0].bytes, out);
    }
    if (status == OFR_OK) {
        status = ofr_expect(call, OFR_E_PARAMS, call->params_bytes, block);
    }
    if (status == OFR_OK) {
        status = ofr_check_shifts(call, (const int32_t *)(const void *)(p + 1) + 2u * p->out_c, p->out_c);
    }
    return status;
}

ofr_status ofr_check_conv_2d_layer(const ofr_call *call, uint32_t overread) {
    const ofr_conv_2d_params *p = call->params;
    if (p->groups != 1) {
        return ofr_refuse(call, OFR_E_VALUE, p->groups, 1);
    }
    return check_layer(call, ofr_times(ofr_times(p->kernel_h, p->kernel_w), p->in_c), overread);
}

ofr_status ofr_check_depthwise_layer(const ofr_call *call, uint32_t overread) {
    const ofr_conv_2d_params *p = call->params;
    if (p->groups != p->in_c || p->in_c == 0 || p->out_c % p->in_c != 0) {
        return ofr_refuse(call, OFR_E_VALUE, p->groups, p->in_c);
    }
    return check_layer(call, ofr_times(p->kernel_h, p->kernel_w), overread);
}
