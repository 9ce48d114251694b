/* Four pixels by two channels with sparse weights: runners for layers whose stream is that of sparse.h, in pairs. */
#ifndef OFR_MVE_TILE_SPARSE_H
#define OFR_MVE_TILE_SPARSE_H

#include "sparse.h"
#include "tile.h"

ofr_mve_runner ofr_mve_run_sparse; /* places in bytes */
ofr_mve_runner ofr_mve_run_blocks; /* x[] at multiples of 4 bytes */

#endif
