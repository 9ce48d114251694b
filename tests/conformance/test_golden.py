"""Real models on every emulated board, equal in every byte to TensorFlow Lite Micro's reference kernels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from offramp import boards
from offramp.frontends import load_model
from offramp.reference import Reference
from tests.pipeline import differing, outputs_on, pack_and_build, shaped

GOLDEN = [
    "kws_ref_model",
    "resnet_quant",
    "ad01_int8",
    "tinymaix_mnist_valid_q",
    "stream_alexa_on_alexa",
    "stream_vad_on_alexa",
]
FURTHER = [
    "mlperf_tiny/vww_96_int8.tflite",
    "tflm_models/person_detect.tflite",
    "tflm_models/micro_speech_quantized.tflite",
    "tflm_models/hello_world_int8.tflite",
    "tinymaix/cifar10_q.tflite",
    "wand_imu/quantized_model.tflite",
]
BIG_BOARDS = ["posix", "mps2_an385", "mps2_an386", "mps2_an500", "mps2_an505", "mps3_an547", "rv32_virt"]
SHARE, FULL = 4, None  # rows a model: in every test run, and in a soak


def targets() -> list[tuple[str, str]]:
    """Every board that holds the models, with each kernel set that its core has."""
    return [(b, k) for b in BIG_BOARDS for k in boards.load(b).kernels]


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("golden")


def check_golden(
    shared_data: Path, folder: Path, name: str, board: str, kernels: str, rows: int | None
) -> None:
    golden = np.load(shared_data / "tflm_golden" / f"{name}.npz")
    packed = pack_and_build(shared_data / str(golden["model"]), board, kernels, folder)
    inputs = shaped(packed.graph, golden["x"][:rows])
    assert differing(outputs_on(packed, inputs), [[y] for y in golden["y"][:rows]]) == []


@pytest.mark.emulator
@pytest.mark.parametrize("name", GOLDEN)
@pytest.mark.parametrize(("board", "kernels"), targets())
def test_share_of_golden_rows(shared_data: Path, folder: Path, name: str, board: str, kernels: str) -> None:
    check_golden(shared_data, folder, name, board, kernels, SHARE)


@pytest.mark.soak
@pytest.mark.emulator
@pytest.mark.parametrize("name", GOLDEN)
@pytest.mark.parametrize(("board", "kernels"), targets())
def test_all_golden_rows(shared_data: Path, folder: Path, name: str, board: str, kernels: str) -> None:
    check_golden(shared_data, folder, name, board, kernels, FULL)


@pytest.mark.emulator
@pytest.mark.parametrize("kernels", boards.load("microbit").kernels)
def test_mnist_on_microbit(shared_data: Path, folder: Path, kernels: str) -> None:
    check_golden(shared_data, folder, "tinymaix_mnist_valid_q", "microbit", kernels, FULL)


@pytest.mark.parametrize("name", [*GOLDEN])
def test_reference_equals_golden(shared_data: Path, name: str) -> None:
    golden = np.load(shared_data / "tflm_golden" / f"{name}.npz")
    reference = Reference(load_model(shared_data / str(golden["model"])))
    rows = shaped(reference.graph, golden["x"])
    assert differing([reference.run(row) for row in rows], [[y] for y in golden["y"]]) == []


@pytest.mark.emulator
@pytest.mark.parametrize("model", FURTHER)
@pytest.mark.parametrize(
    ("board", "kernels"), [("posix", "generic"), ("mps2_an386", "auto"), ("mps3_an547", "auto")]
)
def test_further_models_against_the_oracle(
    shared_data: Path, folder: Path, model: str, board: str, kernels: str
) -> None:
    micro = pytest.importorskip("tests.oracle.micro")
    packed = pack_and_build(shared_data / model, board, kernels, folder)
    tensor = packed.graph.tensors[packed.graph.inputs[0]]
    rng = np.random.default_rng(7)
    rows = shaped(packed.graph, rng.integers(-128, 128, (4, *tensor.shape), np.int64))
    expected = [micro.run((shared_data / model).read_bytes(), row) for row in rows]
    assert differing([Reference(packed.graph).run(row) for row in rows], expected) == []
    assert differing(outputs_on(packed, rows), expected) == []


@pytest.mark.parametrize("name", ["kws_ref_model", "resnet_quant", "tinymaix_mnist_valid_q"])
def test_tensor_before_softmax_equals_the_oracle(shared_data: Path, name: str) -> None:
    """A softmax saturates: the logits tell more."""
    micro = pytest.importorskip("tests.oracle.micro")
    golden = np.load(shared_data / "tflm_golden" / f"{name}.npz")
    model = shared_data / str(golden["model"])
    reference = Reference(load_model(model))
    logits = next(op.inputs[0] for op in reference.graph.ops if op.kind == "softmax")
    for row in shaped(reference.graph, golden["x"][:10]):
        expected = micro.run_all_tensors(model.read_bytes(), row)[logits]
        assert np.array_equal(reference.values(row)[logits].reshape(-1), expected.reshape(-1))


RIGHT = {40: 37, 500: 449}  # answers that agree with the labels, of the first so many inputs


@pytest.mark.emulator
@pytest.mark.parametrize("rows", [40, pytest.param(500, marks=pytest.mark.soak)])
def test_keywords_over_the_serial_line(shared_data: Path, folder: Path, rows: int) -> None:
    """MLPerf Tiny's keyword inputs through an386's UART: 449 of the 500 right, every row equal to the reference."""
    data = np.load(shared_data / "mlperf_tiny" / "kws01_first500.npz")
    packed = pack_and_build(shared_data / "mlperf_tiny/kws_ref_model.tflite", "mps2_an386", "auto", folder)
    reference = Reference(packed.graph)
    inputs = shaped(packed.graph, data["x"][:rows])
    found = outputs_on(packed, inputs)
    assert differing(found, [reference.run(row) for row in inputs]) == []
    right = sum(int(out[0].argmax()) == int(y) for out, y in zip(found, data["y"], strict=False))
    assert right == RIGHT[rows]
