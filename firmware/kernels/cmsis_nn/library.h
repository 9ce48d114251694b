/* Arm's CMSIS-NN, exempt from this project's warnings. */
#pragma GCC system_header
#include "arm_nnfunctions.h"
#include "arm_nnsupportfunctions.h"
