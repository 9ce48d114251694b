/* The op tests of `pio test`: the application that runs a file of small blobs, which is linked in as data. */
#include "../../emulator/apps/grid.c" /* IWYU pragma: keep */
