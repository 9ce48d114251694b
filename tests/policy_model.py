"""What offramp_policy.h promises, in Python: the oracle of its tests, from stages' costs and every exit's answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

NO_EXIT, NO_CLASS, NO_BUDGET = 0xFF, 0xFFFF, 0xFFFFFFFF
INSTRUCTIONS, TICKS = 0, 1
OK, EXIT, DONE, E_ARGUMENT, E_BUDGET, E_COST, E_CLOCK = 0, 3, 2, -1, -28, -29, -30
A_RUN, AN_EXIT, A_STAGE, A_STEP, A_BYTE = 800, 250, 200, 60, 20
ENOUGH, FORGET_AT = 16, 64


@dataclass(frozen=True)
class Settings:
    unit: int = INSTRUCTIONS
    budget: int = 0
    energy: int = 0
    limit: int = 0
    window: int = 0
    patience_step: int = 0
    floor: int = 0
    doubt: int = 0
    doubt_runs: int = 0
    confirm: int = 0
    look: int = 0

    @property
    def watches(self) -> bool:
        return self.patience_step > 0 or self.confirm > 1


@dataclass(frozen=True)
class StageCost:
    """`head` of `whole` is the head's; both 0: unknown. `head_steps` of `n_steps`."""

    whole: int
    head: int
    n_steps: int
    head_steps: int
    answer_bytes: int


@dataclass(frozen=True)
class Row:
    """Of each exit confidence and class; of the end the class."""

    confidences: Sequence[int]
    classes: Sequence[int]


@dataclass(frozen=True)
class Ran:
    status: int
    exit: int = NO_EXIT
    confidence: int = 0
    stages: int = 0
    skipped: int = 0
    cut: bool = False
    met: bool = False
    budget: int = NO_BUDGET
    instructions: int = 0
    ticks: int = 0
    answer: int = NO_CLASS
    reported: int = NO_CLASS
    steps: int = 0


@dataclass
class Model:
    stages: Sequence[StageCost]
    thresholds: list[int]
    factor: int = 0
    """Step i takes factor * (i + 1) ticks."""
    settings: Settings = Settings()
    seen: list[int] = field(default_factory=list)
    seen_heads: list[int] = field(default_factory=list)
    looked: list[int] = field(default_factory=list)
    taken: list[int] = field(default_factory=list)
    measured: bool = False

    def __post_init__(self) -> None:
        n = len(self.stages)
        self.seen, self.seen_heads, self.looked, self.taken = ([0] * n for _ in range(4))
        self.forget()

    def forget(self) -> None:
        self.available = self.window_left = self.since_look = 0
        self.history: list[int] = []  # classes of the runs
        self.reported = NO_CLASS
        self.doubt_left = 0

    # -- costs

    def cost(self, stage: int) -> tuple[int, int]:
        s, last = self.stages[stage], stage == len(self.stages) - 1
        if self.settings.unit == TICKS:
            head = 0 if last else self.margin(self.seen_heads[stage])
            return self.margin(self.seen[stage]), head
        own = A_STAGE + A_STEP * s.n_steps + (A_BYTE * s.answer_bytes if self.settings.watches else 0)
        own += 0 if stage else A_RUN + AN_EXIT * (len(self.stages) - 1)
        return s.whole - s.head + own, s.head

    @staticmethod
    def margin(ticks: int) -> int:
        return ticks + -(-ticks // 8)

    def known(self, unit: int) -> bool:
        if unit == TICKS:
            return all(self.seen) and all(self.seen_heads[:-1])
        return all(s.whole for s in self.stages)

    def way(self, first: int, to: int) -> int:
        """From a stage's begin to a way out, heads between skipped."""
        return sum(self.cost(i)[0] for i in range(first, to + 1)) + self.cost(to)[1]

    def set(self, s: Settings) -> tuple[int, int | None]:
        """(status, least); None: any."""
        if s.unit > TICKS or (s.energy and (not s.window or s.limit < s.energy)):
            return E_ARGUMENT, 0
        if not self.known(s.unit):
            if s.budget or s.energy or s.look:
                return (E_CLOCK if s.unit == TICKS and self.measured and not self.seen[0] else E_COST), 0
            least = 0
        else:
            before, self.settings = self.settings, s
            least = self.way(0, 0)
            self.settings = before
            if s.budget and s.budget < least:
                return E_BUDGET, least
            if s.energy and s.energy // s.window < least:
                return E_BUDGET, least * s.window
        self.settings = s
        self.forget()
        return OK, least

    # -- a run

    def worth(self) -> set[int]:
        """Heads that are looked at."""
        self.since_look += 1
        n = len(self.stages) - 1
        if not self.settings.look or self.since_look >= self.settings.look:
            self.since_look = 0
            return set(range(n))
        return self.judged()[1]

    def judged(self) -> tuple[int, set[int]]:
        n = len(self.stages) - 1
        rest, found = self.cost(n)[0], set()
        for i in reversed(range(n)):
            body, head = self.cost(i)
            rate = self.taken[i] * 256 // self.looked[i] if self.looked[i] else 0
            saved = rest // 256 * rate
            if self.looked[i] < ENOUGH or saved > head:
                found.add(i)
                rest += head - saved
            rest += body
        return rest, found

    def budget(self) -> int:
        s = self.settings
        there = s.budget or NO_BUDGET
        if s.energy:
            if not self.window_left:
                self.available = min(self.available + s.energy, s.limit)
                self.window_left = s.window
            self.window_left -= 1
            there = min(there, max(self.available - self.window_left * self.way(0, 0), 0))
        return there

    def target(self, first: int, wanted: set[int], rest: int) -> int | None:
        end = next(i for i in range(first, len(self.stages)) if i in wanted or i == len(self.stages) - 1)
        if rest == NO_BUDGET:
            return end
        return max((i for i in range(first, end + 1) if self.way(first, i) <= rest), default=None)

    def run(self, row: Row, whole: bool = False) -> Ran:
        n = len(self.stages) - 1
        budget = NO_BUDGET if whole else self.budget()
        wanted = set(range(n)) if whole else self.worth()
        if whole:
            self.since_look = 0
        target = self.target(0, wanted, budget)
        if target is None and self.settings.unit == TICKS and self.seen[0] + self.seen_heads[0] <= budget:
            target = 0
        if target is None:
            return Ran(E_BUDGET, budget=budget, reported=self.reported)
        spent = ticks = steps = stages = skipped = step = 0
        stage = 0
        while True:
            for i in range(stage, target + 1):
                s = self.stages[i]
                for head in (False, True)[: 2 if i == target and i < n else 1]:
                    count = s.head_steps if head else s.n_steps - s.head_steps
                    took = sum(self.factor * (k + 1) for k in range(step, step + count))
                    seen = self.seen_heads if head else self.seen
                    seen[i] = max(seen[i], took)
                    ticks, steps, step = ticks + took, steps + count, step + count
                if i != target:
                    skipped += 1
                    step += s.head_steps
                stages += 1
                spent += self.spent(i, with_head=i == target)
            if target == n:
                return self.ended(
                    Ran(DONE, NO_EXIT, 0, stages, skipped, False), row, n, budget, spent, ticks, steps, whole
                )
            sure = not whole and self.sure(row, target)
            if not sure:
                rest = (
                    budget
                    if budget == NO_BUDGET
                    else max(budget - (ticks if self.settings.unit else spent), 0)
                )
                further = self.target(target + 1, wanted, rest)
            if sure or further is None:
                ran = Ran(EXIT, target, row.confidences[target], stages, skipped, not sure)
                return self.ended(ran, row, target, budget, spent, ticks, steps, whole)
            stage, target = target + 1, further

    def spent(self, stage: int, with_head: bool) -> int:
        before, self.settings = self.settings, replace(self.settings, unit=INSTRUCTIONS)
        body, head = self.cost(stage)
        self.settings = before
        return body + head * with_head

    def sure(self, row: Row, exit_: int) -> bool:
        s, t = self.settings, self.thresholds[exit_]
        if s.patience_step:
            last = self.history[-1] if self.history else NO_CLASS
            if row.classes[exit_] != last or self.doubt_left:
                t = min(t + s.doubt, 0xFFFF)
            else:
                repeats = (
                    next((i for i, c in enumerate(reversed(self.history)) if c != last), len(self.history))
                    - 1
                )
                t = max(t - s.patience_step * repeats, min(s.floor, t))
        found = row.confidences[exit_] >= t
        if self.looked[exit_] >= FORGET_AT:
            self.looked[exit_] //= 2
            self.taken[exit_] //= 2
        self.looked[exit_] += 1
        self.taken[exit_] += found
        return found

    def ended(
        self, ran: Ran, row: Row, way: int, budget: int, spent: int, ticks: int, steps: int, whole: bool
    ) -> Ran:
        s = self.settings
        self.measured |= whole
        cost = ticks if s.unit == TICKS else spent
        known = all(self.stages[i].whole for i in range(way + 1))
        answer = NO_CLASS
        if not whole:
            self.available = max(self.available - cost, 0)
            if s.watches:
                answer = row.classes[way]
                self.note(answer)
        return replace(
            ran,
            budget=budget,
            met=budget == NO_BUDGET or cost <= budget,
            instructions=spent if known else 0,
            ticks=ticks,
            answer=answer,
            reported=self.reported,
            steps=steps,
        )

    def note(self, found: int) -> None:
        if self.history and self.history[-1] == found:
            self.doubt_left = max(self.doubt_left - 1, 0)
        else:
            self.doubt_left = self.settings.doubt_runs
        self.history.append(found)
        if (
            set(self.history[-max(self.settings.confirm, 1) :]) == {found}
            and len(self.history) >= self.settings.confirm
        ):
            self.reported = found
