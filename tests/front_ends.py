"""Front ends of every kind, and raw data for each: the grid of the tests on this machine and on emulated boards."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from offramp.features import MICRO_SPEECH, Mfcc, Micro, Quantizer, Stream
from tests.sounds import sounds

Array = NDArray[Any]

LN2 = 0.6931471805599453 / 65536
STREAMS = {
    "wake word": Stream(Micro(quantizer=Quantizer(0.0390625 / 0.10196078568696976, -128)), 3, 3),
    "micro_speech": Stream(MICRO_SPEECH, 9, 2),
    "other numbers": Stream(
        Micro(rate_hz=8000, window=120, step=50, channels=17, lower_hz=60, upper_hz=3800), 5, 1
    ),
    "short": Stream(
        Micro(rate_hz=2000, window=60, step=60, channels=5, lower_hz=100, upper_hz=900, log_shift=3), 2, 2
    ),
    "keywords": Stream(Mfcc(quantizer=Quantizer(LN2 / 0.5847029089927673, 83)), 9, 3),
    "other mfcc": Stream(
        Mfcc(Quantizer(LN2 / 0.3, -20), 8000, 200, 130, 23, 7, lower_hz=0, upper_hz=4000, peak=9000), 2, 2
    ),
    "long window": Stream(
        Mfcc(Quantizer(LN2 / 0.7, 0), window=640, step=640, mels=20, coefficients=20), 1, 1
    ),
}


def raw_for(stream: Stream) -> Array:
    return sounds(16000)
