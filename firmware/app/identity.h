/* What this image says of itself; `offramp build` defines these on the compiler's command line. */
#ifndef OFFRAMP_IDENTITY_H
#define OFFRAMP_IDENTITY_H

#ifndef APP_VERSION
#define APP_VERSION "0.2.0"
#endif
#ifndef APP_BOARD
#define APP_BOARD "unnamed"
#endif
#ifndef APP_COMPILER
#define APP_COMPILER __VERSION__
#endif
#ifndef APP_CMSIS_NN_VERSION
#define APP_CMSIS_NN_VERSION "" /* no kernels of CMSIS-NN in this image */
#endif

#endif
