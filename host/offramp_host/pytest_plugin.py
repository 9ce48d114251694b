"""A plugin for pytest: fixtures `emulator` and `device`, a model on an emulated board or on one at a port.

def test_zeros(emulator):
    board = emulator("model.tflite", "mps2_an386")
    assert board.run(np.zeros((8, 8, 1), np.int8)).outputs[0].argmax() == 1
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:  # nothing is imported before a test asks for a board
    from offramp.boards import Board
    from offramp.plan import Options
    from offramp_host.device import Device

SECONDS_A_TEST = 600.0
DEFAULT_BOARD = "mps2_an386"


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("offramp", "models on microcontrollers")
    group.addoption(
        "--offramp-board",
        metavar="B",
        help=f"board of the fixture `emulator` where a test names none ({DEFAULT_BOARD})",
    )
    group.addoption(
        "--offramp-port",
        metavar="URL",
        help="port of the board of the fixture `device`; without it tests that take it are skipped",
    )
    parser.addini("offramp_board", "board of the fixture `emulator` where a test names none")


@pytest.fixture
def emulator(request: pytest.FixtureRequest) -> Iterator[Callable[..., Device]]:
    """emulator(MODEL, BOARD, options=Options(), time_limit_s=60.0): a Device with the model, stopped after the test.

    MODEL is a file or a blob's bytes; paths count from pytest's root folder.
    """
    from offramp import boards
    from offramp_host.loaded import started

    with ExitStack() as stack:

        def start(
            model: Path | str | bytes,
            board: str | None = None,
            *,
            options: Options | None = None,
            time_limit_s: float = 60.0,
        ) -> Device:
            chosen = board or request.config.getoption("--offramp-board")
            target = boards.must_run_here(
                boards.load(chosen or request.config.getini("offramp_board") or DEFAULT_BOARD)
            )
            data, name = blob_bytes(model, target, options, request.config.rootpath)
            return stack.enter_context(
                started(target, data, name=name, limit_s=SECONDS_A_TEST, time_limit_s=time_limit_s)
            )

        yield start


@pytest.fixture
def device(request: pytest.FixtureRequest) -> Iterator[Callable[..., Device]]:
    """device(MODEL, options=Options(), time_limit_s=60.0): a Device at --offramp-port, the model sent to it.

    A model file is packed for the board that answers; its firmware must hold the kernels (`offramp flash`).
    """
    url = request.config.getoption("--offramp-port")
    if not url:
        pytest.skip("no board: --offramp-port URL names its port")
    from offramp import boards
    from offramp_host.device import Device
    from offramp_host.loaded import send

    with ExitStack() as stack:

        def connect(
            model: Path | str | bytes, *, options: Options | None = None, time_limit_s: float = 60.0
        ) -> Device:
            found = stack.enter_context(Device(url, timeout_s=time_limit_s))
            board = boards.load(found.info().board.board)
            data, name = blob_bytes(model, board, options, request.config.rootpath)
            send(found, data, name=name)
            return found

        yield connect


def blob_bytes(
    model: Path | str | bytes, board: Board, options: Options | None, folder: Path
) -> tuple[bytes, str]:
    """A blob for the board, and what messages call it; a model file is packed."""
    from offramp.errors import UserError
    from offramp.pack import pack
    from offramp.plan import Options

    if isinstance(model, bytes):
        return model, "blob"
    path = folder / model
    if not path.is_file():
        raise UserError(f"{path} does not exist", "paths count from pytest's root folder")
    if path.suffix.lower() == ".ofr":
        return path.read_bytes(), path.name
    return pack(path, board, options or Options())[1], path.name
