"""Which board and which variant of a model keep to limits: packed for each board, judged by estimates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from offramp.boards import Board
from offramp.build.memory_map import FIRMWARE_DATA_BYTES, room
from offramp.errors import UserError
from offramp.estimate import Duty, Estimate, Uncertainty, average_ma, battery_days, estimate
from offramp.ir import Graph
from offramp.pack import pack
from offramp.plan import Options, Plan
from offramp.plan.cost import cost_table

FIRMWARE_BYTES = 11_400
"""Start-up, runtime and link without kernels: the most that an image for one plan without exits has."""
EXITS_BYTES, PLANS_BYTES = 7_000, 3_500
"""What images for exits, and for several plans, have beside these: the most that was measured, on RISC-V."""
Verdict = Literal["yes", "perhaps", "no", "unknown"]


@dataclass(frozen=True)
class Limits:
    """What must be kept; None: anything goes. Flash and RAM are bytes that image with model, and all data, take."""

    latency_ms: float | None = None
    energy_uj: float | None = None
    flash_bytes: int | None = None
    ram_bytes: int | None = None


@dataclass(frozen=True)
class Variant:
    """One compression of a model. `mean_share`: of the longest run's instructions that a mean run takes, with exits."""

    name: str
    graph: Graph
    accuracy: float | None = None
    mean_share: float = 1.0


@dataclass(frozen=True)
class Answer:
    """How a variant does on a board. Latency is the longest run's, energy and current a mean run's; all estimates.

    `verdict`: perhaps, where an estimate's measured error reaches across a limit; unknown, where one cannot be had.
    """

    variant: str
    board: str
    verdict: Verdict
    why: Sequence[str]
    accuracy: float | None
    flash_bytes: int | None = None
    ram_bytes: int | None = None
    instructions: int | None = None
    latency_ms: float | None = None
    latency_error: str = ""
    energy_uj: float | None = None
    energy_error: str = ""
    latency_range_ms: tuple[float, float] | None = None
    """Where it lies if the estimate errs as others did."""
    energy_range_uj: tuple[float, float] | None = None
    flash_room_bytes: int | None = None
    """What the board has."""
    ram_room_bytes: int | None = None
    mean_ma: float | None = None
    battery_days: float | None = None


@dataclass
class _Reasons:
    """Verdicts on each limit, with what a person should know of them."""

    texts: list[str] = field(default_factory=list)
    verdicts: set[Verdict] = field(default_factory=set)

    def say(self, verdict: Verdict, text: str) -> None:
        self.verdicts.add(verdict)
        self.texts.append(text)

    @property
    def verdict(self) -> Verdict:
        order: tuple[Verdict, ...] = ("no", "unknown", "perhaps")
        return next((v for v in order if v in self.verdicts), "yes")

    def bytes(self, what: str, wanted: int, allowed: int, by: str) -> None:
        """No, where more is wanted than is allowed."""
        if wanted > allowed:
            self.say("no", f"{what} {wanted:,} of {allowed:,} bytes {by}")

    def estimate(self, value: float | None, error: Uncertainty, limit: float | None, unit: str) -> None:
        """Perhaps, where the error reaches across the limit; None: no estimate, or no limit."""
        if limit is None:
            return
        if value is None:
            self.say("unknown", f"no estimate in {unit}")
            return
        low, high = error.interval(value)
        text = f"{digits(value)} of {digits(limit)} {unit}"
        if value > limit:
            self.say("perhaps" if low <= limit else "no", text)
        elif high > limit:
            self.say("perhaps", f"{text}, by the error up to {digits(high)}")


def digits(value: float) -> str:
    """Three, and all of a large number's."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def advise(
    variant: Variant, board: Board, limits: Limits, duty: Duty | None = None, battery_mah: float | None = None
) -> Answer:
    """`duty` gives the mean current, `battery_mah` with it days."""
    try:
        plan, blob = pack(variant.graph, board, Options())
    except UserError as error:
        why = error.message.split("; ")[0].removeprefix(f"{variant.graph.name} ")
        return Answer(variant.name, board.name, "no", [why], variant.accuracy)
    found = estimate(board, plan.cost.cycles, plan.cost.flash_bytes) if plan.cost else None
    flash, ram = flash_bytes(plan, len(blob)), ram_bytes(board, plan)
    reasons = _Reasons()
    places, allowed = room(board)
    reasons.bytes("flash", flash, places, "that the board has")
    reasons.bytes("RAM", ram, allowed, "that the board has")
    reasons.bytes("flash", flash, limits.flash_bytes or flash, "allowed")
    reasons.bytes("RAM", ram, limits.ram_bytes or ram, "allowed")
    if found is None and (limits.latency_ms is not None or limits.energy_uj is not None or duty is not None):
        reasons.say("unknown", f"no cycle model of {board.core.name}")
    energy = judge_time_and_energy(found, variant.mean_share, limits, reasons)
    mean_ma = current(board, found, variant, duty, reasons)
    return Answer(
        variant.name,
        board.name,
        reasons.verdict,
        reasons.texts,
        variant.accuracy,
        flash,
        ram,
        plan.instructions or None,
        mean_ma=mean_ma,
        battery_days=battery_days(battery_mah, mean_ma) if battery_mah and mean_ma else None,
        flash_room_bytes=places,
        ram_room_bytes=allowed,
        **(of_estimate(found, energy) if found else {}),
    )


def of_estimate(found: Estimate, energy_uj: float | None) -> dict[str, Any]:
    """The answer's fields of time and energy."""
    told = {
        "latency_ms": found.latency_ms,
        "latency_error": str(found.latency_error),
        "latency_range_ms": found.latency_error.interval(found.latency_ms),
    }
    if energy_uj is None:
        return told
    return told | {
        "energy_uj": energy_uj,
        "energy_error": str(found.energy_error),
        "energy_range_uj": found.energy_error.interval(energy_uj),
    }


def judge_time_and_energy(
    found: Estimate | None, mean_share: float, limits: Limits, reasons: _Reasons
) -> float | None:
    """Says what is to be said, and gives the energy of a mean run."""
    if found is None:
        return None
    energy = found.energy_uj * mean_share if found.energy_uj is not None else None
    reasons.estimate(found.latency_ms, found.latency_error, limits.latency_ms, "ms")
    reasons.estimate(energy, found.energy_error, limits.energy_uj, "µJ")
    if found.lower_bound:
        reasons.say("yes" if limits.latency_ms is None else "perhaps", found.lower_bound)
    return energy


def current(
    board: Board, found: Estimate | None, variant: Variant, duty: Duty | None, reasons: _Reasons
) -> float | None:
    """Mean milliamperes of a period; the longest run must fit in it, on boards without currents too."""
    if duty is None or found is None:
        return None
    left = f"ms that a period of {digits(duty.period_ms)} ms leaves"
    reasons.estimate(found.latency_ms, found.latency_error, duty.room_ms, left)
    if found.latency_ms > duty.room_ms:
        return None
    return average_ma(board, found.latency_ms * variant.mean_share, duty)


def flash_bytes(plan: Plan, blob_bytes: int) -> int:
    """Of an image with its model: estimated, `offramp build` measures."""
    kernels = dict.fromkeys(
        step.kernel for each in plan.every for step in each.steps
    )  # the same sum each time
    more = EXITS_BYTES * any(each.exits for each in plan.every) + PLANS_BYTES * (len(plan.every) > 1)
    return blob_bytes + cost_table(plan.core).code_bytes(kernels) + FIRMWARE_BYTES + more


def ram_bytes(board: Board, plan: Plan) -> int:
    """Arena and state, with stack and the firmware's data where they share the region."""
    model = max(p.arena_bytes for p in plan.every) + sum(p.state_bytes for p in plan.every)
    return model + (board.stack_bytes + FIRMWARE_DATA_BYTES if board.data == board.arena else 0)


def best_first(answers: Sequence[Answer]) -> list[Answer]:
    """By verdict, then accuracy, then energy, then latency."""
    order: Mapping[Verdict, int] = {"yes": 0, "perhaps": 1, "unknown": 2, "no": 3}

    def rank(a: Answer) -> Any:
        worst = float("inf")
        figures = (worst if v is None else v for v in (a.energy_uj, a.latency_ms))
        return order[a.verdict], -(a.accuracy or 0.0), *figures, a.board

    return sorted(answers, key=rank)
