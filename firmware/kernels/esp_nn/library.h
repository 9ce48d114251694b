/* Espressif's ESP-NN, exempt from this project's warnings; esp_nn.h names the functions of the target's variant. */
#pragma GCC system_header
#define CONFIG_NN_OPTIMIZED 1
#if defined(CONFIG_NN_SKIP_NUDGE) || defined(SKIP_NUDGE)
#error "these macros select single rounding, which is not TensorFlow Lite's arithmetic"
#endif
#include "esp_nn.h"
