"""The board in tests of your own: `pytest` emulates one, `pytest --offramp-port URL` takes a real one too."""

from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
ROWS = np.load(HERE / "rows.npz")


def answers(board):
    return [result.outputs[0].argmax() for result in board.stream(ROWS["x"])]


def test_every_digit_is_read(emulator):
    assert answers(emulator(HERE / "digits.ofg", "mps2_an386")) == list(ROWS["y"])


def test_the_board_reads_them_too(device):
    assert answers(device(HERE / "digits.ofg")) == list(ROWS["y"])
