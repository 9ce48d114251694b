/* Memory where a framework starts the chip: its linker script knows neither arena nor stack, so the arena is an array.
 *
 * PORT_STATIC_ARENA_BYTES, in the board file's [platformio] flags, is what the framework's own data leave. */
#include "../port.h"

static _Alignas(16) uint8_t arena[PORT_STATIC_ARENA_BYTES];
#if PORT_MODEL_SLOT_WRITABLE
static _Alignas(16) uint8_t slot[PORT_MODEL_SLOT_BYTES];
#endif

struct port_memory port_arena(void) {
    return (struct port_memory){arena, sizeof arena, true};
}

struct port_memory port_model_slot(void) {
#if PORT_MODEL_SLOT_WRITABLE
    return (struct port_memory){slot, sizeof slot, true};
#else
    return (struct port_memory){(uint8_t *)PORT_MODEL_SLOT, PORT_MODEL_SLOT_BYTES, false};
#endif
}

/* Weak, because an image without a model does not define them. */
extern uint8_t ofr_blob[] __attribute__((weak));
extern uint8_t ofr_blob_end[] __attribute__((weak));

struct port_memory port_linked_model(void) {
    return (struct port_memory){ofr_blob, (uint32_t)((uintptr_t)ofr_blob_end - (uintptr_t)ofr_blob), false};
}

void port_stack_paint(void) {
}
uint32_t port_stack_used(void) {
    return 0;
}
