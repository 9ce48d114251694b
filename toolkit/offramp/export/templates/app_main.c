/* The port's start-up code calls app_main; this hands over to main. */
#include "port.h"

int main(void);

int app_main(void) {
    return main();
}
