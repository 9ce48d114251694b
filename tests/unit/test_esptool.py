"""The genuine esptool against a stand-in for the boot loaders of ESP32, ESP32-S3 and ESP32-C3.

No chip is emulated; what esptool asks of a boot loader, how it checks and what it says is real, and so is what
`offramp flash` makes of it.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
import serial

from offramp import boards, cli
from offramp.errors import UserError
from offramp_host import flash, platformio
from offramp_host.flash_messages import explain
from tests import small_models
from tests.esp_images import BOARDS, application, esptool
from tests.esp_rom import CHIPS, Faults, Rom

pytest.importorskip("esptool")
APP = 0x10000
CELL = APP + 0x1234
ALWAYS = range(10**6)
OTHERS = [(chip, there) for chip in CHIPS for there in CHIPS if chip != there]
Apps = dict[str, tuple[Path, bytes]]


@pytest.fixture(scope="module")
def apps() -> Apps:
    return {}


@pytest.fixture
def app(chip: str, apps: Apps, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The chip's application image, made once."""
    if chip not in apps:
        apps[chip] = application(chip, tmp_path_factory.mktemp(chip))
    path, blob = apps[chip]
    assert blob in path.read_bytes()
    return path


def talk(
    chip: str, rom: Rom, command: str, *arguments: str | Path, further: Sequence[str] = ()
) -> subprocess.CompletedProcess[str]:
    quiet = ["--no-progress"] if command in ("write-flash", "read-flash") else []
    line = ["--port", rom.url, "--before", "no-reset", "--after", "no-reset", "--no-stub", *further]
    return esptool(chip, *line, command, *quiet, *arguments)


def untouched(rom: Rom) -> bool:
    return set(rom.flash) == {0xFF}


@pytest.mark.parametrize("chip", CHIPS)
def test_an_image_is_written_verified_and_read_back(chip: str, app: Path, tmp_path: Path) -> None:
    image, back = app.read_bytes(), tmp_path / "back.bin"
    with Rom(CHIPS[chip]) as rom:
        rom.flash[APP - 4 : APP + 4] = bytes(8)  # what stands there is erased, what stands beside it stays
        wrote = talk(chip, rom, "write-flash", hex(APP), app)
        assert wrote.returncode == 0 and "Hash of data verified" in wrote.stdout, wrote.stdout
        verified = talk(chip, rom, "verify-flash", hex(APP), app)
        assert verified.returncode == 0 and "Verification successful" in verified.stdout, verified.stdout
        read = talk(chip, rom, "read-flash", hex(APP), str(len(image)), back)
        assert read.returncode == 0, read.stdout
    assert back.read_bytes() == rom.flash[APP : APP + len(image)] == image
    assert rom.flash[:APP] == b"\xff" * (APP - 4) + bytes(4)
    assert set(rom.flash[APP + len(image) :]) == {0xFF}


@pytest.mark.parametrize("chip", CHIPS)
def test_a_damaged_block_is_sent_again(chip: str, app: Path) -> None:
    """The image goes deflated here."""
    with Rom(CHIPS[chip], Faults(damaged=[1, 2, 6])) as rom:
        done = talk(chip, rom, "write-flash", "--compress", hex(APP), app)
    assert done.returncode == 0 and "Compressed" in done.stdout, done.stdout
    assert rom.flash[APP : APP + app.stat().st_size] == app.read_bytes()
    assert rom.blocks > 7


@pytest.mark.parametrize("chip", CHIPS)
def test_a_bit_that_changed_later_is_seen(chip: str, app: Path, tmp_path: Path) -> None:
    size, back = app.stat().st_size, tmp_path / "back.bin"
    with Rom(CHIPS[chip]) as rom:
        rom.flash[APP : APP + size] = app.read_bytes()
        rom.attached = True
        for at in (APP, CELL, APP + size - 1):
            rom.flash[at] ^= 1
            done = talk(chip, rom, "verify-flash", hex(APP), app)
            assert done.returncode != 0 and "Verification failed" in done.stdout, done.stdout
            rom.flash[at] ^= 1
        rom.flash[CELL] ^= 0x20
        assert talk(chip, rom, "read-flash", hex(CELL - 8), "16", back).returncode == 0
    expected = app.read_bytes()[CELL - 8 - APP :][:16]
    assert [a ^ b for a, b in zip(back.read_bytes(), expected, strict=True)] == [0] * 8 + [0x20] + [0] * 7


@pytest.mark.parametrize(("chip", "there"), OTHERS)
def test_another_chip_is_refused_before_anything_is_written(chip: str, there: str, app: Path) -> None:
    with Rom(CHIPS[there]) as rom:
        done = talk(chip, rom, "write-flash", hex(APP), app)
    said = f"This chip is {CHIPS[there].title}, not {CHIPS[chip].title}."
    assert done.returncode != 0 and said in done.stdout and untouched(rom), done.stdout


@pytest.mark.parametrize(("chip", "there"), OTHERS[::2])
def test_an_image_for_another_chip_is_refused_where_the_boot_loader_goes(
    chip: str, there: str, app: Path
) -> None:
    """Elsewhere esptool only notes it."""
    with Rom(CHIPS[there]) as rom:
        done = talk(there, rom, "write-flash", "0x1000" if there == "esp32" else "0x0", app)
    assert done.returncode != 0 and f"is not an {CHIPS[there].title} image" in done.stdout, done.stdout
    assert untouched(rom)


@pytest.mark.parametrize("chip", ["esp32s3"])
def test_an_image_past_the_end_of_the_flash_is_refused(chip: str, app: Path) -> None:
    with Rom(CHIPS[chip]) as rom:
        done = talk(chip, rom, "write-flash", hex(rom.chip.flash_bytes - 4096), app)
    assert done.returncode != 0 and untouched(rom)
    assert "does not fit the flash" in explain(done.stdout, BOARDS[chip]).message


# Chip, what is wrong, words of the message and of the hint, whether the flash has changed. Corruption and wrong chip:
# for all three chips.
TROUBLES = [
    *((chip, Faults(weak_cell=CELL), "holds is not what was written", "flash again", True) for chip in CHIPS),
    *((chip, None, "its chip is ESP32", "name the right board with --board", False) for chip in CHIPS),
    ("esp32c3", Faults(damaged=ALWAYS), "lost or damaged", "short cable", False),
    ("esp32s3", Faults(lost=range(3, 10**6)), "lost or damaged", "short cable", True),
    ("esp32", Faults(silent=True), "is not in the boot loader", "hold BOOT", False),
]


@pytest.fixture
def through_esptool(app: Path, chip: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stands in for PlatformIO and its registry's platform: esptool writes the image, as that platform has it do."""

    def run(arguments: Sequence[str], **_: object) -> platformio.Done:
        port = arguments[arguments.index("--upload-port") + 1]
        line = ["--port", port, "--before", "no-reset", "--after", "no-reset", "--no-stub"]
        line += ["--connect-attempts", "1", "write-flash", "--no-progress", hex(APP)]
        done = esptool(chip, *line, app)
        return platformio.Done(done.returncode, done.stdout)

    monkeypatch.setattr(platformio, "run", run)


@pytest.mark.usefixtures("through_esptool")
@pytest.mark.parametrize(("chip", "faults", "message", "hint", "begun"), TROUBLES)
def test_flash_says_what_went_wrong_and_a_second_run_mends_it(
    chip: str,
    faults: Faults | None,
    message: str,
    hint: str,
    begun: bool,
    app: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    there = chip if faults else next(other for one, other in OTHERS if one == chip)
    (tmp_path / "m.tflite").write_bytes(small_models.classifier())
    command = ["flash", str(tmp_path / "m.tflite"), "--board", BOARDS[chip], "--port"]
    with Rom(CHIPS[there], faults or Faults()) as rom:
        assert cli.call([*command, rom.url]) == 1
        said = capsys.readouterr().err
        assert message in said and hint in said and BOARDS[chip] in said and "Traceback" not in said
        assert untouched(rom) != begun
    monkeypatch.setattr(flash, "connect", refuse)
    with Rom(CHIPS[chip]) as healthy:
        if there == chip:
            healthy.flash[:] = rom.flash
        assert cli.call([*command, healthy.url]) == 1 and "was written" in capsys.readouterr().err
        assert healthy.flash[APP : APP + app.stat().st_size] == app.read_bytes()


def refuse(url: str, timeout_s: float) -> None:
    """No firmware starts on the stand-in, so what follows is not asked."""
    raise UserError("was written", "")


@pytest.mark.usefixtures("through_esptool")
@pytest.mark.parametrize("chip", ["esp32c3"])
def test_a_port_that_is_held_or_absent_is_named(chip: str) -> None:
    board, (keeper, held) = boards.load(BOARDS[chip]), os.openpty()
    with serial.Serial(os.ttyname(held), exclusive=True), pytest.raises(UserError, match="held by another"):
        flash.write_firmware(board, None, os.ttyname(held))
    os.close(keeper)
    os.close(held)
    for absent in ("/dev/ttyNOPE", "socket://127.0.0.1:9"):
        with pytest.raises(UserError, match="no board is connected"):
            flash.write_firmware(board, None, absent)
