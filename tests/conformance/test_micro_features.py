"""The micro front end equals its reference libraries: pymicro-features, and TFLM's audio preprocessor."""

from __future__ import annotations

import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from offramp.features import MICRO_SPEECH, Micro
from offramp.features.micro import UNIT, features
from tests.sounds import sounds

Array = NDArray[Any]

WAVS = 7


def read(path: Path) -> Array:
    with wave.open(str(path)) as file:
        assert (file.getframerate(), file.getsampwidth(), file.getnchannels()) == (16000, 2, 1)
        return np.frombuffer(file.readframes(file.getnframes()), np.int16)


@pytest.fixture(scope="module")
def clips(shared_data: Path) -> dict[str, Array]:
    """Every wav file at 16 kHz, and sounds at the ends of the range."""
    paths = sorted([*shared_data.glob("wakeword/*.wav"), *shared_data.glob("tflm_models/*.wav")])
    assert len(paths) == WAVS
    return {path.stem: read(path) for path in paths} | {f"sounds {i}": sounds(16000, i) for i in range(3)}


def by_pymicro(samples: Array) -> Array:
    frontend = pytest.importorskip("pymicro_features").MicroFrontend()
    rows, step = [], 160
    for at in range(0, len(samples) - step + 1, step):
        found = frontend.process_samples(samples[at : at + step].tobytes())
        rows += [found.features] if found.features else []
    return np.rint(np.array(rows) / UNIT).astype(np.int64)


def test_equals_pymicro_features(clips: dict[str, Array]) -> None:
    for name, samples in clips.items():
        assert np.array_equal(features(Micro(), samples), by_pymicro(samples)), name


def test_equals_the_audio_preprocessor(clips: dict[str, Array], shared_data: Path) -> None:
    runtime = pytest.importorskip("tflite_micro").runtime
    model = str(shared_data / "tflm_models" / "audio_preprocessor_int8.tflite")
    for name, samples in clips.items():
        preprocessor = runtime.Interpreter.from_file(model)
        rows = []
        for at in range(0, len(samples) - 479, 320):
            preprocessor.set_input(samples[at : at + 480][None], 0)
            preprocessor.invoke()
            rows.append(preprocessor.get_output(0))
        assert np.array_equal(MICRO_SPEECH.rows(samples), np.array(rows)), name
