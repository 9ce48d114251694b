"""A board over its line, inputs and outputs in many frames: loss, silence, reset, loading models, ticks."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from offramp.errors import UserError
from offramp_host.device import Device, RefusedError
from offramp_host.emulator import Emulator
from tests.link_proxy import FaultyLine
from tests.oracle.tflite_writer import Operator, Subgraph, Tensor, write
from tests.pipeline import Packed, pack_and_build

pytestmark = pytest.mark.emulator
Rows = NDArray[np.int8]


def pool_model(name: str) -> bytes:
    """A 2x2 max pool of 1 KB, whose outputs need no oracle but numpy: five requests in, two replies out."""
    quantized = {"scale": 0.5, "zero_point": 3}
    source, pooled = Tensor("in", (1, 16, 16, 4), **quantized), Tensor("out", (1, 8, 8, 4), **quantized)
    attributes = {"Padding": 1, "StrideW": 2, "StrideH": 2, "FilterWidth": 2, "FilterHeight": 2}
    operator = Operator("MAX_POOL_2D", ["in"], ["out"], "Pool2DOptions", attributes)
    return write(Subgraph([source, pooled], [operator], ["in"], ["out"], name))


def pooled(rows: Rows) -> Rows:
    return rows.reshape(-1, 1, 8, 2, 8, 2, 4).max(axis=(3, 5))


def random_rows(n: int) -> Rows:
    return np.random.default_rng(1).integers(-128, 128, (n, 1, 16, 16, 4), np.int8)


@pytest.fixture(scope="module", params=["posix", "mps2_an386"])
def packed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Packed:
    folder = tmp_path_factory.mktemp(request.param)
    (folder / "pool.tflite").write_bytes(pool_model("pool"))
    sanitize = request.param == "posix"
    return pack_and_build(folder / "pool.tflite", request.param, "generic", folder, sanitize=sanitize)


@pytest.fixture
def emulator(packed: Packed) -> Iterator[Emulator]:
    with Emulator(packed.board, packed.image.elf, timeout_s=120) as started:
        yield started


def test_info(packed: Packed, emulator: Emulator) -> None:
    with Device(emulator.url) as device:
        info = device.info()
    assert info.board.board == packed.board.name
    assert info.board.compiler == packed.image.compiler
    assert len(info.board.kernels) == 1
    assert (info.model.source, info.model.refused, info.model.n_steps) == ("linked", None, 1)
    assert info.model.name == packed.graph.name
    assert info.model.arena_bytes == packed.plan.arena_bytes
    assert [(t.shape, t.dtype, t.n_bytes) for t in info.inputs] == [((1, 16, 16, 4), np.int8, 1024)]
    assert [(t.shape, t.dtype, t.n_bytes) for t in info.outputs] == [((1, 8, 8, 4), np.int8, 256)]


@pytest.mark.parametrize("window", [1, None])
def test_stream_is_in_order_and_runs_each_row_once(emulator: Emulator, window: int | None) -> None:
    rows = random_rows(10)
    with Device(emulator.url) as device:
        results = list(device.stream(rows, window=window))
        assert device.statistics().runs == len(rows)
        assert device.statistics().bad_frames == 0
    assert np.array_equal([result.outputs[0] for result in results], pooled(rows))


def test_stream_may_be_left_early(emulator: Emulator) -> None:
    rows = random_rows(8)
    with Device(emulator.url) as device:
        stream = device.stream(rows)
        next(stream)
        stream.close()
        assert np.array_equal(device.run(rows[7]).outputs[0], pooled(rows[7:])[0])


def test_rows_that_do_not_fit_are_refused(emulator: Emulator) -> None:
    row = random_rows(1)[0]
    with Device(emulator.url) as device:
        for wrong, message in (
            (row.astype(np.int16), "input 0: dtype int16; the model takes int8"),
            (row[:, :15], r"input 0: shape \(1, 15, 16, 4\); the model takes \(1, 16, 16, 4\)"),
            (row.transpose(0, 3, 1, 2), r"input 0: shape \(1, 4, 16, 16\)"),
            ([row, row], "2 inputs were given; the model has 1"),
        ):
            with pytest.raises(UserError, match=message):
                device.run(wrong)
        for right in (row, row[0], row.reshape(-1)):
            assert np.array_equal(device.run(right).outputs[0], pooled(row)[0])


def test_faulty_line(emulator: Emulator) -> None:
    """200 inferences, all answered, all right, each run once."""
    rows = np.resize(random_rows(50), (200, 1, 16, 16, 4))
    with FaultyLine(emulator.url, seed=7) as line, Device(line.url) as device:
        results = list(device.stream(rows))
        assert device.statistics().runs == len(rows)
        assert device.statistics().bad_frames > 0
    assert np.array_equal([result.outputs[0] for result in results], pooled(rows))
    assert all(count > 30 for count in line.faults.values())


def test_model_over_a_faulty_line(packed: Packed, emulator: Emulator) -> None:
    said: list[tuple[int, int]] = []
    with FaultyLine(emulator.url, seed=3, faults_per_byte=2e-3) as line, Device(line.url) as device:
        info = device.load_model(packed.blob, progress=lambda done, total: said.append((done, total)))
        assert (info.model.source, info.model.refused) == ("slot", None)
        assert np.array_equal(device.run(random_rows(1)[0]).outputs[0], pooled(random_rows(1))[0])
        assert device.roll_back().model.source == "linked"
    assert said[-1] == (len(packed.blob), len(packed.blob))


def test_refused_models_leave_the_linked_one(packed: Packed, emulator: Emulator) -> None:
    damaged = bytearray(packed.blob)
    damaged[len(damaged) // 2] ^= 1
    with Device(emulator.url) as device:
        for blob, status in ((b"not a model" * 20, "OFR_E_MAGIC"), (bytes(damaged), "OFR_E_CRC")):
            with pytest.raises(RefusedError, match=status):
                device.load_model(blob)
            assert device.roll_back().model.source == "linked"
        slot_bytes = device.info().board.slot_bytes
        with pytest.raises(RefusedError, match=f"LINK_E_SLOT.*allowed {slot_bytes}"):
            device.load_model(bytes(slot_bytes + 1))
        assert np.array_equal(device.run(random_rows(1)[0]).outputs[0], pooled(random_rows(1))[0])


def test_reset_starts_anew(emulator: Emulator) -> None:
    with Device(emulator.url) as device:
        device.run(random_rows(1)[0])
        device.reset()
        assert device.statistics().runs == 0
        device.run(random_rows(1)[0])
        device.reset_state()
        assert device.statistics().runs == 1


def test_stack_and_ticks(packed: Packed, emulator: Emulator) -> None:
    rows = random_rows(2)
    with Device(emulator.url) as device:
        ticks = [device.run(rows[0], measure=True).ticks for _ in range(3)]
        steps = [device.profile(rows[0]) for _ in range(2)]
        statistics = device.statistics()
    if packed.board.name == "posix":
        assert ticks == [0, 0, 0]
        return
    assert packed.board.emulator is not None
    count = packed.board.emulator.instructions
    whole = {count(t or 0) for t in ticks}
    assert len(whole) == 1 and min(whole) > 1_000, "an instruction count repeats exactly"
    assert len({count(s[0]) for s in steps}) == 1
    assert all(len(s) == 1 and abs(count(s[0]) - min(whole)) < 200 for s in steps)
    assert 0 < statistics.stack_bytes < 1536
    assert statistics.memory_bytes == packed.plan.arena_bytes
    assert 0 < statistics.load_ticks < statistics.crc_ticks


def test_stopped_board_is_given_up_and_leaves_nothing(packed: Packed) -> None:
    with (
        Emulator(packed.board, packed.image.elf, timeout_s=60) as emulator,
        Device(emulator.url, timeout_s=1.0) as device,
    ):
        device.run(random_rows(1)[0])
        os.kill(emulator.pid, signal.SIGSTOP)
        with pytest.raises(UserError, match=r"the board stopped answering; waited \d+\.\d s for 'input'"):
            device.run(random_rows(1)[0])
        pid = emulator.pid
    assert not Path(f"/proc/{pid}").exists()


def test_killed_emulator_is_noticed_at_once(packed: Packed) -> None:
    with Emulator(packed.board, packed.image.elf, timeout_s=60) as emulator:
        device = Device(emulator.url, timeout_s=30)
        emulator.kill()
        with pytest.raises(UserError, match="the line was closed while 'statistics' waited"):
            device.statistics()
        device.close()
