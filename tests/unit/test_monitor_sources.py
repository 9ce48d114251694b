"""Sources of `offramp monitor`, each against numbers worked out here, and what they refuse; pace; recordings."""

from __future__ import annotations

import itertools
import re
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from offramp import cli
from offramp.blob.read import Port
from offramp.errors import UserError
from offramp_host.monitor.maker import Options
from offramp_host.monitor.model import FrontEnd, Model, Plan, confidences, quantized, real
from offramp_host.monitor.pace import Pace
from offramp_host.monitor.recording import Recording
from offramp_host.monitor.source import Source, open_source
from tests import small_models

IMAGE = Port("image", (1, 4, 6, 1), "s8", 24, "arena", 1 / 255, -128)
RGB = Port("photo", (1, 4, 6, 3), "u8", 72, "arena", 1.0, 0)
WAVE = Port("sound", (1, 100), "s16", 200, "arena", 1 / 32768, 0)
IMU = Port("imu", (1, 8, 3, 1), "s8", 24, "arena", 0.1, 2)


def port_of(port: Port, **changes: Any) -> Port:
    return Port(**{**port.__dict__, **changes})


def rows(source: Source) -> list[np.ndarray]:
    return [item.inputs[0] for item in source.rows()]


def taking(*inputs: Port, front_end: FrontEnd | None = None) -> Model:
    return Model("m", None, 0, inputs, (IMAGE,), (Plan("m", ()),), (), front_end)


def opened(name: str | Path, port: Port, **options: Any) -> Source:
    return open_source(str(name), taking(port), Options(**options))


def test_integers_pass_and_real_numbers_are_quantized(tmp_path: Path) -> None:
    whole = np.arange(48, dtype=np.int8).reshape(2, 4, 6, 1)
    np.save(tmp_path / "q.npy", whole)
    assert np.array_equal(rows(opened(tmp_path / "q.npy", IMAGE)), whole[:, None])
    np.savez(tmp_path / "x.npz", x=(whole.astype(np.float32) + 128) / 255)
    found = opened(tmp_path / "x.npz", IMAGE)
    assert np.array_equal(rows(found), whole[:, None])
    assert [item.name for item in found.rows()] == ["row 0", "row 1"]


def test_real_numbers_in_other_units_are_refused(tmp_path: Path) -> None:
    pixels = np.linspace(0, 255, 96, dtype=np.float32).reshape(4, 4, 6, 1)
    np.save(tmp_path / "x.npy", pixels)
    with pytest.raises(UserError, match=r"input image: 99 % of the values saturate: the input takes 0 to 1,"):
        opened(tmp_path / "x.npy", IMAGE)
    np.save(tmp_path / "x.npy", pixels / 200)
    assert "22 % of the values saturate" in opened(tmp_path / "x.npy", IMAGE).warning
    (tmp_path / "x.csv").write_text("\n".join("900,-900,900" for _ in range(8)))
    with pytest.raises(UserError, match="100 % of the values saturate"):
        opened(tmp_path / "x.csv", IMU)
    assert opened(tmp_path / "x.csv", IMU, divide=90.0)


def test_two_inputs_come_from_named_arrays(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", imu=np.ones((3, 8, 3), np.int8), image=np.zeros((3, 24), np.int8))
    found = list(open_source(str(tmp_path / "x.npz"), taking(IMAGE, IMU), Options()).rows())
    assert [[a.shape for a in item.inputs] for item in found] == [[IMAGE.shape, IMU.shape]] * 3
    with pytest.raises(UserError, match="gives one input, the model takes 2"):
        open_source(str(write_wave(tmp_path)), taking(IMAGE, IMU), Options())


def test_synthetic_rows_repeat_for_a_seed() -> None:
    one, same, other = (rows(opened(name, IMAGE)) for name in ("synthetic", "synthetic:1", "synthetic:2"))
    assert np.array_equal(one, same) and not np.array_equal(one, other)
    assert one[0].shape == IMAGE.shape and min(map(np.min, one)) == -128 and max(map(np.max, one)) == 127


def test_a_front_end_is_given_synthetic_sound() -> None:
    """Windows of one stream of int16, each moved on by what is new."""
    model = taking(IMAGE, front_end=FrontEnd(2, 16_000, 90, 30))
    found = open_source("synthetic:7", model, Options())
    assert found.new == 30 and found.is_live is False
    one, same = rows(found), rows(open_source("synthetic:7", model, Options()))
    assert len(one) == 256 and np.array_equal(one, same)
    assert all(np.array_equal(a[30:], b[:60]) for a, b in itertools.pairwise(one))
    heard = np.concatenate([one[0], *(row[-30:] for row in one[1:])])
    assert heard.dtype == np.int16 and heard.min() < -32000 and heard.max() > 32000
    assert len(np.unique(heard)) > 0.9 * len(heard)
    assert not np.array_equal(one, rows(open_source("synthetic:8", model, Options())))


def test_a_front_end_of_any_rate_takes_a_wave(tmp_path: Path) -> None:
    path = write_wave(tmp_path, np.arange(200))
    found = rows(open_source(str(path), taking(IMAGE, front_end=FrontEnd(2, 0, 90, 30)), Options()))
    assert np.array_equal(found, [np.arange(start, start + 90) for start in (0, 30, 60, 90)])


@pytest.mark.parametrize(
    ("source", "element_bytes", "message"),
    [
        ("w.csv", 2, "it gives inputs, and the model's front end makes its own"),
        ("", 3, "it gives inputs, and the model's front end makes its own"),
        ("synthetic", 6, "the model's front end takes elements of 6 bytes"),
        ("s.wav", 3, "the model's front end takes elements of 3 bytes"),
    ],
)
def test_no_source_passes_a_front_end_by(
    tmp_path: Path, source: str, element_bytes: int, message: str
) -> None:
    (tmp_path / "w.csv").write_text("1,2,3\n" * 200)
    Image.new("RGB", (6, 4)).save(tmp_path / "a.png")
    write_wave(tmp_path, np.zeros(200))
    name = source if source == "synthetic" else str(tmp_path / source)
    model = taking(IMAGE, front_end=FrontEnd(element_bytes, 8_000, 90, 30))
    with pytest.raises(UserError, match=message) as caught:
        open_source(name, model, Options())
    assert name in caught.value.message and ".npz" in caught.value.hint
    np.save(tmp_path / "x.npy", np.zeros((3, 24), np.int8))
    assert len(rows(open_source(str(tmp_path / "x.npy"), model, Options()))) == 3, "inputs that are asked for"


@pytest.mark.parametrize(
    ("port", "value", "expected"),
    [
        (IMAGE, 255, 127),
        (IMAGE, 0, -128),
        (IMAGE, 51, -77),
        (RGB, 200, 200),
        (port_of(IMAGE, scale=1.0, zero_point=0), 200, 72),
        (port_of(IMAGE, dtype="f32", scale=0.0, zero_point=0), 51, 0.2),
    ],
)
def test_pixels_by_the_range_of_the_input(tmp_path: Path, port: Port, value: int, expected: float) -> None:
    Image.new("L", (60, 40), value).save(tmp_path / "a.png")
    [found] = rows(opened(tmp_path, port))
    assert found.shape == port.shape
    assert np.allclose(found, expected)


def test_images_are_cut_to_the_input_and_ordered_by_name(tmp_path: Path) -> None:
    wide = np.full((40, 100), 10, np.uint8)
    wide[:, 20:80] = 90  # what the 6 x 4 input keeps of 100 x 40
    (tmp_path / "b").mkdir()
    Image.fromarray(wide).save(tmp_path / "b" / "2.png")
    Image.new("RGB", (6, 4), (1, 2, 3)).save(tmp_path / "a.bmp")
    found = opened(tmp_path, RGB)
    assert [item.name for item in found.rows()] == ["a.bmp", "2.png"]
    first, second = rows(found)
    assert np.array_equal(first[0, 0, 0], [1, 2, 3])
    assert (np.abs(second[0, :, 1:-1].astype(int) - 90) <= 2).all(), "resampling may overshoot"


def write_wave(folder: Path, samples: Any = (), width: int = 2, channels: int = 1) -> Path:
    path = folder / "s.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(8000)
        file.writeframes(np.asarray(samples, "<i2" if width == 2 else "u1").tobytes())
    return path


@pytest.mark.parametrize(("hop", "starts"), [(None, [0, 100]), (50, [0, 50, 100, 150])])
def test_sound_in_windows(tmp_path: Path, hop: int | None, starts: list[int]) -> None:
    samples = np.random.default_rng(1).integers(-32768, 32768, 250)
    found = opened(write_wave(tmp_path, samples), WAVE, hop=hop)
    assert np.array_equal(rows(found), [samples[None, start : start + 100] for start in starts])
    assert [item.name for item in found.rows()] == [f"{start / 8000:.3f} s" for start in starts]


def test_sound_of_eight_bits_and_two_channels(tmp_path: Path) -> None:
    stereo = np.stack([np.full(100, 192), np.zeros(100)], axis=1)
    [row] = rows(opened(write_wave(tmp_path, stereo, 1, 2), WAVE))
    assert (row == 16384).all()


def test_tables_in_windows(tmp_path: Path) -> None:
    values = np.random.default_rng(2).normal(size=(20, 4)).round(3)
    lines = ["time,x,y,z", *(",".join(map(str, line)) for line in values)]
    (tmp_path / "w.csv").write_text("\n".join(lines) + "\n")
    found = rows(opened(tmp_path / "w.csv", IMU, hop=4))
    assert len(found) == 4
    expected = np.clip(np.rint(values[4:12, 1:] / 0.1) + 2, -128, 127)
    assert np.array_equal(found[1].reshape(8, 3), expected)


@pytest.mark.parametrize(
    ("name", "content", "port", "message"),
    [
        ("none.npy", None, IMAGE, "No such file"),
        ("bad.npy", b"no array", IMAGE, "not a .npy or .npz file"),
        ("x.tar", None, IMAGE, "no such source"),
        ("x.tar", b"", IMAGE, "a file of unknown kind"),
        ("cut.wav", b"RIFF", WAVE, "no WAV file that can be read: it ends too early"),
        ("none.wav", None, WAVE, "No such file"),
        ("bad.csv", b"1,2,3\n4,five,6\n", IMU, "a line holds no numbers"),
        ("short.csv", b"1,2,3\n" * 7, IMU, "7 samples, input imu takes 8 samples"),
        ("narrow.csv", b"1,2\n" * 20, IMU, r"2 columns, input imu \[1, 8, 3, 1\] takes 3"),
        ("gaps.csv", b"1,2,nan\n" * 20, IMU, "no gaps"),
        ("empty", "folder", IMAGE, "no images in this folder"),
    ],
)
def test_unreadable_sources_are_named(
    tmp_path: Path, name: str, content: bytes | str | None, port: Port, message: str
) -> None:
    if isinstance(content, bytes):
        (tmp_path / name).write_bytes(content)
    elif content:
        (tmp_path / name).mkdir()
    with pytest.raises(UserError) as caught:
        opened(tmp_path / name, port)
    said = f"{caught.value.message} {caught.value.hint}"
    assert name in said and caught.value.hint
    assert re.search(message, said), said


def test_images_need_an_input_for_images_and_files_that_are_some(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"images, but input sound has shape \[1, 100\]"):
        opened(tmp_path, WAVE)
    with pytest.raises(UserError, match=r"a\.png: not an image"):
        rows(opened(tmp_path, IMAGE))


def test_wrong_sample_rate(tmp_path: Path) -> None:
    path = write_wave(tmp_path, np.zeros(200))
    with pytest.raises(UserError, match="8000 Hz, 16000 Hz are needed"):
        opened(path, WAVE, rate_hz=16_000)


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan"), float("inf"), 1e9])
def test_wrong_rates(rate: float) -> None:
    with pytest.raises(UserError, match="rows a second, above 0"):
        Pace(rate)


@pytest.mark.parametrize(
    ("name", "port", "options", "flag"),
    [
        ("synthetic", IMAGE, {"hop": 2}, "--hop"),
        ("x.npy", IMAGE, {"divide": 255.0}, "--divide"),
        ("", RGB, {"hop": 2}, "--hop"),
        ("w.csv", IMU, {"rate_hz": 100}, "--sample-rate"),
    ],
)
def test_an_option_that_would_do_nothing_is_refused(
    tmp_path: Path, name: str, port: Port, options: dict[str, Any], flag: str
) -> None:
    np.save(tmp_path / "x.npy", np.zeros((2, 24), np.int8))
    (tmp_path / "w.csv").write_text("1,2,3\n" * 20)
    Image.new("RGB", (6, 4)).save(tmp_path / "a.png")
    source = name if name == "synthetic" else tmp_path / name
    assert rows(opened(source, port))
    with pytest.raises(UserError, match=f"{flag}: --source .* takes none"):
        opened(source, port, **options)


def test_pace_keeps_its_mean_and_makes_no_bursts(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("offramp_host.monitor.pace.time.monotonic", lambda: now[0])
    pace = Pace(200.0)
    for _ in range(20):
        now[0] += pace.wait_s()
        pace.took_one()
    assert now[0] - 100 == pytest.approx(19 / 200)
    now[0] += 0.1  # twenty periods late
    waits = []
    for _ in range(3):
        waits.append(pace.wait_s())
        pace.took_one()
    assert waits == pytest.approx([0, 0.5 / 200, 1.5 / 200])


@pytest.mark.parametrize("scale", [0.1, 1 / 255, 3.0])
def test_quantized_is_the_inverse_of_real(scale: float) -> None:
    port = port_of(IMAGE, scale=scale, zero_point=-5)
    every = np.arange(-128, 128, dtype=np.int8)
    assert np.array_equal(quantized(real(every, port), port), every)
    assert quantized(np.array([1e9, -1e9]), port).tolist() == [127, -128]


def test_confidences_are_probabilities_or_softmax() -> None:
    probability = Port("p", (1, 3), "s8", 3, "arena", 1 / 256, -128)
    logit = port_of(probability, scale=0.5, zero_point=0)
    values = np.array([0.7, 0.2, 0.1])
    assert confidences(values, probability) is values
    assert np.allclose(confidences(np.log(values) + 3, logit), values)


def test_scores_of_a_classifier_and_of_what_is_none() -> None:
    answer = Port("p", (1, 3), "s8", 3, "arena", 1 / 256, -128)
    model = Model("m", None, 0, (IMAGE,), (answer,), (Plan("m", ()),), ("cat", "dog"))
    found = model.scores(np.array([[-128, 0, 64]], np.int8), answer, 2)
    assert [(s.index, s.label, s.value) for s in found] == [(2, "2", 0.75), (1, "dog", 0.5)]
    mirror = Model("m", None, 0, (answer,), (answer,), (Plan("m", ()),), ())
    assert not mirror.classifies
    assert [s.index for s in mirror.scores(np.array([[-128, 0, 64]], np.int8), answer, 2)] == [0, 1]


@pytest.fixture
def blocked(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "file").write_text("")
    yield tmp_path / "file" / "r.npz"


def test_recordings_that_cannot_be(tmp_path: Path, blocked: Path) -> None:
    with pytest.raises(UserError, match=r"a recording is a \.npz file"):
        Recording(tmp_path / "r.txt", [IMAGE], [IMAGE])
    with pytest.raises(UserError, match="cannot be written"):
        Recording(blocked, [IMAGE], [IMAGE])
    Recording(tmp_path / "r.npz", [IMAGE], [IMAGE]).close()
    assert not (tmp_path / "r.npz").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["m.tflite", "--json"], "monitor needs either --board or --port"),
        *(
            (["m.tflite", "--board", "mps2_an386", "--json", *words], f"{words[0]} is for the page")
            for words in (["--host", "0.0.0.0"], ["--web-port", "0"], ["--token", "t"])
        ),
        (["--board", "mps2_an386", "--json"], "--board needs a model"),
        (["m.tflite", "--board", "mps2_an386", "--port", "x", "--json"], "--board and --port are given"),
        (["m.tflite", "--board", "mps2_an386", "--rate", "0", "--json"], "--rate 0"),
        (["m.tflite", "--board", "mps2_an386", "--divide", "0", "--json"], "--divide 0"),
        (["m.tflite", "--board", "mps2_an386", "--source", "none.npy", "--json"], "none.npy"),
        (
            ["m.tflite", "--board", "mps2_an386", "--source", "none", "--json"],
            "--source none: no such source",
        ),
        (["m.tflite", "--board", "mps2_an386", "--record", "r.txt", "--json"], "a recording is a .npz"),
        (["m.tflite", "--board", "pico", "--json"], "pico"),
        (["m.tflite", "--board", "mps2_an386", "--policy", "gate", "--json"], "nothing for --policy gate"),
        (["m.tflite", "--board", "mps2_an386", "--budget", "5", "--json"], "has no exits"),
        (["--port", "/dev/ttyNONE0", "--json"], "no such port"),
        (["none.tflite", "--board", "mps2_an386", "--json"], "none.tflite"),
    ],
)
def test_command_lines_that_are_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.tflite").write_bytes(small_models.classifier())
    assert cli.call(["monitor", *arguments]) == 1
    out, err = capsys.readouterr()
    said = [line for line in err.splitlines() if line.startswith(("error", "hint"))]
    assert out == "" and len(said) == 2 and message in said[0], err
