"""Train, quantize to int8 and measure the Fashion-MNIST classifier; writes every artefact of this folder."""

from __future__ import annotations

import argparse
import io
import json
import math
import os
import time
from pathlib import Path

import numpy as np
import tflite
import torch
import torch.nn.functional as F
from images import as_float, augment, read_idx
from network import LAYERS, Layer, Net
from tflite_micro import runtime
from write_tflite import Operator, Tensor, write_tflite

HERE = Path(__file__).resolve().parent
LABELS = [
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
]
SEED = 1
THREADS = 2  # sums are split by thread, so the count is part of what makes a run repeatable
VALIDATION_SAMPLES = 5000
CALIBRATION_SAMPLES = 2000
TEST_IMAGES = 200
BATCH = 128
EPOCHS = 30
PEAK_LEARNING_RATE = 0.2
WEIGHT_DECAY = 2e-4
LABEL_SMOOTHING = 0.05


def train(net: Net, images: torch.Tensor, labels: torch.Tensor, epochs: int) -> None:
    generator = torch.Generator().manual_seed(SEED)
    steps = len(images) // BATCH
    optimizer = torch.optim.SGD(
        net.parameters(), PEAK_LEARNING_RATE, momentum=0.9, weight_decay=WEIGHT_DECAY, nesterov=True
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, PEAK_LEARNING_RATE, total_steps=epochs * steps, pct_start=0.2
    )
    net.train()
    start = time.monotonic()
    for epoch in range(epochs):
        order = torch.randperm(len(images), generator=generator)
        total = 0.0
        for step in range(steps):
            batch = order[step * BATCH : (step + 1) * BATCH]
            logits = net(augment(images[batch], generator))["logits"]
            loss = F.cross_entropy(logits, labels[batch], label_smoothing=LABEL_SMOOTHING)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
        seconds = time.monotonic() - start
        print(f"epoch {epoch + 1}/{epochs} loss {total / steps:.4f} {seconds:.0f} s", flush=True)
    net.eval()


@torch.no_grad()
def float_accuracy(net: Net, images: torch.Tensor, labels: np.ndarray) -> float:
    logits = torch.cat([net(part)["logits"] for part in images.split(500)])
    return float((logits.argmax(1).numpy() == labels).mean())


@torch.no_grad()
def activation_ranges(net: Net, images: torch.Tensor) -> dict[str, tuple[float, float]]:
    """The smallest and the largest value of each layer's output over `images`, zero always inside."""
    parts = [net(part) for part in images.split(500)]
    return {
        layer.name: (
            min(0.0, *(float(p[layer.name].min()) for p in parts)),
            max(0.0, *(float(p[layer.name].max()) for p in parts)),
        )
        for layer in LAYERS
    }


def quantize(net: Net, ranges: dict[str, tuple[float, float]]) -> bytes:
    """The int8 model: per-channel symmetric weights, per-tensor asymmetric activations, int32 biases."""
    tensors = {"image": Tensor("image", (1, 28, 28, 1), np.array([1 / 255]), -128)}
    operators = []
    for layer in LAYERS:
        source = tensors[layer.inputs[0]]
        extra: list[Tensor] = []
        if layer.weights:
            extra = quantized_parameters(net, layer, source)
        elif layer.kind == "reshape":
            extra = [Tensor(f"{layer.name}/shape", (2,), data=np.array(layer.shape, np.int32))]
        tensors |= {tensor.name: tensor for tensor in extra}
        tensors[layer.name] = output_tensor(layer, source, *ranges[layer.name])
        operators.append(operator(layer, (*layer.inputs, *(tensor.name for tensor in extra))))
    description = "Fashion-MNIST classifier, int8"
    return write_tflite(list(tensors.values()), operators, "image", "probabilities", description)


def output_tensor(layer: Layer, source: Tensor, low: float, high: float) -> Tensor:
    """By specification softmax has 1/256 and -128, an average or a reshape its input's quantization."""
    if layer.kind in ("pool", "reshape"):
        return Tensor(layer.name, layer.shape, source.scale, source.zero_point)
    if layer.kind == "softmax":
        return Tensor(layer.name, layer.shape, np.array([1 / 256]), -128)
    scale = (high - low) / 255
    return Tensor(layer.name, layer.shape, np.array([scale]), round(-128 - low / scale))


def quantized_parameters(net: Net, layer: Layer, source: Tensor) -> list[Tensor]:
    """Weights int8 and bias int32. A dense layer has one scale, which is what every runtime supports."""
    weights, bias = net.folded(layer)
    axis = 3 if layer.kind == "depthwise" else 0
    reduced = tuple(i for i in range(weights.ndim) if i != axis or layer.kind == "dense")
    scale = np.float32(np.maximum(np.abs(weights).max(axis=reduced, keepdims=True), 1e-6) / 127)
    values = np.clip(np.rint(weights / scale), -127, 127).astype(np.int8)
    bias_scale = scale.ravel() * np.float32(source.scale[0])
    biases = np.rint(bias / bias_scale).astype(np.int32)
    return [
        Tensor(f"{layer.name}/weights", values.shape, scale.ravel(), 0, axis, values),
        Tensor(f"{layer.name}/bias", biases.shape, bias_scale, 0, 0, biases),
    ]


def operator(layer: Layer, inputs: tuple[str, ...]) -> Operator:
    """Versions are the lowest that define the int8 form of the operator."""
    activation = {"FusedActivationFunction": int(layer.relu)}
    stride = {"StrideH": layer.stride, "StrideW": layer.stride}
    window = {"FilterHeight": layer.kernel, "FilterWidth": layer.kernel}
    dilation = {"DilationHFactor": 1, "DilationWFactor": 1}
    kind, options_kind, options, version = {
        "conv": ("CONV_2D", "Conv2DOptions", stride | dilation | activation, 3),
        "depthwise": (
            "DEPTHWISE_CONV_2D",
            "DepthwiseConv2DOptions",
            stride | dilation | activation | {"DepthMultiplier": 1},
            3,
        ),
        "add": ("ADD", "AddOptions", activation, 2),
        "pool": ("AVERAGE_POOL_2D", "Pool2DOptions", stride | window | {"Padding": tflite.Padding.VALID}, 2),
        "reshape": ("RESHAPE", "ReshapeOptions", {"NewShape": layer.shape}, 1),
        "dense": ("FULLY_CONNECTED", "FullyConnectedOptions", activation, 4),
        "softmax": ("SOFTMAX", "SoftmaxOptions", {"Beta": 1.0}, 2),
    }[layer.kind]
    return Operator(kind, inputs, layer.name, options_kind, options, version)


def int8_accuracy(model: bytes, images: np.ndarray, labels: np.ndarray) -> float:
    """Through TensorFlow Lite Micro's reference kernels; a tie goes to the lower label."""
    interpreter = runtime.Interpreter.from_bytes(model)
    right = 0
    for image, label in zip(as_input(images), labels, strict=True):
        interpreter.set_input(image[None], 0)
        interpreter.invoke()
        right += int(interpreter.get_output(0).argmax() == label)
    return right / len(labels)


def as_input(images: np.ndarray) -> np.ndarray:
    """Pixels as the model takes them: int8 = pixel - 128."""
    return (images.astype(np.int16) - 128).astype(np.int8)[..., None]


def standard_error(accuracy: float, samples: int) -> float:
    return math.sqrt(accuracy * (1 - accuracy) / samples)


def write_atomically(path: Path, data: bytes) -> None:
    beside = path.with_name(path.name + ".new")
    beside.write_bytes(data)
    os.replace(beside, path)


def write_test_images(path: Path, images: np.ndarray, labels: np.ndarray) -> None:
    archive = io.BytesIO()
    np.savez_compressed(archive, x=as_input(images), y=labels, labels=np.array(LABELS))
    write_atomically(path, archive.getvalue())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=HERE, help="folder to write to (default: this file's)")
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    arguments = parser.parse_args()
    torch.manual_seed(SEED)
    torch.set_num_threads(THREADS)
    torch.use_deterministic_algorithms(True)
    arguments.out.mkdir(parents=True, exist_ok=True)
    images, labels = read_idx("train-images-idx3-ubyte.gz"), read_idx("train-labels-idx1-ubyte.gz")
    order = np.random.default_rng(SEED).permutation(len(images))
    held_out, kept = order[:VALIDATION_SAMPLES], order[VALIDATION_SAMPLES:]

    net = Net().to(memory_format=torch.channels_last)
    train(net, as_float(images[kept]), torch.from_numpy(labels[kept].astype(np.int64)), arguments.epochs)
    model = quantize(net, activation_ranges(net, as_float(images[kept[:CALIBRATION_SAMPLES]])))
    report("validation", net, model, images[held_out], labels[held_out])

    images, labels = read_idx("t10k-images-idx3-ubyte.gz"), read_idx("t10k-labels-idx1-ubyte.gz")
    accuracy = report("test", net, model, images, labels)
    card = {
        "variant": "int8",
        "accuracy": accuracy,
        "stderr": round(standard_error(accuracy, len(images)), 5),
        "samples": len(images),
        "weight_bytes": sum(layer.weights + 4 * layer.biases for layer in LAYERS),
        "macs": sum(layer.macs for layer in LAYERS),
    }
    write_atomically(arguments.out / "fashion_mnist_int8.tflite", model)
    write_atomically(arguments.out / "card.json", (json.dumps([card], indent=2) + "\n").encode())
    write_test_images(arguments.out / "test_images.npz", images[:TEST_IMAGES], labels[:TEST_IMAGES])


def report(part: str, net: Net, model: bytes, images: np.ndarray, labels: np.ndarray) -> float:
    """Print both accuracies on one part of the data and return the int8 one."""
    floating, integer = float_accuracy(net, as_float(images), labels), int8_accuracy(model, images, labels)
    for name, accuracy in (("float", floating), ("int8", integer)):
        error = standard_error(accuracy, len(images))
        print(f"{part} {name}: {100 * accuracy:.2f} +- {100 * error:.2f} % of {len(images)}", flush=True)
    return integer


if __name__ == "__main__":
    main()
