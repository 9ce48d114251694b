"""MLPerf Tiny's protocol on the firmware: a written conversation cut anywhere, frames between, hostile bytes."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from offramp import boards, resources
from offramp.blob import read
from offramp.boards import Board
from offramp.build import Source, Sources, build
from offramp.build.firmware import kernel_table, kernels_named
from offramp.build.mlperf import defines
from offramp_host import link, mlperf
from offramp_host.emulator import Emulator
from offramp_host.link import Code, Frame, Kind
from offramp_host.mlperf import TextDevice
from offramp_host.port import Port, open_port
from tests.mlperf.app import MODELS, TRANSCRIPT, Line, blob_of, image_of, sides
from tests.unit.test_link_fuzz import FLAGS

FUZZ = Path(__file__).parents[1] / "fuzz"
APP = resources.root() / "firmware" / "app"
KWS_BYTES = 490
BOARDS = [
    "posix",
    pytest.param("mps2_an386", marks=pytest.mark.emulator),
    *(
        pytest.param(name, marks=[pytest.mark.emulator, pytest.mark.soak])
        for name in ("microbit", "rv32_virt", "mps3_an547")
    ),
]


def in_process(folder: Path) -> Sources:
    """The whole application but main.c and the port, with the small kws01 model, which a test's port hands out."""
    blob = blob_of(MODELS["kws01"](), "posix", folder)
    found, board = read(blob.read_bytes(), blob), boards.load("posix")
    source = folder / "linked.c"
    data = blob.read_bytes()
    source.write_text(
        kernel_table(board, kernels_named(found.kernels))
        + f"_Alignas(16) const uint8_t linked_model[] = {{{','.join(map(str, data))}}};\n"
        + f"const uint32_t linked_model_bytes = {len(data)};\n"
    )
    firmware = resources.root() / "firmware"
    files = [path for path in sorted(APP.glob("*.c")) if path.name != "main.c"]
    files += [*sorted((firmware / "src").glob("*.c")), source]
    files += [firmware / "kernels" / f"{name}.c" for name in found.kernels]
    return Sources(
        tuple(Source(path, "application") for path in files),
        (*(firmware / name for name in ("include", "src", "kernels", "port", "app")), FUZZ),
        (("APP_BOARD", '"posix"'), ("APP_PLANS", 1), ("OFR_EXITS", 0), *defines(found, board)),
    )


def test_cut_at_every_byte(tmp_path: Path) -> None:
    """The conversation cut in two at each byte, in parts of each size, and whole: always the same answers."""
    host, board = sides(TRANSCRIPT.read_text())
    (tmp_path / "host").write_bytes(host)
    (tmp_path / "board").write_bytes(b"".join(board))
    sources = in_process(tmp_path) + Sources((Source(Path(__file__).parent / "replay.c", "application"),))
    program = build(boards.load("posix"), sources, tmp_path / "replay").elf
    done = subprocess.run(
        [program, tmp_path / "host", tmp_path / "board"], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert int(done.stdout) == len(host) + 1 + 64


@pytest.mark.parametrize("runs", [6_000, pytest.param(1_000_000, marks=pytest.mark.soak)])
def test_fuzz(tmp_path: Path, runs: int) -> None:
    clang = shutil.which("clang")
    if clang is None:
        pytest.skip("needs clang (apt-get install clang)")
    sources = in_process(tmp_path)
    files = [str(file.path) for file in sources.files]
    flags = [*FLAGS, *(f"-I{folder}" for folder in sources.include_dirs)]
    flags += [f"-D{name}={value}" for name, value in sources.defines]
    program = tmp_path / "fuzz"
    subprocess.run([clang, *flags, *files, str(FUZZ / "mlperf_fuzz.c"), "-o", str(program)], check=True)
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    host, _ = sides(TRANSCRIPT.read_text())
    for i, seed in enumerate([host, b"name%profile%", b"\0\1\2%name%"]):
        (corpus / f"{i}").write_bytes(seed)
    command = [program, "-seed=1", f"-runs={runs}", "-max_len=4096", "-timeout=20", str(corpus)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=3600)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.fixture(scope="module", params=BOARDS)
def image(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Board, Path]:
    folder = tmp_path_factory.mktemp(request.param)
    return boards.load(request.param), image_of(
        blob_of(MODELS["kws01"](), request.param, folder), request.param
    ).elf


@pytest.fixture
def emulator(image: tuple[Board, Path]) -> Emulator:
    """Not started."""
    return Emulator(*image, timeout_s=300)


@pytest.fixture
def line(emulator: Emulator) -> Iterator[Line]:
    with emulator, Line(emulator.url) as found:
        found.hear(f" on {emulator.board.name}\r\n".encode())
        yield found


def on_board(text: str, board: str) -> str:
    return text.replace("[posix]", f"[{board}]")


def untimed(said: bytes) -> bytes:
    """With all times 0, as on a board without a counter."""
    return re.sub(rb"m-lap-us-\d+", b"m-lap-us-0", said)


@pytest.mark.parametrize("merged", [False, True])
def test_transcript(emulator: Emulator, line: Line, merged: bool) -> None:
    """All commands at once overflow no buffer; a person's line ends change nothing."""
    host, board = sides(on_board(TRANSCRIPT.read_text(), emulator.board.name))
    if merged:
        line.say(host)
        assert untimed(b"".join(line.hear(b"m-ready\r\n") for _ in board)) == b"".join(board)
        return
    for command, answer in zip(host.split(b"%")[:-1], board, strict=True):
        assert untimed(line.ask(b"\r\n" + command)) == answer, command


@pytest.mark.parametrize("noise", [b"\0", b"\0\0\0", b"db 00\0", b"\xff\xff\0", b"\0\1\0", b"\0\2\1\0"])
def test_a_stray_zero_costs_no_command(emulator: Emulator, line: Line, noise: bytes) -> None:
    """As breaks of a line put them there: a runner sends a command once, and gives up on a board that is silent."""
    host, board = sides(on_board(TRANSCRIPT.read_text(), emulator.board.name))
    for command, answer in zip(host.split(b"%")[:-1], board, strict=True):
        if command:  # a % alone behind a zero waits for another byte
            assert untimed(line.ask(noise + command)) == answer, command


def frames(line: Line, *requests: tuple[Code, bytes]) -> list[Frame]:
    """The replies of a session of its own."""
    decoder, found = link.Decoder(), list[Frame]()
    all_of = [(Code.HELLO, b"\1\2\3\4"), *requests]
    for i, (code, payload) in enumerate(all_of):
        line.say(link.encode(Frame(Kind.REQUEST, code, i, payload)))
    while len(found) < len(all_of):
        line.hear(b"\0")
        found += decoder.feed(b"\0" + line.hear(b"\0"))
    return found


def test_frames_between_commands(line: Line) -> None:
    """Frames end text and a command that has not ended; in them % is no command; release brings text back."""
    row = np.random.default_rng(3).integers(-128, 128, KWS_BYTES).astype(np.int8)
    line.ask(b"db load 490")
    for at in range(0, KWS_BYTES, 31):
        line.ask(b"db " + row[at : at + 31].tobytes().hex().encode())
    first = line.ask(b"infer 1 0")
    line.say(b"db load 1")  # no % follows
    payload = bytes(4) + b"name%" * 40
    replies = frames(line, (Code.INPUT, bytes(8) + b"name%" * 40), (Code.INFO, payload), (Code.RELEASE, b""))
    assert [frame.payload[:2] for frame in replies] == [b"\0\0"] * 4
    assert line.ask(b"name").startswith(b"m-name-dut-")
    assert untimed(line.ask(b"infer 1 0")) == untimed(first)  # the loaded bytes are the text's own


def test_reset_brings_text_back(emulator: Emulator, line: Line) -> None:
    frames(line, (Code.RESET, b""))
    line.hear(f" on {emulator.board.name}\r\n".encode())
    assert line.ask(b"results") == b"e-[Command 'results' comes after 'infer']\r\nm-ready\r\n"


def test_another_model_is_refused(emulator: Emulator, line: Line) -> None:
    """A model in the slot has other sizes than those that the image was built for."""
    frames(line, (Code.MODEL_BEGIN, b"\1\0\0\0\4\0\0\0"), (Code.MODEL_ACTIVATE, b"\1"), (Code.RELEASE, b""))
    assert line.ask(b"db load 490").startswith(b"m-[")
    assert line.ask(b"infer 1 0").startswith(b"e-[Command 'infer'")


class Model:
    """What the protocol should answer, but for results: written from LINK.md, with strings in place of C."""

    def __init__(self) -> None:
        self.wanted, self.loaded, self.ran = 0, b"", False

    def answer(self, text: str) -> list[str]:
        if len(text) > 80:
            return ["e-[Command longer than 80 characters]"]
        words = [word for word in text.split(" ") if word]
        if not words:
            return []
        known = {"name": self.name, "db": self.db, "infer": self.infer, "results": self.results}
        return known[words[0]](words[1:]) if words[0] in known else ["e-[Unknown command]"]

    def name(self, words: list[str]) -> list[str]:
        return ["m-name-dut-[posix]"]

    def results(self, words: list[str]) -> list[str]:
        return ["m-results"] if self.ran else ["e-[Command 'results' comes after 'infer']"]

    def db(self, words: list[str]) -> list[str]:
        if not words:
            return ["e-[Command 'db' requires a subcommand]"]
        if words[0] == "load":
            n = number(words[1]) if len(words) > 1 else None
            if n is None or not 1 <= n <= KWS_BYTES:
                return ["e-[Command 'db load' takes 1 to 490 bytes]"]
            self.wanted, self.loaded = n, b""
            return [f"m-[Expecting {n} bytes]"]
        if words[0] == "print":
            rows = [self.loaded[i : i + 8] for i in range(0, len(self.loaded), 8)]
            return ["m-buffer-" + row.hex("-") for row in rows]
        if re.fullmatch("[0-9a-fA-F]*", words[0]) is None:
            return ["e-[Command 'db' takes hex digits, load or print]"]
        if len(words[0]) % 2:
            return ["e-[Command 'db' takes an even number of hex digits]"]
        left = self.wanted - len(self.loaded)
        if len(words[0]) // 2 > left:
            return [f"e-[Command 'db' goes beyond 'db load': bytes left: {left}]"]
        self.loaded += bytes.fromhex(words[0])
        return ["m-load-done"] if len(self.loaded) == self.wanted else []

    def infer(self, words: list[str]) -> list[str]:
        n = number(words[0]) if words else 1
        warmups = number(words[1]) if len(words) > 1 else 10
        if not n:
            return ["e-[Inference iterations must be 1 to 999999999]"]
        if warmups is None:
            return ["e-[Inference warmup must be 0 to 999999999]"]
        if len(self.loaded) != KWS_BYTES:
            return [f"e-[Command 'infer' requires 490 bytes of input, loaded: {len(self.loaded)}]"]
        self.ran = True
        runs = [f"m-warmup-start-{warmups}", "m-warmup-done", f"m-infer-start-{n}"]
        return [*runs, "m-lap-us-0", "m-lap-us-0", "m-infer-done", "m-results"]


def number(text: str) -> int | None:
    return int(text) if re.fullmatch("[0-9]{1,9}", text) else None


COUNT = st.sampled_from(["0", "1", "2", "003", "x", "-1", "1000000000", ""])
SIZE = st.sampled_from(["0", "1", "62", "490", "490", "490", "491", "z", "1234567890", ""])
HEX = st.binary(max_size=39).map(bytes.hex) | st.text("0123456789abcdefABCDEFgG", max_size=79)
COMMAND = st.one_of(
    st.sampled_from(["name", "results", "db", "db print", "", " ", "db load", "infer 1 0"]),
    st.text(st.characters(min_codepoint=32, max_codepoint=126, exclude_characters="%"), max_size=90),
    SIZE.map("db load {}".format),
    HEX.map("db {}".format),
    st.just("all"),
    st.tuples(COUNT, COUNT).map(lambda counts: "infer {} {}".format(*counts)),
)


@pytest.fixture(scope="module")
def posix(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    image = image_of(blob_of(MODELS["kws01"](), "posix", tmp_path_factory.mktemp("posix")), "posix")
    with Emulator(boards.load("posix"), image.elf, timeout_s=3600) as emulator, Line(emulator.url) as line:
        line.hear(b" on posix\r\n")
        yield line


def restart(line: Line) -> None:
    frames(line, (Code.RESET, b""))
    line.hear(b" on posix\r\n")


USUAL = settings(
    deadline=None,
    max_examples=60,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@USUAL
@given(commands=st.lists(COMMAND, max_size=12))
def test_any_commands(posix: Line, commands: list[str]) -> None:
    """ "all" stands for the rest of an input."""
    restart(posix)
    model = Model()
    for command in commands:
        rest = b"\x5a" * (model.wanted - len(model.loaded)) if command == "all" else b""
        parts = [f"db {rest[at : at + 31].hex()}" for at in range(0, len(rest), 31)] if rest else [command]
        for part in parts:
            said = posix.ask(part.encode()).decode().split("\r\n")
            found = [re.sub(r"m-results-\[.*]", "m-results", text) for text in said[:-2]]
            assert found == model.answer(part), part


@USUAL
@given(
    noise=st.lists(st.binary(max_size=300) | st.sampled_from([b"\0", b"db load 9%", b"name%"]), max_size=6)
)
def test_any_bytes(posix: Line, noise: list[bytes]) -> None:
    """Whatever came, a session and a release bring back a port that answers commands."""
    for part in noise:
        posix.say(re.sub(rb"infer[^%]*", b"", part))
    posix.say(b"\0")
    nonce = len(noise).to_bytes(4, "little")
    decoder = link.Decoder()
    posix.say(link.encode(Frame(Kind.REQUEST, Code.HELLO, 0, b"\xff" + nonce[1:])))
    posix.say(link.encode(Frame(Kind.REQUEST, Code.RELEASE, 1, b"")))
    while not any(f.code == Code.RELEASE for f in decoder.feed(posix.hear(b"\0"))):
        pass
    assert posix.ask(b"name") == b"m-name-dut-[posix]\r\nm-ready\r\n"


@pytest.mark.parametrize(
    "before", [b"", b"db lo", b"\0\0\1", link.encode(Frame(Kind.REQUEST, Code.HELLO, 7, bytes(4)))]
)
def test_the_client_finds_text_anywhere(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, before: bytes
) -> None:
    """After half a command, after noise, and on a board that takes frames."""

    def opened(url: str, baud_rate: int) -> Port:
        port = open_port(url, baud_rate)
        port.write(before)
        return port

    monkeypatch.setattr(mlperf, "open_port", opened)
    with emulator, TextDevice(emulator.url, timeout_s=60) as device:
        assert device.identify() == mlperf.Identity(
            emulator.board.name, "ULPMark for tinyML Firmware V0.0.1", "kws01"
        )
