"""Labelled rows for calibration, training and judging: read from a file or folder, checked, split once by a seed."""

from __future__ import annotations

import gzip
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from offramp.compress.rounding import real_values
from offramp.errors import UserError
from offramp.ir import DTYPES, Tensor
from offramp.ir.saturation import check_saturation

Array = NDArray[Any]
IMAGES = (".png", ".jpg", ".jpeg", ".bmp")


@dataclass(frozen=True)
class Rows:
    """x float32 [n, ...] in the model's real numbers, y int64 [n] or None where nothing is labelled."""

    x: Array
    y: Array | None = None

    def __len__(self) -> int:
        return len(self.x)

    def labelled(self, what: str) -> tuple[Array, Array]:
        if self.y is None:
            raise UserError(f"{what} needs labels, the data has none", "add an array y [n] of class numbers")
        return self.x, self.y

    def take(self, indices: Array | slice) -> Rows:
        return Rows(self.x[indices], None if self.y is None else self.y[indices])


@dataclass(frozen=True)
class Data:
    """Parts that share no row. `test` has chosen nothing: it is only ever judged on."""

    train: Rows
    validation: Rows
    test: Rows | None
    labels: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def judged(self) -> Rows:
        """What accuracy is reported on: the test part, or the validation part where there is none."""
        return self.test or self.validation


@dataclass(frozen=True)
class Source:
    """Where rows come from and how they become real numbers."""

    path: str  # .npz or .npy, a folder of images by class, a folder of idx files, or "digits"
    divide: float | None = None  # integers are divided by this; needed where they are not the model's own
    validation: int = 0  # rows drawn out of the training part; 0: a tenth
    seed: int = 1  # of that drawing


def load_data(source: Source, folder: Path, own: Tensor | None = None, classes: int | None = None) -> Data:
    """Reads a source; relative paths count from `folder`. UserError where it is missing, odd or unlabelled halfway.

    Integers of the type of `own`, an integer model's input, stand for real numbers as they do there, and real numbers
    far outside of its range are refused; so is a label that is none of a number of classes.
    """
    parts = read(source.path, folder)
    train = rows_of(parts, "", source, own)
    test = rows_of(parts, "_test", source, own) if "x_test" in parts else None
    labels = tuple(str(name) for name in parts["labels"]) if "labels" in parts else ()
    for rows, suffix in ((train, ""), (test, "_test")):
        if rows is not None and rows.y is not None:
            check_labels(rows.y, classes or len(labels) or None, f"{source.path}: y{suffix}")
    check_enough(train, source.path)
    order = np.random.default_rng(source.seed).permutation(len(train))
    held = source.validation or len(train) // 10
    if held >= len(train):
        raise UserError(
            f"{source.path}: validation takes {held} of {len(train)} rows, none are left to train",
            f"at most {len(train) // 2} are sensible",
        )
    warning = warning_of(train, source, own)
    return Data(train.take(np.sort(order[held:])), train.take(np.sort(order[:held])), test, labels, warning)


def read(name: str, folder: Path) -> dict[str, Array]:
    """Arrays x, y, x_test, y_test, labels, as far as the source has them."""
    if name == "digits":
        return digits()
    path = folder / name
    if path.is_dir():
        return idx_files(path) if any(path.glob("*-ubyte*")) else image_folder(path)
    if not path.exists():
        raise UserError(
            f"{path}: no such data", "name an .npz file with x and y, a folder of images by class, or digits"
        )
    return arrays(path)


def arrays(path: Path) -> dict[str, Array]:
    try:
        loaded = np.load(path, allow_pickle=False)
        found = {"x": loaded} if isinstance(loaded, np.ndarray) else {k: loaded[k] for k in loaded.files}
    except (ValueError, EOFError, OSError, zipfile.BadZipFile) as error:
        raise UserError(
            f"{path}: not a .npy or .npz file of plain arrays", "write it with numpy.savez(path, x=…, y=…)"
        ) from error
    if "x" not in found:
        raise UserError(
            f"{path}: no array x; the file has {', '.join(found) or 'nothing'}",
            "save the inputs as x [n, ...]",
        )
    return found


def digits() -> dict[str, Array]:
    """scikit-learn's 1,797 digits of 8x8 pixels in 0..16, the last 360 as the test part."""
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise UserError(
            "the data set digits comes with scikit-learn, which is not installed", "pip install scikit-learn"
        ) from error
    found = load_digits()
    x, y = found.images.astype(np.uint8)[..., None], found.target.astype(np.int64)
    names = np.array([str(n) for n in range(10)])
    return {"x": x[:-360], "y": y[:-360], "x_test": x[-360:], "y_test": y[-360:], "labels": names}


def idx_files(folder: Path) -> dict[str, Array]:
    """A folder with MNIST's four files, compressed or not."""

    def read_one(stem: str, dims: int) -> Array:
        path = next(iter(sorted(folder.glob(f"{stem}*"))), None)
        if path is None:
            raise UserError(f"{folder}: no file {stem}*", "the folder needs MNIST's four idx files")
        raw = path.read_bytes()
        raw = gzip.decompress(raw) if path.suffix == ".gz" else raw
        return np.frombuffer(raw, np.uint8, offset=4 + 4 * dims).reshape(np.frombuffer(raw, ">u4", dims, 4))

    return {
        "x": read_one("train-images", 3)[..., None],
        "y": read_one("train-labels", 1),
        "x_test": read_one("t10k-images", 3)[..., None],
        "y_test": read_one("t10k-labels", 1),
    }


def image_folder(folder: Path) -> dict[str, Array]:
    """One sub-folder a class, all images of one size."""
    classes = sorted(path for path in folder.iterdir() if path.is_dir())
    files = [(p, i) for i, c in enumerate(classes) for p in sorted(c.iterdir()) if p.suffix.lower() in IMAGES]
    if not files:
        raise UserError(
            f"{folder}: no images in folders by class", f"one folder a class, files {', '.join(IMAGES)}"
        )
    open_image = opener()
    pixels = [open_image(path) for path, _ in files]
    for (path, _), found in zip(files, pixels, strict=True):
        if found.shape != pixels[0].shape:
            raise UserError(
                f"{path}: {list(found.shape)}, the first image is {list(pixels[0].shape)}",
                "resize all images to the model's input size",
            )
    names = np.array([path.name for path in classes])
    return {"x": np.stack(pixels), "y": np.array([i for _, i in files]), "labels": names}


def opener() -> Callable[[Path], Array]:
    try:
        from PIL import Image
    except ImportError as error:
        raise UserError(
            "reading images needs Pillow, which is not installed", "pip install pillow"
        ) from error

    def read_one(path: Path) -> Array:
        pixels = np.asarray(Image.open(path))
        return pixels[..., None] if pixels.ndim == 2 else pixels

    return read_one


def rows_of(parts: dict[str, Array], suffix: str, source: Source, own: Tensor | None) -> Rows:
    x, y = parts[f"x{suffix}"], parts.get(f"y{suffix}")
    what = f"{source.path}: x{suffix}"
    if x.ndim < 2 or len(x) == 0:
        raise UserError(
            f"{what} has shape {list(x.shape)}", "the first axis is the row, then the input's shape"
        )
    real = real_rows(x, what, source, own)
    bad = ~np.isfinite(real.reshape(len(real), -1)).all(axis=1)
    if bad.any():
        raise UserError(f"{what}: row {int(bad.argmax())} holds NaN or infinity", "drop or mend such rows")
    if y is not None and (y.ndim != 1 or len(y) != len(x) or y.dtype.kind not in "iu"):
        raise UserError(
            f"{source.path}: y{suffix} is {y.dtype} {list(y.shape)}, class numbers [{len(x)}] are needed",
            "one integer from 0 on for each row of x",
        )
    return Rows(real, None if y is None else y.astype(np.int64))


def real_rows(x: Array, what: str, source: Source, own: Tensor | None) -> Array:
    """float32; UserError where it is not known what integers stand for."""
    if x.dtype.kind not in "iu" or source.divide is not None:
        return x.astype(np.float32) / np.float32(source.divide or 1)
    if own is not None and own.quantization is not None and x.dtype == DTYPES[own.dtype]:
        return real_values(x, own)
    also = f", or {np.dtype(DTYPES[own.dtype])} as its input" if own is not None else ""
    raise UserError(
        f"{what} is {x.dtype}, the model takes real numbers{also}",
        "say what to divide by: divide = 255 for pixels in 0..1, 1 where the integers are meant as they are",
    )


def warning_of(rows: Rows, source: Source, own: Tensor | None) -> tuple[str, ...]:
    """Whether an integer model's input cannot hold some of the values; UserError where they are in other units."""
    if own is None or own.quantization is None:
        return ()
    scale, zero_point = own.quantization.scale, own.quantization.zero_point
    found = check_saturation(rows.x, scale, zero_point, own.dtype, f"{source.path}: x")
    return (f"{source.path}: x: {found}",) if found is not None else ()


def check_labels(y: Array, classes: int | None, what: str) -> None:
    """UserError at the first label that is no class; where their number is unknown, that is below 0."""
    wrong = np.flatnonzero((y < 0) | (y >= classes) if classes is not None else y < 0)
    if len(wrong):
        raise UserError(
            f"{what}: label {y[wrong[0]]} of row {wrong[0]}, allowed are 0 to "
            f"{classes - 1 if classes else 'classes - 1'}: {len(wrong)} of {len(y)} labels lie outside",
            "number the classes from 0 on, in the order of the model's outputs",
        )


def check_enough(rows: Rows, path: str) -> None:
    if rows.y is not None and (len(rows) < len(np.unique(rows.y)) or len(rows) <= rows.y.max()):
        raise UserError(
            f"{path}: {len(rows)} rows for {rows.y.max() + 1} classes", "a few hundred rows a class are usual"
        )
