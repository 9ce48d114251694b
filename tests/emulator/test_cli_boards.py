"""The commands that build firmware and run it: build, run and bench, on emulated boards."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from offramp import boards, cli
from offramp.blob import read
from offramp.build.firmware import firmware, kernels_on
from offramp.frontends import load_model
from offramp.pack import pack
from offramp.plan import Options
from offramp.reference import Reference
from offramp_host.emulator import Emulator
from tests import small_models

pytestmark = pytest.mark.emulator

ROWS = 7
STEP_FIELDS = ["op", "name", "kernel", "instructions", "macs"]
BENCH_FIELDS = [
    "board",
    "model",
    "kernels",
    "instructions_per_inference",
    "instructions_init",
    "instructions_crc",
    "macs",
    "steps",
    "flash_bytes",
    "blob_bytes",
    "model_file_bytes",
    "arena_bytes",
    "state_bytes",
    "static_ram_bytes",
    "stack_bytes",
    "compiler",
    "cmsis_nn_version",
    "certificate",
    "plans",
    "stages",
    "exits",
]

Printed = Callable[..., str]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a model m.tflite and rows for it, flat in x.npy."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.tflite").write_bytes(small_models.classifier())
    np.save(tmp_path / "x.npy", np.random.default_rng(3).integers(-128, 128, (ROWS, 20)).astype(np.int8))
    return tmp_path


@pytest.fixture
def printed(folder: Path, capsys: pytest.CaptureFixture[str]) -> Printed:
    """Runs a command line that must succeed and returns what it printed."""

    def call(*arguments: str) -> str:
        capsys.readouterr()
        code = cli.call(arguments)
        out, err = capsys.readouterr()
        assert code == 0, err
        return str(out)

    return call


def expected(folder: Path) -> np.ndarray:
    reference = Reference(load_model(folder / "m.tflite"))
    return np.concatenate([reference.run([row.reshape(1, 4, 5, 1)])[0] for row in np.load(folder / "x.npy")])


@pytest.mark.parametrize("board", ["posix", "microbit", "mps2_an386", "rv32_virt"])
def test_run_equals_the_reference(printed: Printed, folder: Path, board: str) -> None:
    said = json.loads(
        printed("run", "m.tflite", "--board", board, "--inputs", "x.npy", "-o", "y.npz", "--json")
    )
    with np.load(folder / "y.npz") as found:
        assert found.files == ["probabilities"]
        assert found["probabilities"].dtype == np.int8
        assert np.array_equal(found["probabilities"], expected(folder))
    assert said["rows"] == ROWS and sum(said["argmax"].values()) == ROWS
    count = said["instructions_per_inference"]
    assert (
        count is None
        if board == "posix"
        else said["instructions_least"] <= count <= said["instructions_most"]
    )


def test_run_over_a_port_sends_the_model_once(
    printed: Printed, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    board = boards.load("mps2_an386")
    image = firmware(board, folder / "universal.elf", kernels=kernels_on(board))
    printed("pack", "m.tflite", "--board", board.name)
    sent: list[int] = []
    load_model_ = cli.run.Device.load_model

    def counting(self: Any, data: bytes, **rest: Any) -> Any:
        sent.append(len(data))
        return load_model_(self, data, **rest)

    monkeypatch.setattr(cli.run.Device, "load_model", counting)
    for model, loads, times in (
        ("m.ofr", [], 1),
        ("m.tflite", [], 1),
        ("m.ofr", [(folder / "m.ofr", board.model_slot.address)], 0),
    ):
        sent.clear()
        with Emulator(board, image.elf, loads=loads, timeout_s=60) as emulator:
            printed("run", model, "--port", emulator.url, "--inputs", "x.npy", "-o", "y.npz")
        assert len(sent) == times
        with np.load(folder / "y.npz") as found:
            assert np.array_equal(found["probabilities"], expected(folder))


def test_state_is_carried_or_reset(printed: Printed, folder: Path, shared_data: Path) -> None:
    golden = np.load(shared_data / "tflm_golden" / "stream_vad_on_alexa.npz")
    np.savez(folder / "stream.npz", x=golden["x"][:20])
    model = str(shared_data / str(golden["model"]))
    outputs = {}
    for state in ("carry", "reset"):
        printed(
            "run", model, "--board", "mps2_an386", "--inputs", "stream.npz", "-o", "y.npz", "--state", state
        )
        with np.load(folder / "y.npz") as found:
            outputs[state] = found[found.files[0]]
    assert np.array_equal(outputs["carry"], golden["y"][:20])
    assert not np.array_equal(outputs["reset"], outputs["carry"])
    assert np.array_equal(outputs["reset"][0], outputs["carry"][0])


def rows_of(printed: Printed, *arguments: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(printed("bench", *arguments, "--json"))
    return found


def assert_equal_to_a_tick(a: Any, b: Any) -> None:
    """Instructions come from a timer: a tick at each end may be one more or less; all else is equal."""
    if isinstance(a, list):
        for one, other in zip(a, b, strict=True):
            assert_equal_to_a_tick(one, other)
    elif isinstance(a, dict):
        assert list(a) == list(b)
        for key, value in a.items():
            if key.startswith("instructions") and value is not None:
                assert abs(value - b[key]) <= 2
            else:
                assert_equal_to_a_tick(value, b[key])
    else:
        assert a == b


@pytest.mark.parametrize(
    "how",
    [
        ["--board", "mps2_an386", "--board", "posix"],
        ["--board", "mps2_an386", "posix"],
        ["--board", "mps2_an386,posix"],
    ],
    ids=["twice", "list", "commas"],
)
def test_bench_takes_several_boards(printed: Printed, how: Sequence[str]) -> None:
    assert [row["board"] for row in rows_of(printed, "m.tflite", *how)] == ["mps2_an386", "posix"]


def test_bench_fields(printed: Printed, folder: Path) -> None:
    boards_ = ["mps2_an386", "rv32_virt", "posix"]
    arguments = ("m.tflite", "--kernels", "generic", "--board", *boards_)
    rows = rows_of(printed, *arguments)
    assert_equal_to_a_tick(rows, rows_of(printed, *arguments))
    for row, name in zip(rows, boards_, strict=True):
        board = boards.load(name)
        _, data = pack(folder / "m.tflite", board, Options(kernels="generic"))
        blob = read(data, "m")
        assert list(row) == BENCH_FIELDS
        assert row["model"] == blob.name == "m"
        assert row["kernels"] == "generic"
        assert row["cmsis_nn_version"] is None
        assert (row["blob_bytes"], row["model_file_bytes"]) == (
            len(data),
            (folder / "m.tflite").stat().st_size,
        )
        assert (row["arena_bytes"], row["state_bytes"]) == (blob.arena_bytes, blob.state_bytes)
        assert row["macs"] == sum(step["macs"] for step in row["steps"]) == 8 * 20 + 3 * 8
        assert [list(step) for step in row["steps"]] == [STEP_FIELDS] * len(blob.steps)
        assert list(row["flash_bytes"]) == ["model", "runtime", "kernels", "application"]
        assert len(data) <= row["flash_bytes"]["model"] < len(data) + 16
        counts = [row[key] for key in BENCH_FIELDS if key.startswith("instructions")]
        steps = [step["instructions"] for step in row["steps"]]
        if name == "posix":
            assert {*counts, *steps, row["stack_bytes"]} == {None}
            continue
        whole, init, crc = counts
        assert sum(steps) <= whole < sum(steps) + 1500 and 0 < init < 15_000 and crc > 0
        assert 100 < row["stack_bytes"] < board.stack_bytes and 0 < row["static_ram_bytes"] < 2048


def test_bench_of_a_blob_equals_that_of_its_model(printed: Printed) -> None:
    printed("pack", "m.tflite", "--board", "mps2_an386")
    board = ["--board", "mps2_an386"]
    assert_equal_to_a_tick(rows_of(printed, "m.ofr", *board), rows_of(printed, "m.tflite", *board))


@pytest.mark.parametrize(
    "options", [[], ["--universal"], ["--universal-all"]], ids=["minimal", "universal", "all"]
)
@pytest.mark.parametrize("board", ["microbit", "mps2_an386", "posix"])
def test_build_writes_an_image_that_runs(
    printed: Printed, folder: Path, board: str, options: list[str]
) -> None:
    ledger = printed("build", "m.tflite", "--board", board, "-o", "fw.elf", *options)
    target = boards.load(board)
    assert (folder / "fw.elf").is_file() and (folder / "fw.bin").is_file() == (board != "posix")
    if board != "posix":
        assert f"{(folder / 'fw.bin').stat().st_size:,}" in ledger
    with Emulator(target, folder / "fw.elf", timeout_s=60) as emulator:
        printed("run", "m.tflite", "--port", emulator.url, "--inputs", "x.npy", "-o", "y.npz")
    with np.load(folder / "y.npz") as found:
        assert np.array_equal(found["probabilities"], expected(folder))


def test_bench_measures_the_boards_that_hold_the_model(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "wide.tflite").write_bytes(small_models.wide(6000))
    assert cli.call(["bench", "wide.tflite", "--board", "microbit", "--board", "mps2_an386", "--json"]) == 1
    out, err = capsys.readouterr()
    assert [row["board"] for row in json.loads(out)] == ["mps2_an386"]
    assert err.startswith("error: wide does not fit microbit") and err.count("error:") == 1


def test_a_firmware_without_the_kernels_is_told_by_their_names(
    printed: Printed, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    board = boards.load("mps2_an386")
    printed("pack", "m.tflite", "--board", "rv32_virt", "--kernels", "generic")
    missing = read((folder / "m.ofr").read_bytes(), "m.ofr").steps[0].kernel
    kernels = [k for k in kernels_on(board) if f"{k.set}/{k.name}" != missing]
    image = firmware(board, folder / "fw.elf", kernels=kernels)
    with Emulator(board, image.elf, timeout_s=60) as emulator:
        assert cli.call(["run", "m.ofr", "--port", emulator.url, "--inputs", "x.npy"]) == 1
    out, err = capsys.readouterr()
    lacking = f"m.ofr needs {missing}, which the firmware of mps2_an386 does not hold"
    assert out == "" and lacking in err and "--universal" in err


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_leaves_no_folder_and_no_emulator(folder: Path, name: str) -> None:
    """And blames nobody, although the emulator may have got the signal too."""
    temporary = folder / "tmp"
    temporary.mkdir()
    np.save(folder / "many.npy", np.zeros((100_000, 20), np.int8))
    command = [str(Path(sys.executable).parent / "offramp"), "run", "m.tflite", "-b", "mps2_an386"]
    process = subprocess.Popen(
        [*command, "--inputs", "many.npy", "-o", "y.npz"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(temporary)},
        start_new_session=True,
    )
    try:
        end = time.monotonic() + 60
        while not list(temporary.glob("offramp-*/image.elf")) and time.monotonic() < end:
            time.sleep(0.1)
        time.sleep(2)  # rows are under way
        os.killpg(process.pid, getattr(signal, name))
        out, err = process.communicate(timeout=20)
    finally:
        process.kill()
    assert (process.returncode, out) == (128 + getattr(signal, name), "")
    assert err.splitlines()[0] == "error: interrupted" and err.count("error:") == 1 and "Traceback" not in err
    assert list(temporary.iterdir()) == [] and not (folder / "y.npz").exists()
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)
