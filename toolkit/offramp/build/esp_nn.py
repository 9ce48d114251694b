"""Finds Espressif's ESP-NN on this machine."""

from __future__ import annotations

from offramp.build.library import Library, Wanted, find_root

SUPPORTED = ("1.2.6",)
# What the adapters call; softmax keeps a mutable global, logistic computes in floats.
FOLDERS = ("convolution", "fully_connected", "pooling")
_WANTED = Wanted(
    name="ESP-NN",
    kernels="esp_nn",
    variable="OFFRAMP_ESP_NN",
    header="include/esp_nn.h",
    wheel_folder="esp_nn/vendor/esp_nn",
    supported=SUPPORTED,
    hint="pip install bakenn==1.0.0, or set OFFRAMP_ESP_NN to a checkout of ESP-NN v1.2.6.",
    versions=(
        ("idf_component.yml", r'version: "?([\d.]+)'),
        ("BAKENN_PROVENANCE.md", r"Release version: ([\d.]+)"),
    ),
)


def find() -> Library:
    """The library with its portable and its optimized C; UserError if it is missing or has no adapter."""
    root, version = find_root(_WANTED)
    files = [path for folder in FOLDERS for path in sorted((root / "src" / folder).glob("*.c"))]
    sources = [path for path in files if path.stem.endswith(("_ansi", "_opt"))]
    return Library(root, version, tuple(sources), (root / "include", root / "src" / "common"))
