/* The application `minimal`: a model from the slot or the image, driven over the link. */
#include "models.h"
#include "port.h"
#include "session.h"

int app_main(void) {
    models_start();
    session_start();
    for (;;) {
        session_poll();
        port_idle();
    }
}
