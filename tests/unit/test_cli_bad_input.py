"""What a person may get wrong: one line that names it, a hint, exit code 1, nothing written."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import shutil
import socket
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import serial

from offramp import boards, cli, ofg
from offramp.blob.read import Port
from offramp.errors import UserError
from offramp.frontends import load_model
from offramp.pack import pack
from offramp.plan import Options
from offramp_host.rows import read_rows
from tests import small_models

Refused = Callable[..., str]
GENERIC = Options(kernels="generic")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a model m.tflite, its blob m.ofr, and rows x.npy for it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.tflite").write_bytes(small_models.classifier())
    (tmp_path / "m.ofr").write_bytes(pack(tmp_path / "m.tflite", boards.load("mps2_an386"), GENERIC)[1])
    np.save(tmp_path / "x.npy", np.zeros((2, 4, 5, 1), np.int8))
    return tmp_path


@pytest.fixture
def refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> Refused:
    """Runs a command line that must be refused; all of `named` must stand in the error line, the result."""

    def check(arguments: Sequence[str | Path], *named: str, hint: str = "") -> str:
        before = sorted(folder.rglob("*"))
        capsys.readouterr()
        code = cli.call([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        errors = re.findall(r"^error: (.+)$", err, re.MULTILINE)
        hints = re.findall(r"^hint: (.+)$", err, re.MULTILINE)
        assert (code, out, len(errors), len(hints)) == (1, "", 1, 1), err
        assert "Traceback" not in err
        for text in named:
            assert text in errors[0]
        assert hint in hints[0]
        assert sorted(folder.rglob("*")) == before
        return str(errors[0])

    return check


BAD_MODELS: dict[str, tuple[bytes, tuple[str, ...], str]] = {
    "not-tflite": (
        b"this is a text file, is it not",
        ("bad.tflite", "not a .tflite file"),
        "TensorFlow Lite",
    ),
    "empty": (b"", ("bad.tflite", "not a .tflite file"), ""),
    "unsupported": (small_models.unsupported(), ("EXP", "operator 4", "exp/out"), "CONV_2D"),
    "dynamic": (small_models.dynamic(), ("image", "[1, -1, 5, 1]"), "fixed"),
}


@pytest.mark.parametrize("name", BAD_MODELS)
@pytest.mark.parametrize("command", ["pack", "inspect", "bench", "build", "run"])
def test_a_bad_model(refused: Refused, folder: Path, name: str, command: str) -> None:
    content, named, hint = BAD_MODELS[name]
    (folder / "bad.tflite").write_bytes(content)
    rest = {"inspect": [], "run": ["--board", "mps2_an386", "--inputs", "x.npy"]}.get(
        command, ["--board", "mps2_an386"]
    )
    refused([command, "bad.tflite", *rest], *named, hint=hint)


@pytest.mark.parametrize("command", ["pack", "bench", "build", "run"])
def test_a_float_model_is_read_but_not_run(refused: Refused, folder: Path, command: str) -> None:
    (folder / "bad.tflite").write_bytes(small_models.floating())
    rest = ["--inputs", "x.npy"] if command == "run" else []
    refused(
        [command, "bad.tflite", "--board", "mps2_an386", *rest],
        "bad: relu",
        "input is float32",
        hint="compress",
    )
    assert cli.call(["inspect", "bad.tflite"]) == 0


@pytest.mark.parametrize("sixteenth", range(16))
@pytest.mark.parametrize("suffix", ["tflite", "ofr", "ofg"])
def test_a_truncated_file(refused: Refused, folder: Path, suffix: str, sixteenth: int) -> None:
    if suffix == "ofg":
        (folder / "m.ofg").write_bytes(ofg.dump(load_model(folder / "m.tflite")))
    whole = (folder / f"m.{suffix}").read_bytes()
    (folder / f"cut.{suffix}").write_bytes(whole[: len(whole) * sixteenth // 16])
    refused(["inspect", f"cut.{suffix}"], f"cut.{suffix}")
    if suffix == "ofr":
        refused(["build", "cut.ofr", "--board", "mps2_an386"], "cut.ofr")
    else:
        refused(["pack", f"cut.{suffix}", "--board", "mps2_an386", "-o", "cut.ofr"], f"cut.{suffix}")


def test_an_unknown_format_and_a_missing_file(refused: Refused) -> None:
    refused(["pack", "m.h5", "--board", "mps2_an386"], "m.h5", ".h5", hint=".tflite, .onnx, .pt2")
    refused(["pack", "gone.tflite", "--board", "mps2_an386"], "gone.tflite", "No such file")
    refused(["inspect", "gone.ofr"], "gone.ofr", "No such file")
    refused(["pack", "m.ofr", "--board", "mps2_an386"], "m.ofr", "packed already")


@pytest.mark.parametrize("command", ["pack", "build", "bench", "run"])
def test_an_unknown_board_gets_the_nearest_names(refused: Refused, command: str) -> None:
    rest = ["--inputs", "x.npy"] if command == "run" else []
    refused([command, "m.tflite", "--board", "mps2_an368", *rest], "mps2_an368", hint="mps2_an386")


def test_a_model_too_big_for_flash(refused: Refused, folder: Path) -> None:
    (folder / "big.tflite").write_bytes(small_models.classifier(hidden=8000))
    error = refused(["pack", "big.tflite", "--board", "microbit"], "big", "microbit", "flash")
    found = re.search(r"takes (\d+) bytes, region flash has (\d+) bytes.* (\d+) too few", error)
    assert found and int(found[1]) - int(found[2]) == int(found[3])


def test_a_model_too_big_for_ram(refused: Refused, folder: Path) -> None:
    (folder / "wide.tflite").write_bytes(small_models.wide(6000))
    error = refused(
        ["pack", "wide.tflite", "--board", "microbit"], "wide", "region ram", "signal (6000 bytes)"
    )
    found = re.search(r"need (\d+) bytes, region ram \(less .*\) has (\d+) bytes, (\d+) too few", error)
    assert found and int(found[1]) - int(found[2]) == int(found[3]) > 0


@pytest.mark.skipif(shutil.which("arm-none-eabi-gcc") is None, reason="needs arm-none-eabi-gcc")
def test_pack_and_build_refuse_the_same_for_want_of_ram(refused: Refused, folder: Path) -> None:
    """A build measures the firmware's own data, which pack can only estimate: from above, and not by much."""
    (folder / "wide.tflite").write_bytes(small_models.wide(4080))
    fits = ["wide.tflite", "--board", "microbit", "--kernels", "generic"]
    assert cli.call(["pack", *fits]) == 0
    assert cli.call(["build", "wide.ofr", "--board", "microbit"]) == 0
    (folder / "wide.tflite").write_bytes(small_models.wide(4160))
    refused(["pack", *fits], "wide", "region ram", "too few")
    for_another_board = pack(folder / "wide.tflite", boards.load("mps2_an386"), GENERIC)[1]
    (folder / "wide.ofr").write_bytes(for_another_board)
    error = refused(
        ["build", "wide.ofr", "--board", "microbit"], "wide", "region ram", "too few", hint="offramp inspect"
    )
    found = re.search(r"need (\d+) bytes, region ram has (\d+) bytes .* (\d+) too few", error)
    assert found and int(found[1]) - int(found[2]) == int(found[3]) > 0


BAD_ROWS = {
    "shape": (np.zeros((2, 4, 4, 1), np.int8), ("[2, 4, 4, 1]", "[rows, 4, 5, 1]"), "20 flat"),
    "no-row-axis": (np.zeros(20, np.int8), ("[20]",), "first axis"),
    "dtype": (np.zeros((2, 20), np.uint8), ("uint8", "int8 is needed"), "int8"),
    "float": (np.zeros((2, 20), np.float32), ("float32", "int8 is needed"), "round(x / 0.05"),
    "empty": (np.zeros((0, 20), np.int8), ("no rows",), ""),
    "scalar": (np.int8(3), ("single number", "array is needed"), "first axis"),
}


@pytest.mark.parametrize("command", ["pack", "build", "bench", "profile", "run"])
@pytest.mark.parametrize(
    ("option", "named", "hint"),
    [
        (("--optimize", "fast"), ("--optimize fast", "balanced, speed, flash, ram"), "--optimize flash"),
        (("--flash-limit", "0"), ("--flash-limit",), ""),
        (("--ram-limit", "much"), ("--ram-limit",), ""),
        (("--flash-limit", "500"), ("the blob takes", "--flash-limit allows 500 bytes"), "compress"),
        (("--ram-limit", "16"), ("arena and state take", "--ram-limit allows 16 bytes"), "try --ram-limit"),
    ],
    ids=lambda v: " ".join(v) if isinstance(v, tuple) and v[0].startswith("--") else "",
)
def test_what_comes_first_and_limits(
    refused: Refused, command: str, option: tuple[str, str], named: tuple[str, ...], hint: str
) -> None:
    rest = ["--inputs", "x.npy"] if command == "run" else []
    refused([command, "m.tflite", "--board", "mps2_an386", *rest, *option], *named, hint=hint)


@pytest.mark.parametrize(
    ("command", "options"),
    [
        (command, option)
        for command, options in {
            "build": ["--optimize speed", "--flash-limit 99999", "--ram-limit 99999"],
            "bench": ["--kernels dsp", "--no-passes", "--optimize ram"],
            "profile": ["--kernels dsp", "--flash-limit 99999"],
            "run": ["--kernels dsp", "--optimize flash", "--ram-limit 99999"],
            "flash": ["--optimize speed"],
        }.items()
        for option in options
    ],
)
def test_a_packed_model_is_not_packed_otherwise(refused: Refused, command: str, options: str) -> None:
    """The file says for what it is packed; at a port too, where no board need answer."""
    rest = ["--inputs", "x.npy"] if command == "run" else []
    given = [command, "m.ofr", *rest, *options.split()]
    flag = options.split()[0]
    said = ("m.ofr is packed already, for mps2_an386 with kernels of generic", f"{flag} would change nothing")
    refused([*given, "--board", "mps2_an386"], *said, hint=f"the model file (m.tflite) with {flag}")
    if command == "run":
        refused([*given, "--port", "/dev/nowhere"], *said)


def test_all_options_of_packing_are_named(refused: Refused) -> None:
    options = ["--ram-limit", "99999", "--kernels", "dsp"]
    refused(
        ["bench", "m.ofr", "--board", "mps2_an386", *options],
        "--kernels, --ram-limit would",
        hint="leave them",
    )


@pytest.mark.parametrize("name", BAD_ROWS)
@pytest.mark.parametrize(
    "where", [["--board", "mps2_an386"], ["--port", "/dev/nowhere"]], ids=["board", "port"]
)
def test_bad_rows(refused: Refused, folder: Path, name: str, where: list[str]) -> None:
    array, named, hint = BAD_ROWS[name]
    np.save(folder / "bad.npy", array)
    refused(
        ["run", "m.ofr", *where, "--inputs", "bad.npy", "-o", "y.npz"], "bad.npy", "image", *named, hint=hint
    )


def test_inputs_that_are_no_arrays(refused: Refused, folder: Path) -> None:
    (folder / "text.npy").write_text("1, 2, 3")
    np.savez(folder / "none.npz")
    np.save(folder / "objects.npy", np.array([{}, {}], dtype=object), allow_pickle=True)
    run = ["run", "m.ofr", "--board", "mps2_an386", "--inputs"]
    refused([*run, "text.npy"], "text.npy", "not a .npy or .npz")
    refused([*run, "objects.npy"], "objects.npy", "not a .npy or .npz")
    refused([*run, "none.npz"], "none.npz", "no array for input image", "no arrays")
    np.savez(folder / "two.npz", a=np.zeros((2, 20), np.int8), b=np.zeros((2, 20), np.int8))
    refused([*run, "two.npz"], "two.npz", "no array for input image", "the file has a, b")
    refused([*run, "gone.npz"], "gone.npz", "No such file")


@pytest.mark.parametrize(
    "arrays",
    [("LEFT", "RIGHT"), ("left", "RIGHT"), ("arr_1", "arr_0"), ("arr_0", "arr_1", "arr_2"), ("arr_0",), ()],
    ids=" ".join,
)
def test_several_inputs_are_not_taken_in_order_but_from_savez(
    tmp_path: Path, arrays: tuple[str, ...]
) -> None:
    np.savez(tmp_path / "x.npz", **{name: np.zeros((2, 3), np.int8) for name in arrays})
    ports = [Port(name, (1, 3), "s8", 3, "arena", 0.5, 0) for name in ("left", "right")]
    with pytest.raises(UserError, match=r"no array for input .*right; the file has ") as error:
        read_rows(tmp_path / "x.npz", ports)
    assert ", ".join(arrays) in error.value.message and "names" in error.value.hint


def run_at(port: str) -> list[str]:
    return ["run", "m.ofr", "--port", port, "--inputs", "x.npy", "-o", "y.npz", "--time-limit", "1"]


def test_a_port_that_is_missing(refused: Refused) -> None:
    refused(run_at("/dev/ttyNOWHERE"), "/dev/ttyNOWHERE", "no such port")


def test_a_port_that_is_busy(refused: Refused) -> None:
    ours, theirs = pty.openpty()
    try:
        fcntl.flock(theirs, fcntl.LOCK_EX | fcntl.LOCK_NB)
        refused(run_at(os.ttyname(theirs)), os.ttyname(theirs), "busy", hint="Close")
    finally:
        os.close(ours)
        os.close(theirs)


def test_a_port_that_is_not_permitted(refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    def open_it(*_: object, **__: object) -> None:
        raise serial.SerialException(13, "could not open port /dev/ttyACM0: [Errno 13] Permission denied")

    monkeypatch.setattr(serial, "serial_for_url", open_it)
    refused(run_at("/dev/ttyACM0"), "/dev/ttyACM0", "permission denied", hint="dialout")


def test_a_port_where_nobody_answers(refused: Refused) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"socket://127.0.0.1:{server.getsockname()[1]}"
        refused(run_at(url), url, "no Offramp board answers")
    refused(run_at(url), url, "nobody answers")


@pytest.mark.parametrize("command", ["build", "bench", "run"])
def test_no_tools_at_all(refused: Refused, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    monkeypatch.setenv("PATH", "")
    rest = ["--inputs", "x.npy"] if command == "run" else []
    refused([command, "m.ofr", "--board", "mps2_an386", *rest], "arm-none-eabi-gcc", hint="apt-get install")


@pytest.mark.skipif(shutil.which("arm-none-eabi-gcc") is None, reason="needs arm-none-eabi-gcc")
def test_no_emulator(
    refused: Refused, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools = tmp_path_factory.mktemp("tools")
    (tools / "arm-none-eabi-gcc").symlink_to(str(shutil.which("arm-none-eabi-gcc")))
    monkeypatch.setenv("PATH", str(tools))
    refused(["bench", "m.ofr", "--board", "mps2_an386"], "qemu-system-arm", hint="apt-get install")


def test_doctor_finds_that_tools_are_missing(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    assert cli.call(["doctor"]) == 1
    out, err = capsys.readouterr()
    assert err == "" and re.search(r"arm-none-eabi-gcc +missing", out)
    assert "sudo apt-get install gcc-arm-none-eabi" in out


@pytest.mark.parametrize(
    ("out", "named"),
    [
        ("m.tflite/y", "Not a directory"),
        ("gone/y", "No such file"),
        (".", "is a folder"),
        ("/dev/null", "no regular file"),
        ("m.tflite", "is an input"),
        ("-", "stdout"),
    ],
)
@pytest.mark.parametrize("command", ["pack", "build", "run"])
def test_an_output_that_cannot_be_written(refused: Refused, command: str, out: str, named: str) -> None:
    rest = ["--inputs", "x.npy"] if command == "run" else []
    refused([command, "m.tflite", "--board", "mps2_an386", "-o", out, *rest], out, named)


def test_rows_are_not_overwritten_by_outputs(refused: Refused) -> None:
    refused(
        ["run", "m.ofr", "--board", "mps2_an386", "--inputs", "x.npy", "-o", "x.npy"], "x.npy", "is an input"
    )


@pytest.mark.skipif(shutil.which("arm-none-eabi-gcc") is None, reason="needs arm-none-eabi-gcc")
@pytest.mark.parametrize("command", ["build", "bench"])
def test_a_cache_that_cannot_be_written(
    refused: Refused, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setenv("OFFRAMP_CACHE", "m.tflite/cache")
    refused([command, "m.ofr", "--board", "mps2_an386"], "cache folder m.tflite/cache", hint="OFFRAMP_CACHE")


def test_the_flat_binary_is_no_place_for_the_elf(refused: Refused) -> None:
    refused(["build", "m.ofr", "--board", "mps2_an386", "-o", "fw.bin"], "fw.bin", "ELF", hint="fw.elf")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission(refused: Refused, folder: Path) -> None:
    (folder / "closed").mkdir(mode=0o555)
    refused(
        ["pack", "m.tflite", "--board", "mps2_an386", "-o", "closed/m.ofr"],
        "closed/m.ofr",
        "Permission denied",
    )


@pytest.mark.parametrize("command", ["build", "bench", "run"])
@pytest.mark.parametrize(("board", "core"), [("mps2_an385", "cortex-m3"), ("rv32_virt", "rv32imc")])
def test_a_blob_for_another_core(refused: Refused, folder: Path, command: str, board: str, core: str) -> None:
    m4 = pack(folder / "m.tflite", boards.load("mps2_an386"), Options(kernels="cmsis_nn"))[1]
    (folder / "m4.ofr").write_bytes(m4)
    rest = ["--inputs", "x.npy"] if command == "run" else []
    refused(
        [command, "m4.ofr", "--board", board, *rest], "m4.ofr", "cortex-m4f", "mps2_an386", core, hint=board
    )


@pytest.mark.parametrize(
    ("arguments", "named", "hint"),
    [
        (["pack"], "MODEL", "--help"),
        (["pack", "m.tflite"], "--board", "--help"),
        (["pack", "m.tflite", "--board"], "--board", "--help"),
        (["unpack"], "unpack", "--help"),
        (["boards", "--yaml"], "--yaml", "--help"),
        (["pack", "m.tflite", "--board", "mps2_an386", "--kernels", "fast"], "fast", "generic"),
        (["pack", "m.tflite", "--board", "mps2_an386", "--kernels", "cmsisnn"], "cmsisnn", "cmsis_nn"),
        (["inspect", "m.h5"], "unknown format .h5", ".ofr"),
        (["pack", "m.tflite", "--board", "rv32_virt", "--kernels", "cmsis_nn"], "cmsis_nn", "generic"),
        (["pack", "m.tflite", "--board", "mps2_an386", "--input", "image"], "--input image", "caller"),
        (["pack", "m.tflite", "--board", "mps2_an386", "--input", "imag=caller"], "imag", "image=caller"),
        (["run", "m.ofr", "--inputs", "x.npy"], "--board", "--port"),
        (["run", "m.ofr", "--inputs", "x.npy", "--board", "posix", "--port", "a"], "--board", "one of them"),
        (["run", "m.ofr", "--inputs", "x.npy", "--board", "posix", "--state", "keep"], "keep", "carry"),
        (
            ["monitor", "m.ofr", "-b", "mps2_an386", "--json", "--record", "gone/x.npz"],
            "gone/x.npz cannot be written",
            "another file with --record",
        ),
        (["advise", "m.ofr"], "m.ofr", "the model file that it was packed from"),
        *(
            ([*words.split(), number], f"{words.split()[-1]} {number}: numbers up to", "a smaller one")
            for words in (
                "record -b mps2_an386 -l a -o a.npz --seconds",
                "mlperf m.tflite -b mps2_an386 -d x.npy -o a --seconds",
                "bench m.ofr -b mps2_an386 --time-limit",
                "monitor m.ofr -b mps2_an386 --json --reconnect",
            )
            for number in ("inf", "1e+10")
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_wrong_command_line(refused: Refused, arguments: list[str], named: str, hint: str) -> None:
    refused(arguments, named, hint=hint)


def test_our_own_mistakes_show_a_traceback(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise KeyError("ours")

    monkeypatch.setitem(cli.COMMANDS, "boards", broken)
    assert cli.call(["boards"]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("Traceback") and "KeyError: 'ours'" in err
