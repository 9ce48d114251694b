"""Camera and microphone of `offramp monitor`, with stand-ins for their packages: rows against numbers worked out here,
and what is said where something is missing, does not suit or ends."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from offramp import cli
from offramp.blob.read import Port
from offramp.errors import UserError
from offramp_host.monitor.maker import Options
from offramp_host.monitor.model import FrontEnd, Model, Plan
from offramp_host.monitor.source import Item, Source, open_source
from tests import live_stand_ins, small_models

GREY = Port("image", (1, 4, 6, 1), "s8", 24, "arena", 1 / 255, -128)
RGB = Port("photo", (1, 4, 6, 3), "u8", 72, "arena", 1.0, 0)
WAVE = Port("sound", (1, 100), "s16", 200, "arena", 1 / 32768, 0)
SAMPLES = np.random.default_rng(1).integers(-32768, 32768, 250).astype(np.int16)


def opened(name: str, port: Port, front_end: FrontEnd | None = None, **options: Any) -> Source:
    model = Model("m", None, 0, (port,), (port,), (Plan("m", ()),), (), front_end)
    return open_source(name, model, Options(**options))


def until_it_ends(source: Source) -> tuple[list[Item], UserError]:
    found: list[Item] = []
    with pytest.raises(UserError) as caught:
        for item in source.rows():
            found.append(item)
    assert "\n" not in caught.value.message and caught.value.hint
    return found, caught.value


@pytest.fixture
def plug(monkeypatch: pytest.MonkeyPatch) -> Any:
    def into(name: str, module: Any) -> Any:
        monkeypatch.setitem(sys.modules, name, module)
        return module

    return into


@pytest.mark.parametrize(("name", "package"), [("camera", "cv2"), ("mic", "sounddevice")])
def test_missing_packages_are_named(plug: Any, name: str, package: str) -> None:
    plug(package, None)
    with pytest.raises(UserError, match="not installed") as caught:
        opened(name, GREY)
    assert "pip install" in caught.value.hint


@pytest.mark.parametrize("number", [0, 2])
def test_frames_arrive_until_the_camera_is_unplugged(plug: Any, number: int) -> None:
    frames = [np.full((40, 60, 3), (10 * i, 50, 200), np.uint8) for i in range(3)]
    camera = plug("cv2", live_stand_ins.cv2(frames, number)).VideoCapture
    source = opened(f"camera:{number}", RGB)
    assert source.is_live
    found, error = until_it_ends(source)
    assert [item.name for item in found] == ["frame 0", "frame 1", "frame 2"]
    for i, item in enumerate(found):
        assert item.inputs[0].shape == RGB.shape
        assert (item.inputs[0] == np.array([200, 50, 10 * i])).all(), "red, green, blue"
    assert "no more pictures; it gave 3" in error.message and "plugged in" in error.hint
    assert camera.opened == 0


def test_frames_are_cut_to_the_input_and_made_grey(plug: Any) -> None:
    wide = np.zeros((40, 100, 3), np.uint8)
    wide[:, 20:80] = 255  # what the 6 x 4 input keeps of 100 x 40
    plug("cv2", live_stand_ins.cv2([wide]))
    [item], _ = until_it_ends(opened("camera", GREY))
    assert (item.inputs[0][0, :, 1:-1] == 127).all()
    plug("cv2", live_stand_ins.cv2([np.full((4, 6, 3), 51, np.uint8)]))
    [item], _ = until_it_ends(opened("camera", GREY, divide=510.0))
    assert (item.inputs[0] == round(51 / 510 * 255) - 128).all()


def test_a_camera_that_is_not_there(plug: Any) -> None:
    camera = plug("cv2", live_stand_ins.cv2([np.zeros((4, 6, 3), np.uint8)])).VideoCapture
    found, error = until_it_ends(opened("camera:3", RGB))
    assert found == [] and "camera 3 gives no picture" in error.message and "in use elsewhere" in error.hint
    assert camera.opened == 0
    with pytest.raises(UserError, match="front is no number of a camera"):
        opened("camera:front", RGB)
    with pytest.raises(UserError, match=r"images, but input sound has shape \[1, 100\]"):
        opened("camera", WAVE)


@pytest.mark.parametrize(
    ("source", "stand_in", "message"),
    [
        ("camera:1", ("cv2", live_stand_ins.cv2([])), "camera 1 gives no picture"),
        ("mic", ("sounddevice", live_stand_ins.sounddevice(None)), "querying device"),
    ],
)
def test_a_missing_one_is_told_before_anything_is_built(
    plug: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    source: str,
    stand_in: tuple[str, Any],
    message: str,
) -> None:
    plug(*stand_in)
    monkeypatch.setattr("offramp.cli.place.firmware", lambda *args, **settings: pytest.fail("it was built"))
    (tmp_path / "m.tflite").write_bytes(small_models.classifier())
    command = ["monitor", str(tmp_path / "m.tflite"), "--board", "mps2_an386", "--source", source, "--json"]
    assert cli.call(command) == 1
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(("hop", "starts"), [(None, [0, 100]), (40, [0, 40, 80, 120]), (100, [0, 100])])
def test_sound_arrives_in_windows_until_the_microphone_is_unplugged(
    plug: Any, hop: int | None, starts: list[int]
) -> None:
    plug("sounddevice", live_stand_ins.sounddevice(SAMPLES))
    source = opened("mic", WAVE, hop=hop)
    assert source.is_live
    found, error = until_it_ends(source)
    assert [item.inputs[0].shape for item in found] == [WAVE.shape] * len(starts)
    assert np.array_equal(
        [item.inputs[0][0] for item in found], [SAMPLES[start : start + 100] for start in starts]
    )
    assert [item.name for item in found] == [f"{(start + 100) / 16_000:.3f} s" for start in starts]
    assert "the microphone stopped after 0.0 s: Unanticipated host error" in error.message


def test_a_front_end_is_given_the_first_window_and_then_what_is_new(plug: Any) -> None:
    """At its own rate, 16-bit samples as they are."""
    plug("sounddevice", live_stand_ins.sounddevice(SAMPLES, 8_000))
    found, _ = until_it_ends(opened("mic", WAVE, FrontEnd(2, 8_000, 90, 30)))
    heard = [found[0].inputs[0], *(item.inputs[0][-30:] for item in found[1:])]
    assert np.array_equal(np.concatenate(heard), SAMPLES[:240])


def test_samples_that_the_system_dropped_are_told(plug: Any) -> None:
    plug("sounddevice", live_stand_ins.sounddevice(np.zeros(400, np.int16), lost_at=150))
    found, _ = until_it_ends(opened("mic", WAVE))
    assert ["lost" in item.name for item in found] == [False, False, True, False]


@pytest.mark.parametrize(
    ("microphone", "options", "message", "hint"),
    [
        (live_stand_ins.sounddevice(None), {}, "querying device", "is a microphone there"),
        (live_stand_ins.sounddevice(SAMPLES, 44_100), {}, "does not take 16000 samples", "--sample-rate"),
        (live_stand_ins.sounddevice(SAMPLES), {"rate_hz": 8000}, "does not take 8000 samples", "8000 Hz"),
    ],
)
def test_a_microphone_that_does_not_suit(
    plug: Any, microphone: Any, options: dict[str, int], message: str, hint: str
) -> None:
    plug("sounddevice", microphone)
    found, error = until_it_ends(opened("mic", WAVE, **options))
    assert found == [] and message in error.message and hint in error.hint


def test_the_rate_of_a_front_end_is_not_to_be_chosen(plug: Any) -> None:
    plug("sounddevice", live_stand_ins.sounddevice(SAMPLES))
    with pytest.raises(UserError, match="--sample-rate: --source mic through a front end takes none"):
        opened("mic", WAVE, FrontEnd(2, 16_000, 90, 30), rate_hz=8000)
