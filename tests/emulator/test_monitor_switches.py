"""Model, plan, policy and thresholds are switched while a monitor runs, at its keys and on its page.

From the next row on results carry what is shown, and their bits are those of the reference."""

from __future__ import annotations

import asyncio
import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest

from offramp import boards, ofg
from offramp.cli.leaving import Leaving
from offramp.cli.place import Place, emulated
from offramp.cli.showing import serve
from offramp.cli.ways import Given, ways_of
from offramp.exits import LAST, answers
from offramp.plan import Options
from offramp.reference import run_all
from offramp_host.monitor.events import Event, Reading, State
from offramp_host.monitor.feed import Feed
from offramp_host.monitor.maker import Options as SourceOptions
from offramp_host.monitor.model import model_of
from offramp_host.monitor.pace import Pace
from offramp_host.monitor.server import Page
from offramp_host.monitor.settings import Settings
from offramp_host.monitor.source import open_source
from offramp_host.monitor.stream import Monitor
from offramp_host.monitor.view import View, Watch
from offramp_host.rows import crc_of
from tests.digits_exits import N_FITTED, classifier, digits
from tests.families import SHAPE, family

pytestmark = pytest.mark.emulator

BOARD = boards.load("mps2_an386")
ROWS = 100
MARGIN = 14
"""Of the family's own cascade, from its cheapest plan to plan 0."""
WAIT_S = 60.0
PLANS = ("plan large", "plan medium", "plan small", "cascade")
Answer = tuple[str, str | None, str]
"""Plan, exit, CRC-32 of the outputs."""


def images() -> np.ndarray:
    return np.random.default_rng(3).integers(-128, 128, (ROWS, *SHAPE[1:]), np.int8)


def figures() -> np.ndarray:
    return digits()[0][N_FITTED : N_FITTED + ROWS].reshape(ROWS, 8, 8, 1)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Place]]:
    """A folder with rows for each of the two models of the board: a family of three plans, and one with exits."""
    folder = tmp_path_factory.mktemp("switches")
    (folder / "large.ofg").write_bytes(ofg.dump(family(margin=MARGIN)))
    (folder / "exits.ofg").write_bytes(ofg.dump(replace(classifier(), name="exits")))
    np.save(folder / "large.npy", images())
    np.save(folder / "exits.npy", figures())
    files = [folder / "large.ofg", folder / "exits.ofg"]
    with emulated(files, BOARD, Options(), 30.0, lambda file, blob: None) as found:
        yield folder, found


def monitor_of(place: tuple[Path, Place]) -> Monitor:
    folder, at = place
    known = {blob.crc: (blob, file) for file, blob, _ in at.models}
    nothing = Given(None, Leaving.of(None, None, None), False)
    settings = Settings(
        models=tuple(model_of(blob, data) for _, blob, data in at.models),
        source_for=lambda m: open_source(str(folder / f"{m.name}.npy"), m, SourceOptions()),
        ways_for=lambda m: ways_of(known.get(m.crc), nothing),
        pace=Pace(None),
        emulated=BOARD,
    )
    return Monitor(at.open_device, settings)


@pytest.fixture(scope="module")
def offline() -> Callable[[State], list[Answer]]:
    """What the reference answers to each row where a state holds."""
    whole = family(margin=MARGIN)
    members = [replace(member, members=()) for member in (whole, *whole.members)]
    plans = {m.name: run_all(m, images()[:, None])[0] for m in members}
    ways = answers(classifier(), figures()[:, None])

    def by_cascade(row: int) -> str:
        second, first = np.sort(plans["small"][row].reshape(-1).astype(int))[-2:]
        return "small" if first - second >= MARGIN else "large"

    def at(state: State) -> list[Answer]:
        if state.model == "large":
            kind, _, name = state.way.partition(" ")
            names = [name if kind == "plan" else by_cascade(row) for row in range(ROWS)]
            return [(name, None, crc_of([plans[name][row]])) for row, name in enumerate(names)]
        left = ways.left([value for _, value in state.thresholds])
        left = np.full(ROWS, LAST) if state.way == "no exits" else left
        outputs = [ways.last[i] if e == LAST else ways.exits[e][i] for i, e in enumerate(left)]
        exits = [None if e == LAST else f"exit{e}" for e in left]
        return [("exits", exit_, crc_of([out])) for exit_, out in zip(exits, outputs, strict=True)]

    return at


def checked(events: list[Event], offline: Callable[[State], list[Answer]]) -> dict[tuple[str, str], int]:
    """Every row in order, each answered as the state before it says; how many came in each (model, way)."""
    counts: dict[tuple[str, str], int] = {}
    readings = 0
    for event in events:
        if isinstance(event, State):
            state, right = event, offline(event)
        elif isinstance(event, Reading):
            assert event.row == readings and event.model == state.model
            found = (event.plan, event.exit, crc_of(event.outputs))
            assert found == right[int(event.item.removeprefix("row "))], state
            assert event.instructions is not None
            readings += 1
            counts[state.model, state.way] = counts.get((state.model, state.way), 0) + 1
    return counts


def thresholds_of(events: list[Event]) -> list[tuple[int, ...]]:
    """Of the model with exits, in the order that they came."""
    states = [e for e in events if isinstance(e, State) and e.model == "exits"]
    return list(dict.fromkeys(tuple(value for _, value in state.thresholds) for state in states))


def test_offline_answers_differ(offline: Callable[[State], list[Answer]]) -> None:
    """Else what follows could not fail."""

    def state(model: str, way: str, threshold: int = 60) -> State:
        return State("", model, "", way, (("exit0", threshold), ("exit1", threshold)), False, None)

    found = [offline(state("large", way)) for way in PLANS]
    found += [offline(state("exits", "exits by confidence", t)) for t in (60, 67, 75)]
    found.append(offline(state("exits", "no exits")))
    assert len({tuple(answer) for answer in found}) == len(found)


def test_at_the_keys(place: tuple[Path, Place], offline: Callable[[State], list[Answer]]) -> None:
    app = pytest.importorskip("offramp_host.monitor.app", reason="needs Textual")
    events: list[Event] = []

    class Recorded(View):
        def take(self, event: Event) -> None:
            events.append(event)
            super().take(event)

    view = Recorded()
    monitor = monitor_of(place)

    def shows(program: Any, *parts: str) -> bool:
        texts = [str(program.query_one(f"#{name}").render()) for name in ("title", "answer", "facts")]
        return all(part in "\n".join(texts) for part in parts)

    async def wait(program: Any, pilot: Any, *parts: str) -> None:
        limit, rows = time.monotonic() + WAIT_S, view.snapshot().rows
        while not (shows(program, *parts) and view.snapshot().rows > rows + 5):
            assert time.monotonic() < limit, (parts, view.snapshot().log)
            await pilot.pause(0.1)

    async def run() -> None:
        program = app.MonitorApp(view, monitor.ask)
        async with program.run_test(size=(110, 30)) as pilot:
            await wait(program, pilot, "large on mps2_an386", "plan large")
            for plan in ("medium", "small"):
                await pilot.press("p")
                await wait(program, pilot, f"· plan {plan}", f"of plan {plan}")
            await pilot.press("p")
            await wait(program, pilot, "cascade")
            await pilot.press("p")
            await wait(program, pilot, "· plan large")
            await pilot.press("m")
            await wait(program, pilot, "exits on mps2_an386", "exits by confidence", "exit0 60, exit1 60")
            await pilot.press("+")
            await wait(program, pilot, "exit0 67, exit1 67")
            await pilot.press("p")
            await wait(program, pilot, "no exits", "exit0 67, exit1 67")
            await pilot.press("p")
            await wait(program, pilot, "exits by confidence", "exit0 67, exit1 67")
            await pilot.press("+")
            await wait(program, pilot, "exit0 75, exit1 75")
            await pilot.press("m")
            await wait(program, pilot, "large on mps2_an386", "plan large")
            await pilot.press("q")

    watch = Watch(monitor.events(), view)
    try:
        asyncio.run(run())
    finally:
        monitor.ask("quit")
        watch.join(WAIT_S)
    assert watch.failure is None
    counts = checked(events, offline)
    expected = [("large", way) for way in PLANS] + [("exits", "exits by confidence"), ("exits", "no exits")]
    assert sorted(counts) == sorted(expected) and min(counts.values()) >= 5
    assert thresholds_of(events) == [(60, 60), (67, 67), (75, 75)]


class Reader:
    """A page's reader: what it is sent, and what it asks."""

    def __init__(self, page: Page) -> None:
        self._port = urlsplit(page.url).port or 0
        self.messages: list[dict[str, Any]] = []
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def join(self) -> list[dict[str, Any]]:
        """All results."""
        self._thread.join(WAIT_S)
        assert all(message["dropped"] == 0 for message in self.messages)
        return [result for message in self.messages for result in message["results"]]

    def ask(self, command: str) -> None:
        line = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
        line.request("POST", "/ask", command, {"X-Offramp": "monitor"})
        assert line.getresponse().status == 200
        line.close()

    def wait(self, model: str, way: str, thresholds: tuple[int, ...] = ()) -> None:
        """Until the page shows this, and results with it."""
        limit, with_it = time.monotonic() + WAIT_S, 0
        at = len(self.messages)
        while with_it < 5:
            assert time.monotonic() < limit, self.messages[-1:]
            time.sleep(0.05)
            new, at = self.messages[at:], len(self.messages)
            for message in new:
                seen = message["seen"]
                shown = seen["model"], seen["way"], tuple(value for _, value in seen["thresholds"])
                with_it = with_it + len(message["results"]) if shown == (model, way, thresholds) else 0

    def _read(self) -> None:
        line = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        line.request("GET", "/events")
        for text in line.getresponse():
            if text.startswith(b"data: "):
                self.messages.append(json.loads(text[6:]))


@contextmanager
def served(monitor: Monitor, events: list[Event]) -> Iterator[Reader]:
    """`offramp monitor --web --json`, and a reader of its page."""

    class Recorded(Feed):
        def take(self, event: Event) -> None:
            events.append(event)
            super().take(event)

    page = Page(Recorded(), port=0)
    thread = threading.Thread(target=serve, args=(monitor, page, True), daemon=True)
    thread.start()
    try:
        yield Reader(page)
    finally:
        monitor.ask("quit")
        thread.join(WAIT_S)


def test_on_the_page(
    place: tuple[Path, Place],
    offline: Callable[[State], list[Answer]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What its readers are sent and what --json prints is one stream, which the switches do not tear."""
    events: list[Event] = []
    with served(monitor_of(place), events) as reader:
        reader.wait("large", "plan large")
        for way in (*PLANS[1:], PLANS[0]):
            reader.ask("policy")
            reader.wait("large", way)
        reader.ask("model")
        reader.wait("exits", "exits by confidence", (60, 60))
        reader.ask("threshold-")
        reader.wait("exits", "exits by confidence", (53, 53))
        reader.ask("policy")
        reader.wait("exits", "no exits", (53, 53))
        reader.ask("model")
        reader.wait("large", "plan large")
    sent = reader.join()
    counts = checked(events, offline)
    expected = [("large", way) for way in PLANS] + [("exits", "exits by confidence"), ("exits", "no exits")]
    assert sorted(counts) == sorted(expected)
    told = [event.as_json() for event in events if isinstance(event, Reading)]
    assert [json.loads(text) for text in capsys.readouterr().out.splitlines()] == told
    assert sent == told
    assert thresholds_of(events) == [(60, 60), (53, 53)]
