"""Sources that never end: a camera (extra opencv-python) and a microphone (extra sounddevice). Not run on hardware."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from offramp.blob.read import Port
from offramp.errors import UserError
from offramp_host.monitor.maker import Options, Pairs
from offramp_host.monitor.model import Array, quantized
from offramp_host.monitor.recorded import image_shape, opener, pixels_to_row, resized

_USUAL_RATE_HZ = 16_000


def camera(name: str, port: Port, options: Options) -> Pairs:
    """Frames of camera N, resized to the input."""
    try:
        import cv2
    except ImportError as error:
        raise UserError(
            "a camera needs OpenCV, which is not installed", "pip install opencv-python-headless"
        ) from error
    number = name.partition(":")[2] or "0"
    if not number.isdecimal():
        raise UserError(f"--source {name}: {number} is no number of a camera", "camera:0 is the first")
    pillow = opener()
    height, width, channels = image_shape(port, name)

    def rows() -> Iterator[tuple[str, Array]]:
        taken = cv2.VideoCapture(int(number))
        try:
            i = 0
            while True:
                there, frame = taken.read()
                if not there:
                    raise _no_picture(name, number, i)
                image = pillow.fromarray(np.ascontiguousarray(frame[:, :, ::-1]))
                grey = image.convert("L" if channels == 1 else "RGB")
                pixels = np.asarray(resized(grey, width, height))
                yield f"frame {i}", pixels_to_row(pixels, port, options.divide)
                i += 1
        finally:
            taken.release()

    return rows


def _no_picture(name: str, number: str, frames: int) -> UserError:
    if frames:
        return UserError(
            f"--source {name}: the camera gives no more pictures; it gave {frames}",
            "is it still plugged in? Then start again",
        )
    return UserError(
        f"--source {name}: camera {number} gives no picture",
        "is it plugged in, and not in use elsewhere? camera:1 is the second",
    )


def microphone(name: str, port: Port, options: Options) -> Pairs:
    """Windows of samples, full scale being 1, as long as the input."""
    try:
        import sounddevice
    except (ImportError, OSError) as error:
        raise UserError(
            "a microphone needs sounddevice and PortAudio, which are not installed", "pip install sounddevice"
        ) from error
    rate = options.rate_hz or _USUAL_RATE_HZ
    n = int(np.prod(port.shape))

    def rows() -> Iterator[tuple[str, Array]]:
        window = np.zeros(n)
        heard = 0
        try:
            with sounddevice.InputStream(samplerate=rate, channels=1, dtype="float32") as stream:
                while True:
                    new, is_late = stream.read(n if heard < n else min(options.hop or n, n))
                    heard += len(new)
                    window = np.concatenate([window, new[:, 0]])[-n:]
                    row = quantized(window / (options.divide or 1.0), port).reshape(port.shape)
                    yield f"{heard / rate:.3f} s{', samples lost' if is_late else ''}", row
        except sounddevice.PortAudioError as error:
            raise _no_sound(name, rate, heard, str(error)) from error

    return rows


def _no_sound(name: str, rate: int, heard: int, why: str) -> UserError:
    if heard:
        return UserError(
            f"--source {name}: the microphone stopped after {heard / rate:.1f} s: {why}",
            "is it still plugged in? Then start again",
        )
    if "sample rate" in why:
        return UserError(
            f"--source {name}: the microphone does not take {rate} samples a second: {why}",
            f"choose another device that takes {rate} Hz as the system's default, or --sample-rate where the model "
            "has no front end",
        )
    return UserError(f"--source {name}: {why}", "is a microphone there, and not in use elsewhere?")
