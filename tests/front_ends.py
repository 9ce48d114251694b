"""Front ends of every kind, and raw data for each: the grid of the tests on this machine and on emulated boards."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from offramp.features import MICRO_SPEECH, Axis, Image, Imu, Mfcc, Micro, Quantizer, Stream
from tests.sounds import sounds

Array = NDArray[Any]

PLAIN = tuple(range(-128, 128))
HALF = tuple((i - 250) // 2 for i in range(256))
AXES = (
    Axis(Quantizer(1 / 300, 3), 0),
    Axis(Quantizer(0.9, -100), -5000),
    Axis(Quantizer(0.0001, 0), 100_000),
)
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
    "motion": Stream(Imu(AXES), 12, 4),
    "averaged motion": Stream(Imu(AXES[:2], average=7), 5, 5),
    "smaller image": Stream(Image("gray8", 31, 23, (4, 3, 24, 18), 12, 9, 1, PLAIN), 9, 9),
    "larger image": Stream(Image("rgb888", 7, 5, (1, 0, 6, 5), 13, 17, 3, HALF), 17, 17),
    "grey image": Stream(Image("rgb565", 20, 16, (0, 2, 20, 14), 20, 7, 1, PLAIN), 7, 7),
    "one line": Stream(Image("gray8", 9, 3, (8, 1, 1, 1), 3, 4, 3, PLAIN), 4, 4),
}


def raw_for(stream: Stream) -> Array:
    """Elements; enough for ten inputs."""
    rng = np.random.default_rng(0)
    if isinstance(stream.front_end, Imu):
        shape = (700, len(stream.front_end.axes))
        return (rng.integers(-32768, 32768, shape) >> rng.integers(0, 12, shape)).astype(np.int16)
    if isinstance(stream.front_end, Image):
        pixels = 12 * stream.front_end.width * stream.front_end.height + 5
        return rng.integers(0, 256, (pixels, stream.front_end.element.itemsize)).astype(np.uint8)
    return sounds(16000)
