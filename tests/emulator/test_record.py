"""The board's own sensor over the link, beside a model that runs; and `offramp record` into a data set."""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from offramp import boards, cli
from offramp.blob import read
from offramp.build.blob_image import blob_image
from offramp.compress.data import Source, load_data
from offramp.errors import UserError
from offramp.frontends import load_model
from offramp.ir import Graph
from offramp.pack import pack
from offramp.plan import Options
from offramp.reference import Reference
from offramp_host.device import Device, RefusedError
from offramp_host.emulator import Emulator
from offramp_host.link import Code
from tests.families import family
from tests.fuzz import seeds
from tests.small_models import classifier
from tests.synthetic import synthetic

pytestmark = pytest.mark.emulator

MICROBIT = boards.load("microbit")  # with little RAM, so that samples fill it


@contextmanager
def running(
    graph: Graph, folder: Path, options: Options, source: str | None = "synthetic"
) -> Iterator[Device]:
    blob = folder / "model.ofr"
    blob.write_bytes(pack(graph, MICROBIT, options)[1])
    image = blob_image(
        read(blob.read_bytes(), "model"), MICROBIT, folder / "image.elf", linked=blob, source=source
    )
    with (
        Emulator(MICROBIT, image.elf, timeout_s=120) as emulator,
        Device(emulator.url, timeout_s=30) as device,
    ):
        yield device


def graph_of(name: str, folder: Path) -> Graph:
    if name == "family":
        return family()
    path = folder / "model.tflite"
    path.write_bytes({"state": seeds.streaming_net, "caller": classifier}[name]())
    return load_model(path)


def start(device: Device, blocks: int) -> int:
    reply = device._session.request(Code.SOURCE_START, struct.pack("<I", blocks))
    return int(struct.unpack_from("<I", reply, 4)[0])


def read_block(device: Device) -> tuple[int, int, int, bytes]:
    """Number, lost, waiting, samples."""
    reply = device._session.request(Code.SOURCE_READ)
    return *struct.unpack_from("<III", reply, 4), reply[16:]


@pytest.mark.parametrize("name", ["state", "caller", "family"])
def test_samples_fill_what_the_model_leaves(name: str, tmp_path: Path) -> None:
    graph = graph_of(name, tmp_path)
    inputs = tuple(graph.tensors[i].name for i in graph.inputs) if name == "caller" else ()
    shape = graph.tensors[graph.inputs[0]].shape
    x = np.random.default_rng(5).integers(-128, 128, (6, *shape), np.int8)
    with running(graph, tmp_path, Options(caller_inputs=inputs)) as device:
        if name == "family":
            device.set_policy("cascade", 255)  # it keeps a copy of the input behind the arena
        source = device.source()
        room = start(device, source.room_samples // source.block_samples)
        found = [device.run([row]).outputs[0] for row in x]
        time.sleep(2.0)  # while the board waits, its time runs far ahead of ours
        found += [device.run([row]).outputs[0] for row in x]
        blocks = [read_block(device) for _ in range(room)]
    reference = Reference(graph)
    expected = [reference.run([row])[0] for row in (*x, *x)]
    assert all(np.array_equal(a.reshape(-1), b.reshape(-1)) for a, b in zip(found, expected, strict=True))
    assert blocks[0][2] == room
    assert [block[:2] for block in blocks] == [(i * source.block_samples, 0) for i in range(room)]
    samples = np.frombuffer(b"".join(block[3] for block in blocks), np.int16)
    assert np.array_equal(samples, synthetic(room * source.block_samples))


def test_samples_leave_a_front_end_its_memory(tmp_path: Path) -> None:
    """Rows that its next window shares with this one outlive samples in all that is left."""
    raw = np.random.default_rng(6).integers(-3000, 3000, (20, 5), np.int16)
    with running(graph_of("caller", tmp_path), tmp_path, Options(front_end="imu:unit=0.001,hop=1")) as device:
        expected = [result.outputs[0] for result in device.feed(raw)]
        device.reset_state()
        source = device.source()
        room = start(device, source.room_samples // source.block_samples)
        found = [result.outputs[0] for result in device.feed(raw[:10])]
        time.sleep(2.0)
        found += [result.outputs[0] for result in device.feed(raw[10:])]
        assert read_block(device)[:3] == (0, 0, room)
    assert len(found) == len(expected) > 10 and len(np.unique(expected, axis=0)) > 1
    assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))


def test_another_model_stops_the_sensor(tmp_path: Path) -> None:
    graph = graph_of("caller", tmp_path)
    with running(graph, tmp_path, Options()) as device:
        start(device, 0)
        device.roll_back()
        with pytest.raises(RefusedError, match="LINK_E_STOPPED"):
            read_block(device)
        assert np.array_equal(device.capture(1000)[:, 0], synthetic(1000))


def test_what_is_fetched_too_late_is_refused_with_numbers(tmp_path: Path) -> None:
    with running(graph_of("caller", tmp_path), tmp_path, Options()) as device:
        room = device.source().room_samples
        with pytest.raises(UserError, match=r"\d+ samples were lost after \d+") as refused:
            device.capture(4 * room, progress=lambda done: time.sleep(3.0 if done == 120 else 0.0))
        assert f"keeps {room}" in refused.value.message and "record 0." in refused.value.hint
        assert np.array_equal(device.capture(1000)[:, 0], synthetic(1000))


def test_firmware_without_a_sensor_says_so(tmp_path: Path) -> None:
    graph = graph_of("caller", tmp_path)
    with (
        running(graph, tmp_path, Options(), source=None) as device,
        pytest.raises(UserError, match="firmware has no sensor"),
    ):
        device.source()


def test_record_adds_to_a_data_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "data.npz"
    command = ["record", "--board", "microbit", "-o", str(out), "--shape", "200,1", "--json"]
    for label, seconds in (("up", 0.1), ("down", 0.05), ("up", 0.0256)):
        assert cli.call([*command, "--label", label, "--seconds", str(seconds)]) == 0
        said = json.loads(capsys.readouterr().out)
    assert (said["rows"], said["shape"], said["classes"]) == (2, [200, 1], {"up": 10, "down": 4})
    arrays = np.load(out)
    assert arrays["y"].tolist() == [0] * 8 + [1] * 4 + [0] * 2
    assert arrays["labels"].tolist() == ["up", "down"] and int(arrays["rate_hz"]) == 16_000
    for first, n in ((0, 8), (8, 4), (12, 2)):
        assert np.array_equal(arrays["x"][first : first + n].reshape(-1), synthetic(200 * n))
    data = load_data(Source("data.npz", divide=32768), tmp_path)
    assert data.labels == ("up", "down") and data.train.x.shape[1:] == (200, 1)
    before = out.read_bytes()
    for wrong, complaint in (
        (["--shape", "200"], "holds rows of [200, 1] int16 at 16000 Hz; these are rows of [200]"),
        (["--shape", "128,3"], "--shape 128,3: 3 values side by side, a sample of synthetic has 1"),
        (["--seconds", "0.01"], "a row takes 0.0125 s"),
        (["--shape", "0"], "sizes from 1 on"),
        (["--board", "rv32_virt"], "rv32_virt has no source 'synthetic'"),
        (["--label", " "], "--label is empty"),
        (["--port", "/dev/null"], "--board and --port are given"),
    ):
        capsys.readouterr()
        assert cli.call([*command, "--label", "up", "--seconds", "0.1", *wrong]) == 1
        assert complaint in capsys.readouterr().err
    assert out.read_bytes() == before
