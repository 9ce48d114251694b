/* Prints what CMSIS-NN's *_get_buffer_size say on this core, a line for each shape that the host sends. */
#include "cmsis_nn/library.h"
#include "port.h"

static uint8_t next(void) {
    uint8_t byte;
    while (port_read(&byte, 1) == 0) {
        port_idle();
    }
    return byte;
}

static int32_t next_u16(void) {
    const int32_t low = next();
    return low | (int32_t)next() << 8;
}

/* Shapes are in_c, kernel_h, kernel_w as uint16; in_c 0 ends. The reply: five int32. */
int app_main(void) {
    port_write((const uint8_t *)"ready\n", 6);
    for (;;) {
        const int32_t in_c = next_u16();
        if (in_c == 0) {
            return 0;
        }
        const int32_t kernel_h = next_u16(), kernel_w = next_u16();
        const cmsis_nn_dims in = {1, 16, 16, in_c}, filter = {1, kernel_h, kernel_w, in_c};
        const int32_t sizes[5] = {
            arm_convolve_1x1_s8_fast_get_buffer_size(&in),
            arm_convolve_1_x_n_s8_get_buffer_size(&in, &filter),
            arm_depthwise_conv_s8_opt_get_buffer_size(&in, &filter),
            arm_fully_connected_s8_get_buffer_size(&filter),
            arm_avgpool_s8_get_buffer_size(16, in_c),
        };
        port_write((const uint8_t *)sizes, sizeof sizes);
    }
}
