/* For C and assembly: what lies in front of the taps of a row whose weights have four bits. */
#ifndef OFR_DSP_ROW_4_H
#define OFR_DSP_ROW_4_H

#define OFR_DSP_ROW_4_HEAD 16

#endif
