"""What flashing tools say, recorded or put together from their sources, and what `offramp flash` makes of it."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from offramp import boards, cli, ofg
from offramp.errors import UserError
from offramp_host import flash, platformio
from offramp_host.flash_messages import TABLE, explain
from tests import small_models
from tests.fuzz.seeds import exits_net

TEXTS = Path(__file__).parent / "flash_texts"
# Text -> (words of the message, words of the hint).
MEANINGS = {
    "pyocd_no_probe": ("no board is connected", "plug the board in"),
    "pyocd_two_probes": ("more than one debug probe", "unplug all but"),
    "openocd_stlink_no_probe": ("no board is connected", "plug the board in"),
    "openocd_cmsis_dap_no_probe": ("no board is connected", "plug the board in"),
    "openocd_permission": (
        "permission denied on the debug probe",
        "99-platformio-udev.rules /etc/udev/rules.d/",
    ),
    "openocd_wrong_chip": ("no nucleo: its debug port says 0x6ba02477", "--board"),
    "openocd_busy": ("does not answer its debug probe", "hold RESET"),
    "openocd_held": ("held by another program", "close the serial monitor"),
    "openocd_full": ("does not fit the flash of this nucleo", "boards/nucleo.toml"),
    "esptool_absent": ("no board is connected", "plug the board in"),
    "esptool_held": ("the serial port of nucleo is held by another program", "close the serial monitor"),
    "esptool_permission": ("permission denied on the serial port", "usermod -aG dialout"),
    "esptool_silent": ("its ESP32 is not in the boot loader", "hold BOOT"),
    "esptool_wrong_chip": ("its chip is ESP32-S3, not ESP32", "name the right board with --board"),
    "esptool_full": ("4194305 bytes at 0x00010000, the flash has 4194304 bytes", "smaller model"),
    "esptool_damaged": ("what nucleo now holds is not what was written", "flash again"),
    "openocd_damaged": ("what nucleo now holds is not what was written", "flash again"),
    "esptool_checksum": ("bytes on the line to nucleo were lost or damaged", "a short cable"),
    "esptool_lost": ("bytes on the line to nucleo were lost or damaged", "a short cable"),
    "platformio_no_port": ("no board is connected", "plug the board in"),
    "platformio_full": ("587202 bytes, 524288 bytes are there", "smaller model"),
    "linker_full": ("region flash is 22320 bytes too small", "smaller model"),
    "picotool_no_board": ("no board is connected", "plug the board in"),
    "offline": ("offline mode fetches none", "without --offline"),
    "emulator_port": ("port 5612 of this machine is in use", "another --port"),
    "unknown": ("the flux capacitor is empty", "flashing again is safe"),
}


def text(name: str) -> str:
    return (TEXTS / f"{name}.txt").read_text()


def test_every_text_has_a_meaning_and_every_kind_a_text() -> None:
    assert {path.stem for path in TEXTS.iterdir()} == set(MEANINGS)
    matched = {
        known.kind for known in TABLE if any(re.search(known.pattern, text(name)) for name in MEANINGS)
    }
    assert {known.kind for known in TABLE} - matched == {"network"}


@pytest.mark.parametrize("name", MEANINGS)
def test_a_text_is_understood(name: str) -> None:
    error = explain(text(name), "nucleo")
    message, hint = MEANINGS[name]
    assert message in error.message and hint in error.hint


@pytest.mark.parametrize("name", MEANINGS)
def test_the_command_says_it_and_ends_with_1(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "m.tflite").write_bytes(small_models.classifier())
    monkeypatch.setattr(platformio, "run", lambda *_, **__: platformio.Done(1, text(name)))
    assert cli.call(["flash", str(tmp_path / "m.tflite"), "--board", "mps2_an386"]) == 1
    said = capsys.readouterr().err
    message, hint = (words.replace("nucleo", "mps2_an386") for words in MEANINGS[name])
    assert message in said and hint in said and "Traceback" not in said


class Port:
    """A serial port as pyserial lists it."""

    def __init__(self, device: str) -> None:
        self.device, self.description, self.vid = device, "STLink", 0x0483


@pytest.mark.parametrize(
    ("there", "message"),
    [
        ([], "no board is connected"),
        (["/dev/ttyACM0", "/dev/ttyACM1"], "2 boards are connected: /dev/ttyACM0"),
    ],
)
def test_none_or_two_boards_are_told_before_anything_is_built(
    there: list[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = replace(
        boards.load("mps2_an386"), emulator=None, platformio=boards.PlatformIO("p@~1", "b", "stm32cube")
    )
    monkeypatch.setattr(flash.list_ports, "comports", lambda: [Port(device) for device in there])
    with pytest.raises(UserError, match=message):
        flash.link_port(real, None)
    assert flash.link_port(real, "/dev/ttyACM1") == "/dev/ttyACM1"


def test_a_dry_run_says_where_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "m.tflite").write_bytes(small_models.classifier())
    monkeypatch.setattr(platformio, "run", None)
    monkeypatch.setattr(flash, "connect", None)
    for further in ([], ["--firmware"], ["--model-only"]):
        assert cli.call(["flash", str(tmp_path / "m.tflite"), "-b", "mps2_an386", "--dry-run", *further]) == 0
    said = capsys.readouterr().out
    assert "into flash at 0x0" in said and "into the slot at 0x21000000" in said and "socket://127" in said


@pytest.mark.parametrize(("exits", "kernels"), [(False, "universal"), (True, "all")])
def test_firmware_alone_takes_the_model_later(
    exits: bool,
    kernels: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It holds no model, but what `--model-only` then asks of it."""
    graph = exits_net()
    (tmp_path / "m.ofg").write_bytes(ofg.dump(graph if exits else replace(graph, exits=())))
    seen: dict[str, str] = {}

    def run(*_: object, variables: dict[str, str], **__: object) -> platformio.Done:
        seen.update(variables)
        return platformio.Done(1, "")

    monkeypatch.setattr(platformio, "run", run)
    assert cli.call(["flash", str(tmp_path / "m.ofg"), "-b", "mps2_an386", "--firmware"]) == 1
    assert (seen["OFFRAMP_KERNELS"], seen["OFFRAMP_MODEL"]) == (kernels, "")
    assert ("the code of exits, without a model" in capsys.readouterr().out) == exits


def test_firmware_alone_leaves_the_model_to_the_slot(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where a model that is linked in would fit, one in the slot need not."""
    (tmp_path / "m.tflite").write_bytes(small_models.classifier(hidden=2000))
    arguments = ["flash", str(tmp_path / "m.tflite"), "-b", "esp32dev", "--port", "x", "--dry-run"]
    assert cli.call(arguments) == 0
    for alone in ("--firmware", "--model-only"):
        assert cli.call([*arguments, alone]) == 1
        assert "the model slot has" in capsys.readouterr().err


def test_both_parts_alone_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "m.tflite").write_bytes(small_models.classifier())
    arguments = ["flash", str(tmp_path / "m.tflite"), "-b", "mps2_an386", "--firmware", "--model-only"]
    assert cli.call(arguments) == 1
    assert "--firmware and --model-only are given" in capsys.readouterr().err


def test_a_missing_platformio_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setattr(platformio.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="PlatformIO is not installed") as caught:
        platformio.python()
    assert "offramp[flash]" in caught.value.hint
