"""`offramp monitor` over an emulated board: every row once and in order, whatever happens to the line; recordings."""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
import wave
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from offramp import boards, cli, ofg
from offramp.blob import read
from offramp.build.blob_image import blob_image
from offramp.cli.leaving import Leaving
from offramp.cli.ways import Given, ways_of
from offramp.frontends import load_model
from offramp.pack import pack
from offramp.reference import Reference
from offramp_host.device import Device
from offramp_host.emulator import Emulator
from offramp_host.monitor.events import Back, Event, Lost, Message, Reading, State
from offramp_host.monitor.maker import Options
from offramp_host.monitor.model import model_of
from offramp_host.monitor.pace import Pace
from offramp_host.monitor.settings import Settings
from offramp_host.monitor.source import open_source
from offramp_host.monitor.stream import Monitor
from offramp_host.rows import crc_of
from offramp_host.wav import read_wav
from tests import live_stand_ins, small_models
from tests.cable import Cable
from tests.digits_exits import N_FITTED, classifier, digits
from tests.families import family

pytestmark = pytest.mark.emulator

BOARD = boards.load("mps2_an386")
ROWS = 40
MONITOR = ["monitor", "m.tflite", "--board", BOARD.name, "--source", "x.npy", "--json"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with models m, m2 (other widths), d (with exits), f (three plans) and rows for them."""
    folder = tmp_path_factory.mktemp("monitor")
    (folder / "m.tflite").write_bytes(small_models.classifier())
    (folder / "m2.tflite").write_bytes(small_models.classifier(hidden=12))
    (folder / "d.ofg").write_bytes(ofg.dump(classifier()))
    rows = np.random.default_rng(3).integers(-24, 18, (ROWS, 4, 5, 1)).astype(np.int8)
    np.save(folder / "x.npy", rows)
    (folder / "f.ofg").write_bytes(ofg.dump(family()))
    np.save(folder / "f.npy", np.random.default_rng(3).integers(-128, 128, (ROWS, 12, 12, 1)).astype(np.int8))
    np.save(folder / "d.npy", digits()[0][N_FITTED : N_FITTED + ROWS])
    return folder


@pytest.fixture
def folder(made: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(made)
    return made


@pytest.fixture
def lines(folder: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., list[dict[str, Any]]]:
    """What a command line prints, a record a line."""

    def call(*arguments: str) -> list[dict[str, Any]]:
        capsys.readouterr()
        code = cli.call(arguments)
        out, err = capsys.readouterr()
        assert code == 0, err
        return [json.loads(line) for line in out.splitlines()]

    return call


@pytest.fixture
def failed(folder: Path, capsys: pytest.CaptureFixture[str]) -> Callable[[list[str]], Any]:
    """The status of a command line, its records, and its last lines on stderr."""

    def call(arguments: list[str]) -> tuple[int, list[dict[str, Any]], list[str]]:
        capsys.readouterr()
        code = cli.call(arguments)
        out, err = capsys.readouterr()
        return code, [json.loads(line) for line in out.splitlines()], err.splitlines()

    return call


N_ALEXA = 53
"""Runs that s.wav gives."""


@pytest.fixture(scope="module")
def sound(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sound")
    wake = shared_data / "wakeword"
    packing = [str(wake / "alexa.tflite"), "--board", BOARD.name, "--front-end", "micro"]
    assert cli.call(["pack", *packing, "-o", str(folder / "a.ofr")]) == 0
    with wave.open(str(wake / "alexa_test.wav")) as word, wave.open(str(folder / "s.wav"), "wb") as file:
        file.setparams(word.getparams())
        silence = bytes(2 * 8000)
        file.writeframes(silence + word.readframes(word.getnframes()) + silence)
    return folder


@pytest.fixture
def alexa(sound: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a wake word a.ofr and its sound s.wav, between half seconds of silence."""
    monkeypatch.chdir(sound)
    return sound


def expected(folder: Path, model: str = "m.tflite") -> list[str]:
    """CRC-32 of the reference's outputs for each row of x.npy."""
    reference = Reference(load_model(folder / model))
    rows = np.load(folder / "x.npy")
    return [f"{zlib.crc32(reference.run([row[None]])[0].tobytes()):08x}" for row in rows]


@pytest.mark.parametrize("n", [300, pytest.param(10_000, marks=pytest.mark.soak)])
def test_no_result_is_lost_or_reordered(
    lines: Callable[..., list[dict[str, Any]]], folder: Path, n: int
) -> None:
    found = lines(*MONITOR, "--count", str(n))
    right = expected(folder)
    assert len({*right}) > 0.9 * ROWS, "else a swap would not show"
    assert [line["row"] for line in found] == list(range(n))
    assert [line["item"] for line in found] == [f"row {i % ROWS}" for i in range(n)]
    assert [line["outputs_crc32"] for line in found] == [right[i % ROWS] for i in range(n)]
    counts = [line["instructions"] for line in found]
    assert 1.02 * min(counts) > max(counts) > 1_000
    for line in found:
        assert line["class"] == int(line["label"]) and line["confidence"] == line["scores"][0][1]
        assert line["plan"] == line["model"] and line["exit"] is None and line["latency_ms"] > 0
        assert line["line_errors"] == line["reconnects"] == 0


def test_json_ends_with_the_source_at_a_rate_too(
    lines: Callable[..., list[dict[str, Any]]], folder: Path
) -> None:
    assert [line["row"] for line in lines(*MONITOR, "--rate", "100")] == list(range(ROWS))


@pytest.mark.parametrize(
    ("model", "rows", "options"),
    [
        ("m.tflite", "x.npy", []),
        ("d.ofg", "d.npy", []),
        ("d.ofg", "d.npy", ["--thresholds", "5,200"]),
        ("d.ofg", "d.npy", ["--no-exits"]),
    ],
)
def test_a_recording_replays_to_the_same_bits(
    lines: Callable[..., list[dict[str, Any]]], folder: Path, model: str, rows: str, options: list[str]
) -> None:
    told = lines(
        *("monitor", model, "--board", BOARD.name, "--source", rows, "--json", "--record", "r.npz"), *options
    )
    assert cli.call(["run", model, "--board", BOARD.name, "--inputs", "r.npz", "-o", "y.npz", *options]) == 0
    recorded, again = np.load(folder / "r.npz"), np.load(folder / "y.npz")
    outputs = recorded["monitor/output0"]
    assert len(outputs) == ROWS == len(told)
    assert [crc_of([row]) for row in outputs] == [line["outputs_crc32"] for line in told]
    assert np.array_equal(outputs, again[again.files[0]]), "of one shape too, without the batch axis"
    assert np.array_equal(recorded[recorded.files[0]], np.load(folder / rows))
    if model == "d.ofg":
        assert np.array_equal(recorded["monitor/exit"], again["exit"])
        names = [None if i < 0 else f"exit{i}" for i in recorded["monitor/exit"]]
        assert names == [line["exit"] for line in told]


@pytest.mark.parametrize("begins_at", [0, 7])
def test_recorded_sound_replays_to_the_same_bits(
    lines: Callable[..., list[dict[str, Any]]], alexa: Path, begins_at: int
) -> None:
    """From the start, and from within the source: the front end begins anew with a recording. It ends with the pass."""
    bench = Bench(
        alexa, ["a.ofr"], "s.wav", count=60, recording=alexa / "r.npz", record_at_once=not begins_at
    )
    with bench.emulator as emulator:
        monitor = Monitor(lambda log: Device(emulator.url, on_log=log), settings=bench.settings)
        events = asked(monitor, {begins_at - 1: "record"} if begins_at else {})
    [wrote] = [e.text for e in events if isinstance(e, Message) and e.text.startswith("wrote")]
    assert "because the sound begins anew" in wrote
    recorded = np.load(alexa / "r.npz")
    n = len(recorded["monitor/output0"])
    assert n == N_ALEXA - begins_at and recorded["monitor/rate_hz"] == 16_000
    whole = recorded["monitor/output0"]
    told = [crc_of(reading.outputs) for reading in readings(events)[begins_at : begins_at + n]]
    assert [crc_of([row]) for row in whole] == told
    assert cli.call(["run", "a.ofr", "--board", BOARD.name, "--inputs", "r.npz", "-o", "y.npz"]) == 0
    again = np.load(alexa / "y.npz")
    assert np.array_equal(again[again.files[0]], whole)
    assert len(np.unique(whole)) > 2, "else a shift would not show"
    found = lines("monitor", "a.ofr", "--board", BOARD.name, "-s", "r.npz", "--json")
    assert [line["outputs_crc32"] for line in found] == told


class Bench:
    """A monitor over an emulated board with `models`, and what tests need to disturb it."""

    def __init__(self, folder: Path, models: list[str], source: str = "x.npy", **settings: Any) -> None:
        self.folder = folder
        packed = [packed_of(folder / model) for model in models]
        self.blobs = [(read(data, name), data) for data, name in zip(packed, models, strict=True)]
        (folder / "linked.ofr").write_bytes(self.blobs[0][1])
        image = blob_image(self.blobs[0][0], BOARD, folder / "m.elf", linked=folder / "linked.ofr")
        self.control = str(folder / "qmp")
        Path(self.control).unlink(missing_ok=True)
        self.emulator = Emulator(
            BOARD, image.elf, timeout_s=300, args=["-qmp", f"unix:{self.control},server=on,wait=off"]
        )
        given = Given(None, Leaving.of(None, None, None), False)
        known = {blob.crc: (blob, Path(name)) for (blob, _), name in zip(self.blobs, models, strict=True)}
        self.settings = Settings(
            models=tuple(model_of(*pair) for pair in self.blobs),
            source_for=lambda model: open_source(str(folder / source), model, Options()),
            ways_for=lambda model: ways_of(known.get(model.crc), given),
            pace=Pace(None),
            emulated=BOARD,
            **settings,
        )

    def reset_board(self) -> None:
        with socket.socket(socket.AF_UNIX) as control:
            control.connect(self.control)
            stream = control.makefile("rw")
            stream.readline()
            for command in ("qmp_capabilities", "system_reset"):
                print(json.dumps({"execute": command}), file=stream, flush=True)
                while "return" not in stream.readline():
                    pass


def packed_of(file: Path) -> bytes:
    return file.read_bytes() if file.suffix == ".ofr" else pack(file, BOARD)[1]


def readings(events: list[Event]) -> list[Reading]:
    return [event for event in events if isinstance(event, Reading)]


def assert_each_row_once(events: list[Event], right: list[str], n: int) -> None:
    found = readings(events)
    assert [reading.row for reading in found] == list(range(n))
    assert [crc_of(reading.outputs) for reading in found] == [right[i % len(right)] for i in range(n)]


def test_unplugged_in_mid_frame_and_plugged_in_again(folder: Path) -> None:
    bench = Bench(folder, ["m.tflite"], count=100)
    with bench.emulator, Cable(bench.emulator.url, folder) as cable:
        monitor = Monitor(lambda log: Device(cable.port, timeout_s=5, on_log=log), settings=bench.settings)
        events: list[Event] = []
        for event in monitor.events():
            events.append(event)
            if isinstance(event, Reading) and event.row in (20, 60):
                cable.unplug_after(37)
            if isinstance(event, Lost):
                assert not cable.is_plugged
                threading.Timer(0.6, cable.plug).start()
            if isinstance(event, Back):
                assert cable.is_plugged
    assert_each_row_once(events, expected(folder), 100)
    backs = [event for event in events if isinstance(event, Back)]
    assert len(backs) == 2 and not any(back.restarted for back in backs)
    assert readings(events)[-1].reconnects == 2


def test_board_reset_under_way(folder: Path) -> None:
    bench = Bench(folder, ["m.tflite"], count=100)
    with bench.emulator as emulator:
        monitor = Monitor(lambda log: Device(emulator.url, timeout_s=5, on_log=log), settings=bench.settings)
        events: list[Event] = []
        for event in monitor.events():
            events.append(event)
            if isinstance(event, Reading) and event.row == 30:
                bench.reset_board()
    assert_each_row_once(events, expected(folder), 100)
    [back] = [event for event in events if isinstance(event, Back)]
    assert back.restarted


@pytest.mark.parametrize(
    ("model", "rows", "commands"),
    [
        ("f.ofg", "f.npy", {10: "policy"}),
        ("d.ofg", "d.npy", {10: "threshold+", 20: "threshold+"}),
        ("d.ofg", "d.npy", {10: "threshold+", 20: "policy"}),
    ],
)
def test_a_reset_board_comes_back_to_what_was_chosen(
    folder: Path, model: str, rows: str, commands: dict[int, str]
) -> None:
    bench = Bench(folder, [model], rows, count=100)
    with bench.emulator as emulator:
        monitor = Monitor(lambda log: Device(emulator.url, timeout_s=5, on_log=log), settings=bench.settings)
        events: list[Event] = []
        for event in monitor.events():
            events.append(event)
            if isinstance(event, Reading) and event.row in commands:
                monitor.ask(commands[event.row])
            if isinstance(event, Reading) and event.row == 59:
                bench.reset_board()
    [back] = [event for event in events if isinstance(event, Back)]
    assert back.restarted
    *_, before, after = states(events)
    assert after == before != states(events)[0]
    found = [
        (reading.item, reading.plan, reading.exit, crc_of(reading.outputs)) for reading in readings(events)
    ]
    assert len(found) == 100
    assert found[80:] == found[80 - ROWS : 100 - ROWS], "rows 40 to 59 came before the reset, as chosen"


def test_an_emulator_that_was_ended_is_started_again(
    lines: Callable[..., list[dict[str, Any]]], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a board that is plugged in again: each row has its result, in order."""
    started: list[Emulator] = []
    enter = Emulator.__enter__
    monkeypatch.setattr(Emulator, "__enter__", lambda self: started.append(self) or enter(self))

    def end() -> None:
        while not started:
            time.sleep(0.05)
        time.sleep(2.0)
        started[0].kill()

    threading.Thread(target=end, daemon=True).start()
    found = lines(*MONITOR, "--loop", "--count", "150", "--rate", "30")
    right = expected(folder)
    assert [line["outputs_crc32"] for line in found] == [right[i % ROWS] for i in range(150)]
    assert len(started) == 2 and found[-1]["reconnects"] == 1


def test_board_that_stays_away_is_given_up(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bench = Bench(folder, ["m.tflite"])
    with bench.emulator, Cable(bench.emulator.url, folder) as cable:
        (folder / "m.ofr").write_bytes(bench.blobs[0][1])
        threading.Timer(3.0, cable.unplug_after, [5]).start()
        arguments = ["monitor", "m.ofr", "--port", cable.port, "--source", "x.npy", "--json", "--loop"]
        assert cli.call([*arguments, "--rate", "50", "--reconnect", "1"]) == 1
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith(("error", "hint"))]
    assert len(said) == 2 and "no such port" in said[0] and "given up" in said[0]


def asked(monitor: Monitor, commands: dict[int, str]) -> list[Event]:
    """All events, with commands given as these rows come in."""
    events: list[Event] = []
    for event in monitor.events():
        events.append(event)
        if isinstance(event, Reading) and event.row in commands:
            monitor.ask(commands[event.row])
    return events


def test_sound_goes_through_the_front_end(lines: Callable[..., list[dict[str, Any]]], alexa: Path) -> None:
    """As `run` on the same file; a second pass begins anew, and so does a board that was reset."""
    assert cli.call(["run", "a.ofr", "--board", BOARD.name, "-i", "s.wav", "-o", "a.npz"]) == 0
    answers = np.load(alexa / "a.npz")
    right = [crc_of([row]) for row in answers[answers.files[0]]]
    assert len(right) == N_ALEXA
    n = len(right) + 10
    found = lines("monitor", "a.ofr", "--board", BOARD.name, "-s", "s.wav", "--json", "--count", str(n))
    assert [line["outputs_crc32"] for line in found] == right + right[:10]


def test_a_microphone_is_as_its_sound(
    lines: Callable[..., list[dict[str, Any]]],
    failed: Callable[[list[str]], Any],
    alexa: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Until it is unplugged, which is told behind the last answer; what was recorded till then replays."""
    heard = read_wav("s.wav", "s.wav", (16,)).samples
    command = ["monitor", "a.ofr", "--board", BOARD.name, "--json"]
    right = [line["outputs_crc32"] for line in lines(*command, "--source", "s.wav")]
    monkeypatch.setitem(sys.modules, "sounddevice", live_stand_ins.sounddevice(heard))
    code, told, said = failed([*command, "--source", "mic", "--record", "mic.npz"])
    assert code == 1 and [line["outputs_crc32"] for line in told] == right
    assert "the microphone stopped" in said[-2] and said[-1].startswith("hint")
    again = lines(*command, "--source", "mic.npz")
    assert [line["outputs_crc32"] for line in again] == right


def test_a_camera_is_as_its_pictures(
    lines: Callable[..., list[dict[str, Any]]], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = np.random.default_rng(4).integers(0, 256, (6, 8, 8)).astype(np.uint8)
    (folder / "frames").mkdir()
    for i, frame in enumerate(frames):
        Image.fromarray(frame).save(folder / "frames" / f"{i}.png")
    command = ["monitor", "d.ofg", "--board", BOARD.name, "--json"]
    right = [line["outputs_crc32"] for line in lines(*command, "--source", "frames")]
    colored = [np.repeat(frame[:, :, None], 3, axis=2) for frame in frames]
    monkeypatch.setitem(sys.modules, "cv2", live_stand_ins.cv2(colored))
    told = lines(*command, "--source", "camera", "--count", "5")
    assert [line["outputs_crc32"] for line in told] == right[:5]
    assert [line["item"] for line in told] == [f"frame {i}" for i in range(5)]


def states(events: list[Event]) -> list[State]:
    return [event for event in events if isinstance(event, State)]


def test_commands_change_what_runs(folder: Path) -> None:
    """Thresholds up and down, all stages, a recording that a threshold ends; nothing of it loses a row."""
    bench = Bench(folder, ["d.ofg"], "d.npy", count=160, recording=folder / "c.npz")
    plan = {10: "threshold+", 30: "threshold-", 50: "policy", 80: "policy", 90: "record", 110: "threshold+"}
    with bench.emulator as emulator:
        monitor = Monitor(lambda log: Device(emulator.url, on_log=log), settings=bench.settings)
        events = asked(monitor, plan)
    found = readings(events)
    assert [reading.row for reading in found] == list(range(160))
    thresholds = [value for state in states(events) for value in {v for _, v in state.thresholds}]
    assert thresholds[:3] == [60, 67, 59]
    ways = list(dict.fromkeys(state.way for state in states(events)))
    assert ways == ["exits by confidence", "no exits"]
    assert all(reading.exit is None for reading in found[60:80])
    assert any(reading.exit is not None for reading in found[:50])
    [wrote] = [e.text for e in events if isinstance(e, Message) and e.text.startswith("wrote")]
    assert "because thresholds change" in wrote
    rows = np.load(folder / "c.npz")["monitor/output0"]
    assert 15 <= len(rows) <= 30
    assert [crc_of([row]) for row in rows] == [crc_of(r.outputs) for r in found][found_at(found, rows) :][
        : len(rows)
    ]


def found_at(found: list[Reading], rows: Any) -> int:
    """Where in the readings a recording begins."""
    crcs, wanted = [crc_of(r.outputs) for r in found], [crc_of([row]) for row in rows]
    return next(i for i in range(90, 120) if crcs[i : i + len(wanted)] == wanted)


def test_models_are_switched(folder: Path) -> None:
    bench = Bench(folder, ["m.tflite", "m2.tflite"], count=120)
    with bench.emulator as emulator:
        monitor = Monitor(lambda log: Device(emulator.url, on_log=log), settings=bench.settings)
        events = asked(monitor, {20: "model", 60: "model"})
    found = readings(events)
    assert [reading.row for reading in found] == list(range(120))
    right = {name: expected(folder, name) for name in ("m.tflite", "m2.tflite")}
    crcs = [crc_of(reading.outputs) for reading in found]
    assert {*crcs[:20]} <= {*right["m.tflite"]} and {*crcs[40:60]} <= {*right["m2.tflite"]}
    assert {*crcs[80:]} <= {*right["m.tflite"]}


def test_pause_stops_and_goes_on(folder: Path) -> None:
    bench = Bench(folder, ["m.tflite"], count=60)
    with bench.emulator as emulator:
        monitor = Monitor(lambda log: Device(emulator.url, on_log=log), settings=bench.settings)
        events: list[Event] = []
        for event in monitor.events():
            events.append(event)
            if isinstance(event, Reading) and event.row == 20:
                monitor.ask("pause")
            if isinstance(event, State) and event.is_paused:
                threading.Timer(0.5, monitor.ask, ["pause"]).start()
    assert_each_row_once(events, expected(folder), 60)
    assert [state.is_paused for state in states(events)] == [False, True, False]
