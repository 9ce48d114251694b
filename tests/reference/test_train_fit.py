"""The training loop: it learns, repeats to the bit, and names what is wrong with the data."""
# ruff: noqa: E402

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
torch.set_num_threads(1)

from offramp import ofg
from offramp.compress.train.augment import augmentation
from offramp.compress.train.fit import accuracy, fit, one_cycle, predict
from offramp.compress.train.module import initialize, to_graph, to_module
from offramp.compress.training import Training
from offramp.errors import UserError
from offramp.reference import run_all
from tests.float_nets import digits, digits_net

QUICK = Training(epochs=12, batch=32, threads=1, augment=("shift:1",))


def test_digits_from_random_weights() -> None:
    x, y, test_x, test_y = digits()
    module = to_module(initialize(digits_net(), 1), with_batch_norm=True)
    seen = list[tuple[int, int, float]]()
    history = fit(module, x, y, QUICK, progress=lambda *row: seen.append(row))
    assert history.held_out == 135 and history.rows == 1212 and len(history.epochs) == 12
    assert [row[:2] for row in seen[-2:]] == [(443, 444), (444, 444)]
    assert history.epochs[-1].loss < 0.7 < history.epochs[0].loss
    (found,) = run_all(to_graph(module), test_x)
    right = float((found.argmax(axis=1) == test_y).mean())
    print(f"digits, {QUICK.epochs} epochs: {right:.4f} of {len(test_y)}")
    assert right >= 0.95
    assert right == accuracy(module, test_x, test_y)


def test_equal_seeds_give_equal_bytes() -> None:
    x, y, _, _ = digits()

    def trained(seed: int) -> bytes:
        module = to_module(initialize(digits_net(4), 1), with_batch_norm=True)
        augment = ("shift", "mirror", "noise")
        fit(module, x, y, Training(steps=12, batch=32, threads=1, augment=augment, seed=seed))
        return ofg.dump(to_graph(module))

    assert trained(3) == trained(3) != trained(4)


def test_settings_of_pytorch_come_back() -> None:
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    x, y, _, _ = digits()
    fit(to_module(digits_net(4)), x[:64], y[:64], Training(steps=1, threads=1, optimizer="adamw"))
    assert (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()) == before


def test_learning_rate_rises_and_falls() -> None:
    rates = [one_cycle(i, 100) for i in range(100)]
    assert rates[0] == pytest.approx(0.04) and rates[20] == 1.0 and rates[-1] < 0.01
    assert rates[:21] == sorted(rates[:21]) and rates[20:] == sorted(rates[20:], reverse=True)
    assert one_cycle(0, 1) > 0


def test_augmentations_move_pixels() -> None:
    x = torch.arange(2 * 5 * 6, dtype=torch.float32).reshape(2, 5, 6, 1) + 1
    generator = torch.Generator().manual_seed(0)
    mirrored = augmentation(["mirror:1"], 4)(x, generator)
    assert torch.equal(mirrored, x.flip(2))
    moved = augmentation(["shift:1"], 4)(x, generator)
    for row, before in zip(moved, x, strict=True):
        padded = np.pad(before.numpy()[..., 0], 1)
        windows = [padded[i : i + 5, j : j + 6] for i in range(3) for j in range(3)]
        assert any(np.array_equal(row.numpy()[..., 0], window) for window in windows)
    ones = torch.ones(400, 9, 11, 3)
    erased = augmentation(["erase:4"], 4)(ones, generator)
    count = (erased == 0).all(dim=3).sum(dim=(1, 2))
    assert set(erased.unique().tolist()) == {0.0, 1.0} and count.max() == 16
    assert 0.4 < (count > 0).float().mean() < 0.6
    with pytest.raises(UserError, match="blur is unknown"):
        augmentation(["blur"], 4)
    with pytest.raises(UserError, match="is for images"):
        augmentation(["shift"], 2)
    with pytest.raises(UserError, match="no number"):
        augmentation(["shift:far"], 4)


def spoiled(x: Any, y: Any, what: str) -> tuple[Any, Any]:
    x, y = x[:100].copy(), y[:100].copy()
    if what == "nan":
        x[7, 2, 2, 0] = np.nan
    elif what == "label":
        y[3] = 10
    elif what == "few":
        x, y = x[:9], y[:9]
    elif what == "shape":
        x = x[:, :7]
    elif what == "count":
        y = y[:-1]
    return x, y


WRONG = {
    "nan": "1 of 100 rows hold NaN or infinity, first row 7",
    "label": "label 10 of row 3, the model has classes 0 to 9",
    "few": "9 samples, the model has 10 classes",
    "shape": r"shape \[7, 8, 1\], the model takes \[8, 8, 1\]",
    "count": "100 rows and labels of shape",
}


@pytest.mark.parametrize("what", WRONG)
def test_bad_data_are_named(what: str) -> None:
    x, y, _, _ = digits()
    with pytest.raises(UserError, match=WRONG[what]):
        fit(to_module(digits_net(4)), *spoiled(x, y, what))


def test_divergence_and_unknown_optimizer() -> None:
    x, y, _, _ = digits()
    with pytest.raises(UserError, match="diverged at step"):
        fit(to_module(digits_net(4)), x * 1e30, y, Training(steps=50, batch=32, rate=1e30, threads=1))
    with pytest.raises(UserError, match="optimizer lion"):
        fit(to_module(digits_net(4)), x, y, Training(optimizer="lion", threads=1))


def test_scores_stand_before_the_softmax() -> None:
    x, _, _, _ = digits()
    scores = predict(to_module(digits_net(4)), x[:3])
    assert scores.shape == (3, 10) and not np.allclose(scores.sum(axis=1), 1)


def test_missing_pytorch_is_named() -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from offramp.errors import UserError\n"
        "try:\n    import offramp.compress.train.fit\n"
        "except UserError as error: print(error.message, '|', error.hint)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "PyTorch, which is not installed | pip install 'offramp[train]'" in out
