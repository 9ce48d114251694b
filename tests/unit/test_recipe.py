"""Recipes and data: what is odd is named, with the way out, before any work begins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from offramp.compress.data import Source, load_data
from offramp.compress.options import QuantizeOptions
from offramp.compress.recipe import Prune, Quantize, load_recipe
from offramp.errors import UserError

HEAD = 'model = "m.ofg"\n[data]\npath = "digits"\n'


def recipe(folder: Path, text: str) -> Any:
    path = folder / "recipe.toml"
    path.write_text(text)
    return load_recipe(path)


def test_a_recipe_is_read(tmp_path: Path) -> None:
    steps = '[{do = "prune", macs = 0.5, epochs = 2}, {do = "quantize", bits = 4, layers = {head = 8}}]'
    found = recipe(tmp_path, f"{HEAD}[variant.small]\nsteps = {steps}\n")
    prune, quantize = found.variant("small").steps
    assert isinstance(prune, Prune) and prune.macs == 0.5
    assert isinstance(quantize, Quantize) and quantize.layers == {"head": 8}
    assert found.name == "recipe" and found.folder == tmp_path


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ('[variant.a]\nsteps = [{do = "quantise"}]', "do = 'quantise' is unknown", "try quantize"),
        ('[variant.a]\nsteps = [{do = "quantize", bit = 4}]', "unknown key bit", "did you mean bits"),
        ('[variant.a]\nsteps = [{do = "prune", macs = "half"}]', "macs is 'half', a number is", "correct"),
        ('[variant.a]\nsteps = [{do = "quantize", bits = true}]', "bits is True, a whole number", "correct"),
        (
            '[variant.a]\nsteps = [{do = "nested", lost_points = "0.1"}]',
            "lost_points is '0.1', a number is",
            "correct",
        ),
        (
            '[variant.a]\nsteps = [{do = "family", members = 4}]',
            "members is 4, a list of strings",
            "correct",
        ),
        (
            '[variant.a]\nsteps = [{do = "quantize", layers = 4}]',
            "layers is 4, a table of whole numbers",
            "correct",
        ),
        (
            '[variant.a]\nsteps = [{do = "exits", at = ["b", "b"]}]',
            r"variant a, step 1 \(exits\): at: b is named twice",
            "each once",
        ),
        (
            '[variant.a]\nsteps = [{do = "exits", lost_points = 0}]',
            "lost_points: 0 is no number of points above 0, up to 100",
            "270/n",
        ),
        (
            '[variant.a]\nsteps = [{do = "quantize", epochs = -1}]',
            "variant a, quantize: epochs is -1",
            "at least 0",
        ),
        (
            '[variant.a]\nsteps = [{do = "quantize", batch = 0}]',
            "variant a, quantize: batch is 0",
            "at least 1",
        ),
        (
            '[variant.a]\nsteps = [{do = "exits", hidden = -4}]',
            "variant a, exits: hidden is -4",
            "at least 0",
        ),
        ('[variant.a]\nsteps = [{do = "student", width = 0}]', "width is 0", "above 0"),
        (
            'divide = -255\n[variant.a]\nsteps = [{do = "quantize"}]',
            r"\[data\]: divide is -255",
            "above 0",
        ),
        (
            'seed = -3\n[variant.a]\nsteps = [{do = "quantize"}]',
            r"\[data\]: seed is -3",
            "at least 0",
        ),
        ("[variant.a]\nsteps = []", "no steps", "quantize"),
        ("", "no variant", "variant.NAME"),
        ('[variant.a]\nsteps = [{do = "family", members = ["b"]}]', "names b", "none"),
        ('boards = "x"\n[variant.a]\nsteps = [{do = "quantize"}]', "unknown key boards", ""),
        ("[variant.a\n", "line", "TOML"),
    ],
)
def test_an_odd_recipe_is_refused(tmp_path: Path, text: str, message: str, hint: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        recipe(tmp_path, HEAD + text + "\n")
    assert hint in caught.value.hint


def test_recipes_and_code_quantize_alike_by_default() -> None:
    """What both can say has one default, that kernels of every set serve."""
    step, options = Quantize(), QuantizeOptions()
    for name in ("bits", "per_group", "method", "bias_correction"):
        assert getattr(step, name) == getattr(options, name)
    assert not options.per_group


def test_a_variant_that_is_not_there(tmp_path: Path) -> None:
    found = recipe(tmp_path, HEAD + '[variant.small]\nsteps = [{do = "quantize"}]\n')
    with pytest.raises(UserError, match="no variant smal") as caught:
        found.variant("smal")
    assert "small" in caught.value.hint


def saved(folder: Path, **arrays: Any) -> str:
    np.savez(folder / "data.npz", **arrays)
    return "data.npz"


def test_parts_share_no_row(tmp_path: Path) -> None:
    x = np.arange(100, dtype=np.float32).reshape(100, 1)
    data = load_data(Source(saved(tmp_path, x=x, y=np.zeros(100, int)), validation=20), tmp_path)
    assert (len(data.train), len(data.validation)) == (80, 20)
    assert not set(data.train.x.ravel()) & set(data.validation.x.ravel())
    assert data.judged is data.validation


GOOD = np.zeros((10, 4), np.float32)


@pytest.mark.parametrize(
    ("arrays", "divide", "message"),
    [
        ({"z": GOOD}, None, "no array x"),
        ({"x": GOOD.astype(np.uint8)}, None, "x is uint8"),
        ({"x": np.where(np.arange(10)[:, None] == 3, np.nan, GOOD)}, None, "row 3 holds NaN"),
        ({"x": GOOD, "y": np.zeros(9, int)}, None, r"y is int64 \[9\]"),
        ({"x": GOOD, "y": np.zeros(10)}, None, "y is float64"),
        ({"x": GOOD, "y": np.full(10, -1)}, None, "label -1 of row 0"),
        (
            {"x": GOOD, "y": np.full(10, 2), "labels": np.array(["a", "b"])},
            None,
            "label 2 of row 0, allowed are 0 to 1: 10 of 10",
        ),
        ({"x": GOOD, "y": np.full(10, 40)}, None, "rows for 41 classes"),
        ({"x": np.zeros(10)}, None, r"shape \[10\]"),
    ],
)
def test_odd_data_is_refused(tmp_path: Path, arrays: Any, divide: float | None, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_data(Source(saved(tmp_path, **arrays), divide), tmp_path)


def test_missing_and_damaged_files(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such data"):
        load_data(Source("absent.npz"), tmp_path)
    (tmp_path / "bad.npz").write_bytes(b"no archive")
    with pytest.raises(UserError, match="not a"):
        load_data(Source("bad.npz"), tmp_path)


def test_more_validation_rows_than_rows(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="validation takes 10 of 10"):
        load_data(Source(saved(tmp_path, x=GOOD), validation=10), tmp_path)


def test_images_by_class(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    for name in ("cat", "dog"):
        (tmp_path / "images" / name).mkdir(parents=True)
        for i in range(10):
            image.new("L", (4, 3), i).save(tmp_path / "images" / name / f"{i}.png")
    data = load_data(Source("images", divide=255), tmp_path)
    assert data.labels == ("cat", "dog") and data.train.x.shape[1:] == (3, 4, 1)
    image.new("L", (5, 3)).save(tmp_path / "images" / "dog" / "odd.png")
    with pytest.raises(UserError, match=r"odd\.png"):
        load_data(Source("images", divide=255), tmp_path)


def test_digits() -> None:
    pytest.importorskip("sklearn")
    data = load_data(Source("digits", divide=16), Path())
    assert data.test is not None and len(data.test) == 360 and data.train.x.max() == 1.0
