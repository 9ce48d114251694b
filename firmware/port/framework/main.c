/* What a framework's start-up code calls when it is done. */
#include "../cortex_m/cortex_m.h"
#include "../port.h"

int main(void) {
    cortex_m_init();
    port_receive(true);
    port_exit(app_main());
}
