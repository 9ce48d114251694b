"""Runs one test on one emulated board: what `offramp bench` and `offramp run` would say, in one record."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np

from offramp import __version__, boards
from offramp.blob.read import Blob
from offramp.cli.blob_file import blob_for
from offramp.cli.choice import Choice
from offramp.cli.inference import arrays_of, infer, on_emulator
from offramp.cli.output import progress
from offramp.cli.suite.baseline import Record
from offramp.cli.suite.settings import Case
from offramp.compress.data import check_labels
from offramp.errors import UserError
from offramp.estimate import Estimate, estimate
from offramp.ir import DTYPES
from offramp_host.comparison import figures_of
from offramp_host.device import TensorInfo
from offramp_host.measure import ROWS, measure, random_row
from offramp_host.profile import profile
from offramp_host.rows import Array, crc_of, load_arrays, read_rows


@dataclass(frozen=True)
class Ran:
    """`outputs`: each output's name and rows, of a model with exits also by which exit they left, and how sure."""

    record: Record
    outputs: Sequence[tuple[str, Array]]
    latency_error: str = ""
    """How far estimates of time were from published results; where there is a budget for time."""


def run_case(case: Case, board_name: str) -> Ran:
    """UserError where a file is missing or odd, or the model does not fit the board."""
    board = boards.must_run_here(boards.load(board_name))
    check_counted(case, board)
    blob, data = blob_for(case.path(case.model), board, case.options)
    choice = Choice.of(case.policy or None)
    plan = choice.plan_index(blob, case.path(case.model)) if choice else 0
    rows_differ = bool(blob.plans[plan].exits) or (choice is not None and choice.kind != "plan")
    check_mean(case, rows_differ)
    rows = read_rows(case.path(case.inputs), blob.inputs) if case.inputs else random_rows(blob)
    classes = math.prod(blob.outputs[0].shape)
    labels = labels_of(case, len(rows), classes) if case.accuracy is not None else None
    with progress(f"{case.name}: measuring on {board.name}"):
        found = measure(board, data, name=case.model, time_limit_s=case.time_limit, rows=rows)
    more: dict[str, float | None] = {}
    latency_error = ""
    if "latency_ms_estimate" in case.budget.limits:
        estimated = estimated_time(case, board, data, plan)
        more["latency_ms_estimate"], latency_error = estimated.latency_ms, str(estimated.latency_error)
    with on_emulator(case.path(case.model), board, blob, data, rows, case.time_limit) as bench:
        if choice is not None:
            choice.set_on(bench.device, blob, case.path(case.model))
        results = infer(bench, "carry", no_exits=False)
    outputs = arrays_of(results, blob, case.path(case.model))
    if board.emulator is not None and rows_differ:
        counts = [board.emulator.instructions(result.ticks or 0) for result in results]
        more["mean_instructions"] = round(sum(counts) / len(counts))
    run = figures_of(asdict(found), plan)
    run = replace(run, figures={**run.figures, **more}, tools={"offramp": __version__, **run.tools})
    right = accuracy(outputs[0][1], labels) if labels is not None else None
    crc = crc_of([array for _, array in outputs])
    return Ran(Record(run, len(rows), crc, right), outputs, latency_error)


def estimated_time(case: Case, board: boards.Board, data: bytes, plan: int) -> Estimate:
    """UserError where the board counts no instructions."""
    with progress(f"{case.name}: profiling on {board.name}"):
        counted = profile(board, data, name=case.model, time_limit_s=case.time_limit, plan=str(plan))
    found = estimate(board, counted.core_cycles, counted.cost.flash_bytes)
    assert found is not None  # or there were no profile
    return found


def check_counted(case: Case, board: boards.Board) -> None:
    """Refuses budgets that nothing on this board can be held against."""
    counted = [name for name in case.budget.limits if name not in ("flash_bytes", "ram_bytes")]
    if board.emulator is None and counted:
        raise UserError(
            f"test {case.name} has a budget for {counted[0]}; {board.name} does not count it",
            "choose an emulated board (`offramp boards`), or leave the budget out",
        )


def check_mean(case: Case, rows_differ: bool) -> None:
    """Refuses a budget for a mean where every run takes the same."""
    if "mean_instructions" in case.budget.limits and not rows_differ:
        raise UserError(
            f"test {case.name} has a budget for mean_instructions; {case.model} has no exits"
            + (f" in {case.policy}" if case.policy else " and no policy"),
            "every run takes the same: give a budget for instructions",
        )


def random_rows(blob: Blob) -> list[list[Array]]:
    inputs = [TensorInfo(p.shape, np.dtype(DTYPES[p.dtype]), p.bytes) for p in blob.inputs]
    return [random_row(inputs, seed) for seed in range(ROWS)]


def accuracy(scores: Array, labels: Array) -> float:
    """The share of rows whose largest output is the label's."""
    return float((scores.reshape(len(scores), -1).argmax(axis=1) == labels).mean())


def labels_of(case: Case, rows: int, classes: int) -> Array:
    """One class a row; UserError where they are missing or odd."""
    labels, what = read_labels(case), case.labels or case.inputs
    if labels.shape != (rows,):
        raise UserError(
            f"{what}: labels have shape {list(labels.shape)}, [{rows}] is needed", "one class number a row"
        )
    if labels.dtype.kind not in "iu":
        raise UserError(
            f"{what}: labels are {labels.dtype}, whole numbers are needed", "one class number a row"
        )
    check_labels(labels, classes, f"{what}: y")
    return labels


def read_labels(case: Case) -> Array:
    path = case.path(case.labels or case.inputs)
    arrays = load_arrays(path)
    if "y" not in arrays and not (case.labels and "" in arrays):
        raise UserError(
            f"{path} has no labels: {', '.join(arrays) or 'nothing'} and no y",
            'put an array y [rows] into it, or name a file with labels = "y.npy"',
        )
    return arrays["y" if "y" in arrays else ""]
