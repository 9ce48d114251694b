"""Motion and images against floats: the wand's recordings as its network was trained, and PyTorch's bilinear resize."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from offramp.features import Stream, stream_for
from offramp.frontends import load_model
from offramp.ir import Quantization, Tensor

Array = NDArray[Any]

COUNTS = (1000, 16.384)
"""Of a sensor, for 1 g and 1 degree a second."""


def test_motion_of_the_wand(shared_data: Path) -> None:
    folder = shared_data / "wand_imu"
    graph = load_model(folder / "quantized_model.tflite")
    tensor = graph.tensors[graph.inputs[0]]
    units = [1 / COUNTS[0] / 8] * 3 + [1 / COUNTS[1] / 4000] * 3
    stream = stream_for(f"imu:unit={'/'.join(map(repr, units))},add=0.5,hop=119", tensor, has_state=False)
    paths = sorted(folder.glob("train/*.csv"))
    off = []
    for path in paths:
        real = np.genfromtxt(path, delimiter=",", skip_header=1, invalid_raise=False)[:2000, :6]
        raw = np.clip(np.rint(real * ([COUNTS[0]] * 3 + [COUNTS[1]] * 3)), -32768, 32767).astype("<i2")
        acc, gyro = raw[:, :3] / COUNTS[0], raw[:, 3:] / COUNTS[1]
        wanted = np.concatenate([(acc + 4) / 8, (gyro + 2000) / 4000], axis=1)
        quantized = np.clip(np.floor(wanted * 255 + 0.5) - 128, -128, 127)
        off.append(np.abs(stream.front_end.rows(raw) - quantized))
    found = np.concatenate(off)
    assert len(paths) == 5 and len(found) > 5000
    assert found.max() <= 1 and np.mean(found == 0) >= 0.99


def image_stream(text: str, shape: tuple[int, ...]) -> Stream:
    return stream_for(text, Tensor("x", shape, "s8", Quantization((1 / 255,), (-128,))), has_state=False)


@pytest.mark.parametrize(
    ("size", "out", "channels"),
    [((160, 120), (96, 96), 1), ((96, 96), (96, 96), 1), ((40, 30), (96, 72), 3), ((64, 64), (32, 32), 3)],
)
def test_resize_is_bilinear(size: tuple[int, int], out: tuple[int, int], channels: int) -> None:
    torch = pytest.importorskip("torch")
    (width, height), (out_width, out_height) = size, out
    crop = f"crop_x=0,crop_y=0,crop_width={width},crop_height={height}"
    source = "rgb888" if channels == 3 else "gray8"
    stream = image_stream(
        f"image:from={source},width={width},height={height},{crop}", (1, out_height, out_width, channels)
    )
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, channels)).astype(np.uint8)
    [found] = stream.inputs(pixels).reshape(1, out_height, out_width, channels)
    planes = torch.from_numpy(pixels.astype(np.float64)).permute(2, 0, 1)[None]
    resized = torch.nn.functional.interpolate(
        planes, (out_height, out_width), mode="bilinear", align_corners=False
    )
    wanted = resized[0].permute(1, 2, 0).numpy()
    assert np.abs(found.astype(int) + 128 - wanted).max() <= 1.5
    if size == out:
        assert np.array_equal(found.astype(int) + 128, pixels)


def test_a_crop_is_the_middle_in_proportion() -> None:
    stream = image_stream("image:width=20,height=10,black=0,white=1", (1, 4, 4, 1))
    assert stream.front_end.fields()["crop_x"] == 5 and stream.front_end.fields()["crop_width"] == 10
    assert set(stream.front_end.rows(np.full(200, 255, np.uint8)).reshape(-1)) == {127}
    assert set(stream.front_end.rows(np.full(200, 0, np.uint8)).reshape(-1)) == {-128}
