"""What is certified of a blob holds: no run exceeds it, and what is called exact is."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from offramp import boards, cli
from offramp.blob import read, write
from offramp.boards import Board
from offramp.build import Source, Sources, build
from offramp.build.blob_image import blob_image
from offramp.build.sources import port_sources
from offramp.errors import UserError
from offramp.frontends import tflite
from offramp.pack import pack
from offramp.plan import Bound, Options, Plan, make_plan
from offramp_host import certify, stack
from offramp_host.device import Device
from offramp_host.emulator import Emulator
from offramp_host.flow import program
from offramp_host.measure import instructions, measure, random_row
from tests import small_models
from tests.emulator.test_ports import Line
from tests.front_ends import raw_for
from tests.fuzz.seeds import STREAMS, behind
from tests.oracle.cases import OPS
from tools.bench import MODELS

pytestmark = pytest.mark.emulator

APP = Path(__file__).parent / "apps" / "dependent.c"
EMULATED = [name for name in boards.names() if boards.load(name).emulator is not None]
# What a step's section holds beside what the ticks tell: the call and the return of their reading.
MOST_AROUND_A_STEP = 8
# At least, of what an image keeps of a front end beside its memory: five words and six halves of offramp_features.h.
FEATURES_STRUCT_BYTES = 5 * 4 + 6 * 2
# Of dependent.c, in its order: whether a section's instructions have a bound, and why not.
EXACT, BOUNDED, LOOP, STORE = "exact", "bounded", "a loop", "where it stores"
CASES = [EXACT, LOOP, LOOP, LOOP, EXACT, LOOP, LOOP, LOOP, LOOP, STORE, BOUNDED]
VECTOR_CASES = [LOOP, LOOP]
GOLDEN = ("KWS", "IC", "VWW", "AD", "mnist_valid_q")


def verdict(section: certify.Section, code: certify.Program) -> str:
    try:
        bound = certify.bounds(section, code)
    except certify.Unbounded as error:
        return next(reason for reason in (LOOP, STORE) if reason in str(error))
    return EXACT if bound.most == bound.least else BOUNDED


@pytest.mark.parametrize("name", EMULATED)
def test_what_depends_on_data_is_seen(name: str, tmp_path: Path) -> None:
    board = boards.load(name)
    image = build(board, port_sources(board) + Sources((Source(APP, "application"),)), tmp_path / "image.elf")
    code = program(image.elf, board.core)
    with certify.following(board, image.elf, code, tmp_path, timeout_s=60) as (emulator, followed):
        Line(emulator)
        assert emulator.wait() == 7
    found = [verdict(section, code) for section in certify.read_sections(followed)[1::2]]
    assert found == CASES + (VECTOR_CASES if "mve" in board.core.features else [])


def step_counts(board: Board, plan: Plan, blob: bytes, n_rows: int, folder: Path) -> np.ndarray:
    """Instructions of each step, a row for each of `n_rows` random inputs."""
    linked = folder / "model.ofr"
    linked.write_bytes(blob)
    image = blob_image(read(blob, plan.name), board, folder / "image.elf", linked=linked)
    with (
        Emulator(board, image.elf, timeout_s=3600) as emulator,
        Device(emulator.url, timeout_s=120) as device,
    ):
        rows = [random_row(device.info().inputs, seed) for seed in range(n_rows)]
        return np.array([[instructions(board, n) for n in device.profile(row)] for row in rows])


def assert_holds(board: Board, plan: Plan, n_rows: int, folder: Path) -> None:
    plan, blob = certify.certify(plan, board)
    assert plan.certificate is not None
    counts = step_counts(board, plan, blob, n_rows, folder)
    for step, bound, column in zip(plan.steps, plan.certificate.steps, counts.T, strict=True):
        name = f"{plan.name}: {step.kernel.set}/{step.kernel.name} on {board.name}"
        assert column.max() <= bound.most, name
        assert column.min() >= bound.least - MOST_AROUND_A_STEP, name
        # A tick may be worth part of an instruction more or less at each end.
        if bound.most == bound.least:
            assert np.ptp(column) <= 1, f"{name} is called exact and varies"
        if np.ptp(column) > max(1, 0.01 * column.max()):
            assert bound.data_dependent, f"{name} varies by more than 1 % and is not marked"
    found = measure(board, blob)
    assert found.certificate == plan.certificate
    assert found.stack_bytes is not None
    assert found.stack_bytes <= plan.certificate.stack_bytes <= 1.5 * found.stack_bytes


def bounded(board: Board) -> Options:
    """Arm's library multiplies in ways that depend on data where the core has no long multiplication."""
    return Options(kernels="generic" if board.core.name == "cortex-m0" else "auto")


@pytest.mark.parametrize("name", EMULATED)
def test_a_small_model_on_every_board(name: str, tmp_path: Path) -> None:
    (tmp_path / "m.tflite").write_bytes(small_models.classifier())
    board = boards.load(name)
    assert_holds(board, pack(tmp_path / "m.tflite", board, bounded(board))[0], 50, tmp_path)


def golden_plan(model: str, board: Board, kernels: str) -> Plan:
    if not MODELS[model].exists():
        pytest.skip("no test data (OFFRAMP_TEST_DATA)")
    try:
        return pack(MODELS[model], board, Options(kernels=kernels))[0]
    except UserError as error:
        if "fit" in error.message:
            pytest.skip(error.message)
        raise


@pytest.mark.parametrize(
    ("model", "name"),
    [("KWS", "mps2_an386"), ("KWS", "mps3_an547"), ("KWS", "rv32_virt"), ("AD", "mps2_an385")],
)
def test_a_golden_model(model: str, name: str, tmp_path: Path) -> None:
    board = boards.load(name)
    assert_holds(board, golden_plan(model, board, "auto"), 50, tmp_path)


@pytest.mark.soak
@pytest.mark.parametrize("model", GOLDEN)
@pytest.mark.parametrize(("name", "kernels"), [(n, k) for n in EMULATED for k in boards.load(n).kernels])
def test_golden_models_with_1000_inputs(model: str, name: str, kernels: str, tmp_path: Path) -> None:
    board = boards.load(name)
    assert_holds(board, golden_plan(model, board, kernels), 1000, tmp_path)


@pytest.mark.parametrize(
    ("op", "name"),
    [*((op, name) for name in ("mps2_an386", "rv32_virt") for op in OPS), ("AVERAGE_POOL_2D", "microbit")],
)
def test_each_operator(op: str, name: str, tmp_path: Path) -> None:
    board = boards.load(name)
    case = next(iter(OPS[op](3)))
    graph = tflite.load(case.model, case.name)
    if any(tensor.dtype == "f32" for tensor in graph.tensors):
        pytest.skip("floats are converted on the host")
    assert_holds(board, pack(graph, board, bounded(board))[0], 50, tmp_path)


@pytest.mark.parametrize("name", ["mps2_an386", "microbit", "rv32_virt"])
@pytest.mark.parametrize("kind", ["micro", "mfcc", "image", "imu"])
def test_stack_and_ram_hold_the_front_end(name: str, kind: str, tmp_path: Path) -> None:
    """What is proved of the model does not change; what is measured while samples are fed keeps within the bounds."""
    board, stream = boards.load(name), STREAMS[kind]
    plain = make_plan(behind(stream), board, bounded(board))
    plan, blob = certify.certify(replace(plain, front_end=stream.block()), board)
    without = certify.certify(plain, board)[0].certificate
    found = plan.certificate
    assert found is not None and without is not None
    assert (found.steps, found.inference) == (without.steps, without.inference)
    assert found.stack_bytes >= without.stack_bytes
    kept = found.ram_bytes - found.stack_bytes - (without.ram_bytes - without.stack_bytes)
    assert kept >= stream.memory_bytes + FEATURES_STRUCT_BYTES
    assert measure(board, blob).certificate == found
    (tmp_path / "model.ofr").write_bytes(blob)
    image = blob_image(read(blob, kind), board, tmp_path / "image.elf", linked=tmp_path / "model.ofr")
    with Emulator(board, image.elf, timeout_s=60) as emulator, Device(emulator.url, timeout_s=60) as device:
        assert list(device.feed(raw_for(stream)[:1500]))
        used = device.statistics().stack_bytes
    assert used is not None and used <= found.stack_bytes <= 1.5 * used


def certified(folder: Path) -> tuple[Board, Plan]:
    board = boards.load("mps2_an386")
    (folder / "m.tflite").write_bytes(small_models.classifier())
    return board, certify.certify(pack(folder / "m.tflite", board)[0], board)[0]


@pytest.mark.parametrize("what", ["step", "inference", "stack_bytes", "ram_bytes"])
def test_a_run_that_exceeds_its_certificate_is_told(what: str, tmp_path: Path) -> None:
    board, plan = certified(tmp_path)
    assert plan.certificate is not None
    c, low = plan.certificate, Bound(1, 1)
    doctored = {
        "step": replace(c, steps=(*c.steps[:-1], low)),
        "inference": replace(c, inference=low),
        "stack_bytes": replace(c, stack_bytes=1),
        "ram_bytes": replace(c, ram_bytes=1),
    }[what]
    with pytest.raises(
        UserError, match=r"took [\d,]+ .*, the blob's certificate allows 1 (instructions|bytes of \w+)$"
    ):
        measure(board, write(replace(plan, certificate=doctored)))


def test_a_certificate_of_other_code_says_nothing(tmp_path: Path) -> None:
    board, plan = certified(tmp_path)
    assert plan.certificate is not None
    other = replace(plan.certificate, code_sha256="0" * 64, ram_bytes=1)
    assert measure(board, write(replace(plan, certificate=other))).certificate is None


def test_certifying_again_gives_the_same_bytes(tmp_path: Path) -> None:
    board, plan = certified(tmp_path)
    assert write(plan) == certify.certify(replace(plan, certificate=None), board)[1]


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("int again(int n) { return n > 0 ? side(again(n / 3)) : side(n); }", "calls itself"),
        ("int again(int n) { char x[n + 9]; keep(x); return x[side(n)]; }", "by a variable"),
    ],
)
@pytest.mark.parametrize("name", ["mps2_an386", "rv32_virt", "microbit"])
def test_a_stack_without_bound_is_refused(body: str, why: str, name: str, tmp_path: Path) -> None:
    board = boards.load(name)
    (tmp_path / "app.c").write_text(
        '#include "port.h"\n'
        "__attribute__((noipa)) static int side(int n) { return n / 7; }\n"
        "__attribute__((noipa)) static void keep(char *x) { x[0] = 1; }\n"
        f"__attribute__((noipa)) static {body}\n"
        "int app_main(void) { keep((char[4]){0}); return again((int)port_ticks()); }\n"
    )
    sources = port_sources(board) + Sources((Source(tmp_path / "app.c", "application"),))
    image = build(board, sources, tmp_path / "image.elf")
    with pytest.raises(stack.Unbounded, match=why):
        stack.stack_bytes(board, image.elf, program(image.elf, board.core))


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "m.tflite").write_bytes(small_models.classifier())
    out = str(tmp_path / "m.ofr")
    call = ["pack", str(tmp_path / "m.tflite"), "--board", "mps2_an386", "--certify", "-o", out]
    assert cli.call([*call, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)["certificate"]
    assert cli.call(["inspect", out, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["certificate"] == said
    assert [step["kernel"].split("/")[0] for step in said["steps"]][-1] == "generic"
    assert said["inference"]["most"] >= said["inference"]["least"] > 0
    assert cli.call(call) == 0
    assert "instructions, at most" in capsys.readouterr().out
    assert cli.call(["bench", out, "--board", "mps2_an386"]) == 0
    assert "nothing measured exceeds it" in capsys.readouterr().out


def test_the_command_says_that_the_front_end_is_not_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = small_models.classifier()
    shape = tflite.load(data, Path("m.tflite")).tensors[0].shape
    (tmp_path / "m.tflite").write_bytes(data)
    out, front_end = str(tmp_path / "m.ofr"), f"image:from=gray8,width={shape[2] + 3},height={shape[1] + 2}"
    call = ["pack", str(tmp_path / "m.tflite"), "--board", "mps2_an386", "--front-end", front_end, "-o", out]
    assert cli.call([*call, "--certify"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "front end image, a row - - not bounded" in said and "state, front end, static data" in said
    assert cli.call(["inspect", out, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["certificate"]["front_end"] == "image"


def test_a_host_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "m.tflite").write_bytes(small_models.classifier())
    out = tmp_path / "m.ofr"
    assert (
        cli.call(["pack", str(tmp_path / "m.tflite"), "--board", "posix", "--certify", "-o", str(out)]) == 1
    )
    assert "nothing can be certified" in capsys.readouterr().err and not out.exists()
