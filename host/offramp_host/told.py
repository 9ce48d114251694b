"""What a board tells of itself, its model and a run, as `Device` gives it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from offramp_host.exits import Outcome, StageInfo
from offramp_host.session import RefusedError

Array = NDArray[Any]


@dataclass(frozen=True)
class BoardInfo:
    firmware_version: str
    board: str
    compiler: str
    cmsis_nn_version: str
    """Empty if the image has no kernels of CMSIS-NN."""
    api_version: tuple[int, int]
    format_version: tuple[int, int]
    core: int
    kernels: tuple[int, ...]
    arena_bytes: int
    """Bytes of the region that a model's arena and state share."""
    slot_bytes: int
    """Room for a model sent over the link; 0 where it cannot be written."""


@dataclass(frozen=True)
class ModelInfo:
    """`source` is "linked", "slot", or "" when no model is active; `refused`: why the last load failed."""

    name: str
    source: str
    refused: RefusedError | None
    crc: int
    arena_bytes: int
    state_bytes: int
    n_steps: int
    n_plans: int


@dataclass(frozen=True)
class PlanInfo:
    """One plan of the model; `instructions` of one inference, estimated or proven, 0 if the blob does not say."""

    name: str
    instructions: int
    arena_bytes: int
    state_bytes: int
    n_steps: int
    stages: tuple[StageInfo, ...] = ()
    """One more than there are exits; empty where the firmware is built without exits."""


@dataclass(frozen=True)
class Policy:
    """What was set: the plan that a run begins with, and a cascade's margin (0 where one plan alone runs)."""

    plan: int
    margin: int


@dataclass(frozen=True)
class TensorInfo:
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    n_bytes: int


@dataclass(frozen=True)
class FrontEndInfo:
    """What makes input 0 of raw samples: an element is what may not be cut, runs are due after so many of them."""

    kind: int
    element_bytes: int
    row_bytes: int
    window_rows: int
    hop_rows: int
    rate_hz: int
    first_run: int
    next_run: int
    memory_bytes: int


@dataclass(frozen=True)
class Info:
    board: BoardInfo
    model: ModelInfo
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    plans: tuple[PlanInfo, ...]
    front_end: FrontEndInfo | None = None
    """None where the model has none or the firmware serves none."""


@dataclass(frozen=True)
class Result:
    """`exit` is None if the run went to its end; at an exit `outputs` holds its answer alone. `ticks` is None unless it
    was measured, and holds all plans that ran. `plan` gave the outputs."""

    outputs: list[Array]
    exit: int | None
    ticks: int | None
    plan: int = 0
    plans_run: int = 1
    outcome: Outcome | None = None
    """None where the firmware is built without exits."""


@dataclass(frozen=True)
class Statistics:
    """Ticks are those of the last load that was tried; `repeated` counts requests answered a second time."""

    load_ticks: int
    crc_ticks: int
    runs: int
    frames: int
    bad_frames: int
    repeated: int
    stack_bytes: int
    memory_bytes: int
    loads: int | None = None
    """Models loaded since the start; None where the firmware keeps one plan only."""
    plan_runs: tuple[int, ...] = ()
    """Runs of each plan since the load; empty where the firmware keeps one plan only."""
    exit_runs: tuple[int, ...] = ()
    """Runs of the plan since the load by exit, the last to the end; empty if the firmware has no exits."""
