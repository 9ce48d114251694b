"""MFCC against floats, made as MLPerf Tiny's keyword spotting makes them with TensorFlow, on the test data's sounds."""

from __future__ import annotations

import io
import wave
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from offramp.features import Mfcc, Quantizer
from offramp.features.mfcc import PLAIN
from tests.conformance.test_micro_features import read
from tests.sounds import sounds

Array = NDArray[Any]

SCALE, ZERO_POINT = 0.5847029089927673, 83
"""Of kws_ref_model's input."""
QUANTIZER = Quantizer(PLAIN.scale / SCALE, ZERO_POINT)


def in_floats(s: Mfcc, samples: Array) -> Array:
    """stft under a periodic Hann window, its magnitudes, linear_to_mel_weight_matrix, log, mfccs_from_log_mel…"""
    starts = range(0, len(samples) - s.window + 1, s.step)
    frames = np.array([samples[i : i + s.window] for i in starts]) / s.peak
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(s.window) / s.window)
    n = 2 ** int(np.ceil(np.log2(s.window)))
    spectrum = np.abs(np.fft.rfft(frames * window, n))[:, 1:]  # no weight for the constant part
    hz = np.arange(1, n // 2 + 1) * s.rate_hz / n
    low, high = (1127 * np.log(1 + f / 700) for f in (s.lower_hz, s.upper_hz))
    edges = np.linspace(low, high, s.mels + 2)
    x = 1127 * np.log(1 + hz / 700)[:, None]
    rising = (x - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - x) / (edges[2:] - edges[1:-1])
    logs = np.log(spectrum @ np.maximum(0, np.minimum(rising, falling)) + 1e-6)
    k, m = np.arange(s.coefficients)[:, None], np.arange(s.mels)
    basis = 2 * np.cos(np.pi * k * (2 * m + 1) / (2 * s.mels)) / np.sqrt(2 * s.mels)
    found: Array = logs @ basis.T
    return found


def close(s: Mfcc, samples: Array) -> Array:
    """How far each value of the input is from the float's."""
    wanted = np.clip(np.floor(in_floats(s, samples) / SCALE + 0.5) + ZERO_POINT, -128, 127)
    found: Array = np.abs(s.rows(samples) - wanted)
    return found


@pytest.mark.parametrize("normalized", [False, True])
def test_sounds_at_16_khz(shared_data: Path, normalized: bool) -> None:
    paths = [*shared_data.glob("wakeword/*.wav"), *shared_data.glob("tflm_models/*_1000ms.wav")]
    clips = [read(path) for path in paths] + [sounds(16000)]
    assert len(clips) == 6
    for samples in clips:
        peak = int(np.abs(samples.astype(int)).max()) if normalized else 32768
        off = close(Mfcc(QUANTIZER, peak=peak), samples)
        assert off.max() <= 1 and np.mean(off == 0) >= 0.9


def test_spoken_digits_at_8_khz(shared_data: Path) -> None:
    setting = Mfcc(QUANTIZER, rate_hz=8000, window=240, step=160)
    off = []
    with zipfile.ZipFile(shared_data / "fsdd" / "fsdd.zip") as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".wav"))[::16]
        for name in names:
            with wave.open(io.BytesIO(archive.read(name))) as file:
                off.append(close(setting, np.frombuffer(file.readframes(file.getnframes()), np.int16)))
    found = np.concatenate(off)
    assert len(names) >= 40 and len(found) > 500
    assert np.mean(found <= 1) >= 0.99 and np.mean(found == 0) >= 0.9
