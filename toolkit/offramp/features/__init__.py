"""Front ends: what makes a model's input of raw samples, in integers; `firmware/features/` is bit-exact to this."""

from offramp.features.choose import CHOICES, stream_for
from offramp.features.front_end import KINDS, FrontEnd, Quantizer, Stream, header_of, kind_of
from offramp.features.image import Image
from offramp.features.imu import Axis, Imu
from offramp.features.mfcc import Mfcc
from offramp.features.micro import MICRO_SPEECH, Micro

TYPES: tuple[type[FrontEnd], ...] = (Micro, Mfcc, Image, Imu)

__all__ = [
    "CHOICES",
    "KINDS",
    "MICRO_SPEECH",
    "TYPES",
    "Axis",
    "FrontEnd",
    "Image",
    "Imu",
    "Mfcc",
    "Micro",
    "Quantizer",
    "Stream",
    "header_of",
    "kind_of",
    "stream_for",
]
