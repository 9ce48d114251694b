"""Raw samples streamed into an emulated board: its front end and its model answer as they do on the host."""

from __future__ import annotations

import itertools
import struct
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import serial
from numpy.typing import NDArray

from offramp import boards
from offramp.blob import read
from offramp.build.blob_image import blob_image
from offramp.build.firmware import firmware
from offramp.errors import UserError
from offramp.features import TYPES, stream_for
from offramp.frontends import load_model
from offramp.pack import pack
from offramp.plan import Options
from offramp.reference import Reference
from offramp_host.device import Device
from offramp_host.emulator import Emulator
from tests.fnv import fnv
from tests.front_ends import STREAMS, raw_for

pytestmark = pytest.mark.emulator

BOARD = boards.load("mps2_an386")
APP = Path(__file__).parent / "apps" / "features.c"
SLIDING = 5
"""Outputs that a wake word's probability is the mean of, and the cutoff: the model's own settings, alexa.json."""
CUTOFF = 0.9
YES = 9
"""Of MLPerf Tiny's twelve keywords."""
Array = NDArray[Any]


def samples(path: Path) -> Array:
    with wave.open(str(path)) as file:
        return np.frombuffer(file.readframes(file.getnframes()), np.int16)


@pytest.fixture(scope="module")
def alexa(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Device]:
    folder = tmp_path_factory.mktemp("alexa")
    _, data = pack(shared_data / "wakeword" / "alexa.tflite", BOARD, Options(front_end="micro"))
    (folder / "alexa.ofr").write_bytes(data)
    image = blob_image(read(data, "alexa"), BOARD, folder / "image.elf", linked=folder / "alexa.ofr")
    with (
        Emulator(BOARD, image.elf, timeout_s=120) as emulator,
        Device(emulator.url, timeout_s=60) as device,
    ):
        yield device


def outputs(device: Device, raw: Array) -> list[int]:
    """The probabilities that a stream gives, of 255."""
    device.reset_state()
    return [int(result.outputs[0].reshape(-1)[0]) for result in device.feed(raw)]


def test_alexa_fires_on_its_wav(alexa: Device, shared_data: Path) -> None:
    """The clip is 0.6 s and ends with the word: in a second of silence on either side, as the golden rows have it, both
    the rows and the answers are theirs."""
    golden = np.load(shared_data / "tflm_golden" / "stream_alexa_on_alexa.npz")
    silence = np.zeros(16000, np.int16)
    raw = np.concatenate([silence, samples(shared_data / "wakeword" / "alexa_test.wav"), silence])
    graph = load_model(shared_data / "wakeword" / "alexa.tflite")
    rows = stream_for("micro", graph.tensors[graph.inputs[0]], has_state=True).inputs(raw)
    assert np.array_equal(np.reshape(rows, golden["x"].shape), golden["x"])
    found = outputs(alexa, raw)
    assert found == golden["y"].reshape(-1).tolist()
    means = np.convolve(found, np.ones(SLIDING) / SLIDING, mode="valid") / 255
    assert means.max() > CUTOFF and np.count_nonzero(means > CUTOFF) < len(means) // 2


@pytest.mark.parametrize("clip", ["yes_1000ms", "noise_1000ms"])
def test_alexa_is_deaf_to_others(alexa: Device, shared_data: Path, clip: str) -> None:
    assert max(outputs(alexa, samples(shared_data / "tflm_models" / f"{clip}.wav"))) < 0.1 * 255


def test_pieces_and_misuse(alexa: Device, shared_data: Path) -> None:
    """However the host cuts what it feeds, results are the same; samples before a reset are forgotten."""
    raw = samples(shared_data / "wakeword" / "alexa_test.wav")
    whole = outputs(alexa, raw)
    alexa.reset_state()
    cuts = [0, 1, 478, 480, 481, 2000, 7777, len(raw)]
    parts = [raw[a:b] for a, b in itertools.pairwise(cuts)]
    assert [int(r.outputs[0].reshape(-1)[0]) for part in parts for r in alexa.feed(part)] == whole
    assert outputs(alexa, raw) == whole


def test_a_keyword_is_heard(shared_data: Path, tmp_path: Path) -> None:
    """MLPerf Tiny's network on a second of sound, which MFCC make its input of."""
    path, text = shared_data / "mlperf_tiny" / "kws_ref_model.tflite", "mfcc:hop=49"
    _, data = pack(path, BOARD, Options(front_end=text))
    (tmp_path / "kws.ofr").write_bytes(data)
    image = blob_image(read(data, "kws"), BOARD, tmp_path / "image.elf", linked=tmp_path / "kws.ofr")
    raw = samples(shared_data / "tflm_models" / "yes_1000ms.wav")
    graph = load_model(path)
    tensor = graph.tensors[graph.inputs[0]]
    [row] = stream_for(text, tensor, has_state=False).inputs(raw)
    expected = Reference(graph).run([row.reshape(tensor.shape)])[0]
    with Emulator(BOARD, image.elf, timeout_s=60) as emulator, Device(emulator.url, timeout_s=60) as device:
        [result] = device.feed(raw)
    assert np.array_equal(result.outputs[0], expected.reshape(result.outputs[0].shape))
    assert int(result.outputs[0].argmax()) == YES


@pytest.mark.parametrize(
    ("model", "text", "shape"),
    [
        ("tflm_models/person_detect.tflite", "image:width=120,height=100", (2 * 120 * 100,)),
        ("wand_imu/quantized_model.tflite", "imu:unit=0.001,add=0.5,hop=60", (119 + 60, 6)),
    ],
)
def test_images_and_motion(
    shared_data: Path, tmp_path: Path, model: str, text: str, shape: tuple[int, ...]
) -> None:
    """What the board makes of raw data is what it makes of the host's inputs: two runs."""
    graph = load_model(shared_data / model)
    tensor = graph.tensors[graph.inputs[0]]
    stream = stream_for(text, tensor, has_state=False)
    raw = np.random.default_rng(0).integers(0, 256, shape).astype(stream.front_end.element.base)
    _, data = pack(shared_data / model, BOARD, Options(front_end=text))
    (tmp_path / "model.ofr").write_bytes(data)
    image = blob_image(read(data, model), BOARD, tmp_path / "image.elf", linked=tmp_path / "model.ofr")
    with Emulator(BOARD, image.elf, timeout_s=60) as emulator, Device(emulator.url, timeout_s=60) as device:
        found = [result.outputs[0] for result in device.feed(raw)]
        rows = stream.inputs(raw).reshape(-1, *tensor.shape)
        expected = [result.outputs[0] for result in device.stream(list(rows))]
    assert len(found) == 2 and np.array_equal(found, expected)


def test_a_model_without_a_front_end(shared_data: Path, tmp_path: Path) -> None:
    board = boards.load("posix")
    _, data = pack(shared_data / "wakeword" / "alexa.tflite", board, Options())
    (tmp_path / "alexa.ofr").write_bytes(data)
    image = blob_image(read(data, "alexa"), board, tmp_path / "image.elf", linked=tmp_path / "alexa.ofr")
    with Emulator(board, image.elf, timeout_s=60) as emulator, Device(emulator.url) as device:
        assert device.info().front_end is None
        with pytest.raises(UserError, match="front end"):
            list(device.feed(np.zeros(480, np.int16)))


@pytest.fixture(scope="module", params=["mps2_an386", "microbit", "rv32_virt"])
def alone(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[boards.Board, Path]:
    """An image of front ends without a model."""
    board = boards.load(request.param)
    folder = tmp_path_factory.mktemp("features")
    kinds = [t.kind for t in TYPES]
    return board, firmware(board, folder / "image.elf", kernels=[], app=[APP], front_ends=kinds).elf


@pytest.mark.parametrize("name", STREAMS)
def test_bits_of_the_reference(alone: tuple[boards.Board, Path], name: str, tmp_path: Path) -> None:
    board, elf = alone
    stream = STREAMS[name]
    raw, block = raw_for(stream)[:4800], stream.block()
    inputs = stream.inputs(raw)
    head = struct.pack("<4I", len(block), raw.nbytes, 0, 0)
    (tmp_path / "slot").write_bytes(head + block + bytes(-len(block) % 16) + raw.tobytes())
    with Emulator(
        board, elf, loads=[(tmp_path / "slot", board.model_slot.address)], timeout_s=60
    ) as emulator:
        said = serial.serial_for_url(emulator.url, timeout=60).readline().split()
    assert [int(n) for n in said[:2]] == [len(inputs), fnv(inputs.tobytes())]
    assert board.emulator is not None
    rows = stream.window_rows + (len(inputs) - 1) * stream.hop_rows
    print(f"{name} on {board.name}: {board.emulator.instructions(int(said[2])) // rows} instructions a row")
