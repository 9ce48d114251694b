"""`--front-end` and sound files: what packs and runs, and what a person may get wrong."""

from __future__ import annotations

import json
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from offramp import boards, cli
from offramp.blob import read
from offramp.features import header_of, stream_for
from offramp.frontends import load_model
from offramp.pack import pack
from offramp.plan import Options
from offramp.reference import Reference
from tests import small_models
from tests.sounds import sounds

TEXT = "micro:channels=5,hop=2"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a model of 4 rows of 5 values and a second of sound."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.tflite").write_bytes(small_models.classifier())
    write_wav(tmp_path / "x.wav", sounds(16000))
    return tmp_path


def write_wav(path: Path, samples: Any, rate_hz: int = 16000, width: int = 2) -> None:
    with wave.open(str(path), "wb") as file:
        file.setparams((1, width, rate_hz, 0, "NONE", ""))
        file.writeframes(samples.tobytes())


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert cli.call(list(arguments)) == 1
    return capsys.readouterr().err.replace("\n", " ")


def test_the_blob_names_its_front_end(folder: Path) -> None:
    board = boards.load("mps2_an386")
    blob = read(pack(Path("m.tflite"), board, Options(front_end=TEXT))[1], "m")
    head = header_of(blob.front_end)
    assert (blob.format, blob.metadata["front_end"]) == ("1.4", TEXT)
    assert (head["row_bytes"], head["window_rows"], head["hop_rows"], head["rate_hz"]) == (5, 4, 2, 16000)
    assert (head["first_run"], head["next_run"]) == (480 + 3 * 160, 320)
    assert read(pack(Path("m.tflite"), board)[1], "m").format == "1.0"


@pytest.mark.emulator
def test_run_takes_a_sound(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["run", "m.tflite", "-b", "mps2_an386", "-i", "x.wav", "--front-end", TEXT, "-o", "y.npz"]
    assert cli.call([*command, "--json"]) == 0
    graph = load_model(Path("m.tflite"))
    tensor, reference = graph.tensors[graph.inputs[0]], Reference(graph)
    inputs = stream_for(TEXT, tensor, has_state=False).inputs(sounds(16000))
    expected = np.concatenate([reference.run([row.reshape(tensor.shape)])[0] for row in inputs])
    with np.load("y.npz") as found:
        assert np.array_equal(found[found.files[0]].reshape(expected.shape), expected)
    assert json.loads(capsys.readouterr().out)["rows"] == len(inputs) > 40


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("mikro", "'mikro'"),
        ("micro:channels=7", "rows have 7 values"),
        ("micro:channels=x", "channels is x"),
        ("micro:channels=5,hop=9", "hop is 9"),
        ("micro:channels=5,taps=2", "'taps'"),
        ("micro:channels=5,window_ms=8,step_ms=9", "step_ms is 9"),
        ("mfcc:coefficients=5,lower_hz=2000,upper_hz=1500", "lower_hz is 2000"),
    ],
)
def test_wrong_front_ends(folder: Path, capsys: pytest.CaptureFixture[str], text: str, named: str) -> None:
    said = refused(capsys, "pack", "m.tflite", "-b", "mps2_an386", "--front-end", text)
    assert named in said and not Path("m.ofr").exists()


def test_wrong_sounds(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = ["run", "m.tflite", "-b", "mps2_an386", "--front-end", TEXT, "-i"]
    assert "names no front end" in refused(capsys, "run", "m.tflite", "-b", "mps2_an386", "-i", "x.wav")
    write_wav(folder / "slow.wav", sounds(8000), rate_hz=8000)
    assert "slow.wav: 8000 Hz, 16000 Hz are needed" in refused(capsys, *run, "slow.wav")
    write_wav(folder / "short.wav", np.zeros(100, np.int16))
    assert "100 samples" in refused(capsys, *run, "short.wav")
    (folder / "none.wav").write_bytes(b"RIFF")
    assert "none.wav" in refused(capsys, *run, "none.wav")
    motion = ["run", "m.tflite", "-b", "mps2_an386", "--front-end", "imu", "-i", "x.wav"]
    assert "sound, 2 bytes a sample; the model's front end takes elements of 10" in refused(capsys, *motion)
    assert "--state reset" in refused(capsys, *run, "x.wav", "--state", "reset")
