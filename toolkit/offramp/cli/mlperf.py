"""`offramp mlperf`: MLPerf Tiny's accuracy or performance mode on a board, and a folder with what came of it."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from offramp import boards
from offramp.build.blob_image import blob_image
from offramp.build.mlperf import BENCHMARKS, Benchmark, benchmark_of
from offramp.cli.blob_file import blob_for
from offramp.cli.options import (
    EmulatedBoard,
    FlashLimit,
    Json,
    Kernels,
    Optimize,
    RamLimit,
    check_place,
    plan_options,
)
from offramp.cli.output import check_folder, note, print_facts, print_json, progress, write_output
from offramp.errors import UserError
from offramp.plan import Options
from offramp_host import mlperf_modes as modes
from offramp_host.emulator import Emulator
from offramp_host.mlperf import Identity, Log, TextDevice
from offramp_host.mlperf_data import Sample, labels_of, read_samples

Read = Callable[[Benchmark], list[Sample]]


def mlperf(
    data: Annotated[
        Path,
        typer.Option("--data", "-d", metavar="FOLDER|X.npy|npz", help="Inputs as the benchmark sends them."),
    ],
    out: Annotated[Path, typer.Option("-o", metavar="FOLDER", help="results.json, results.txt and log.txt.")],
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="With --board: a .ofr file, or a model to pack.")
    ] = None,
    board: EmulatedBoard = None,
    port: Annotated[
        str | None,
        typer.Option(
            "--port", "-p", metavar="URL", help="A board with firmware that was built with --mlperf."
        ),
    ] = None,
    mode: Annotated[str, typer.Option("--mode", metavar="accuracy|performance")] = "accuracy",
    labels: Annotated[
        Path | None, typer.Option("--labels", metavar="Y.npy", help="The class of each row of X.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", metavar="N", min=1, help="Take the first N inputs only.")
    ] = None,
    seconds: Annotated[
        float | None,
        typer.Option(
            "--seconds",
            metavar="S",
            min=0.001,
            help=f"Performance: least time of a window; default: {modes.LEAST_S:g}, as the rules want.",
        ),
    ] = None,
    kernels: Kernels = "auto",
    optimize: Optimize = "balanced",
    flash_limit: FlashLimit = None,
    ram_limit: RamLimit = None,
    time_limit: Annotated[
        float, typer.Option("--time-limit", metavar="S", min=1.0, help="Seconds that a window may take here.")
    ] = 600.0,
    as_json: Json = False,
) -> None:
    """Run MLPerf Tiny's accuracy or performance mode on a board."""
    check(file, board, port, mode, seconds)
    least_s = modes.LEAST_S if seconds is None else seconds
    check_folder(out)
    lines: list[str] = []

    def read(benchmark: Benchmark) -> list[Sample]:
        samples = read_samples(data, labels, benchmark, limit)
        if mode == "accuracy":
            labels_of(samples, benchmark.classes)
        return samples

    if board is not None and file is not None:
        options = plan_options(kernels, optimize=optimize, flash_limit=flash_limit, ram_limit=ram_limit)
        connected = emulated(
            file, boards.must_run_here(boards.load(board)), options, read, time_limit, lines.append
        )
    else:
        connected = attached(port or "", read, time_limit, lines.append)
    try:
        with connected as (device, benchmark, samples, identity):
            found = measured(device, benchmark, samples, mode, least_s)
    finally:
        written(out / "log.txt", "".join(f"{line}\n" for line in lines))
    summary = {**summary_of(identity, mode, least_s), **found}
    facts = facts_of(summary)
    written(out / "results.json", json.dumps(summary, indent=2) + "\n")
    written(out / "results.txt", "".join(f"{name}: {value}\n" for name, value in facts))
    note(f"wrote {out / 'results.json'}, results.txt and log.txt")
    if as_json:
        print_json(summary)
    else:
        print_facts(f"MLPerf Tiny {identity.model} on {identity.name}", facts)


def check(file: Path | None, board: str | None, port: str | None, mode: str, seconds: float | None) -> None:
    """UserError for a mode that is none, and for what does not go together."""
    if mode not in ("accuracy", "performance"):
        raise UserError(
            f"--mode {mode}: accuracy or performance is needed", "the energy mode wants a power meter"
        )
    check_place("mlperf", board, port)
    if (board is None) != (file is None):
        raise UserError(
            "a model file is given with --board; the firmware behind --port holds its own",
            "offramp mlperf FILE --board B, or offramp mlperf --port URL",
        )
    if mode == "accuracy" and seconds is not None:
        raise UserError("--seconds: accuracy mode has no windows", "leave it out, or add --mode performance")


Connected = tuple[TextDevice, Benchmark, list[Sample], Identity]


@contextmanager
def emulated(
    file: Path, board: boards.Board, options: Options, read: Read, time_limit_s: float, log: Log
) -> Iterator[Connected]:
    blob, content = blob_for(file, board, options)
    benchmark = benchmark_of(blob)
    samples = read(benchmark)
    with tempfile.TemporaryDirectory(prefix="offramp-") as folder:
        linked = Path(folder) / "model.ofr"
        linked.write_bytes(content)
        with progress(f"building for {board.name}"):
            image = blob_image(blob, board, Path(folder) / "image.elf", linked=linked, mlperf=True)
        limit_s = time_limit_s * (len(samples) + modes.WINDOWS)
        with (
            Emulator(board, image.elf, timeout_s=limit_s) as emulator,
            TextDevice(emulator.url, timeout_s=time_limit_s, log=log) as device,
        ):
            yield device, benchmark, samples, device.identify()


@contextmanager
def attached(port: str, read: Read, time_limit_s: float, log: Log) -> Iterator[Connected]:
    with TextDevice(port, timeout_s=time_limit_s, log=log) as device:
        identity = device.identify()
        benchmark = next((b for b in BENCHMARKS if b.name == identity.model), None)
        if benchmark is None:
            raise UserError(
                f"{port}: the board runs {identity.model!r}",
                f"known are {', '.join(b.name for b in BENCHMARKS)}",
            )
        yield device, benchmark, read(benchmark), identity


def measured(
    device: TextDevice, benchmark: Benchmark, samples: list[Sample], mode: str, seconds: float
) -> dict[str, Any]:
    """What a mode finds, for results.json."""
    if mode == "performance":
        with progress("windows", modes.WINDOWS) as show_done:
            found = modes.performance(device, samples, least_s=seconds, told=show_done)
        return {
            "median_inferences_per_second": found.median_per_second,
            "windows": [
                {"inferences": w.n, "elapsed_us": w.elapsed_us, "inferences_per_second": rate}
                for w, rate in zip(found.windows, found.per_second, strict=True)
            ],
        }
    with progress("inputs", len(samples)) as show_done:
        result = modes.accuracy(device, benchmark, samples, show_done)
    return {
        "inputs": len(result.answers),
        "top1_percent": result.top1,
        "auc": result.auc,
        "answers": [asdict(answer) for answer in result.answers],
    }


def summary_of(identity: Identity, mode: str, seconds: float) -> dict[str, Any]:
    """`estimated`: the times come from an emulator, an instruction being taken for a cycle of the board's clock."""
    emulator = identity.name in boards.names() and boards.load(identity.name).emulator is not None
    valid = {"valid_for_rules": seconds >= modes.LEAST_S} if mode == "performance" else {}
    return {
        "benchmark": identity.model,
        "board": identity.name,
        "profile": identity.profile,
        "mode": mode,
        "estimated": emulator,
        **valid,
    }


def facts_of(summary: dict[str, Any]) -> list[tuple[str, str]]:
    facts = [(name, summary[name]) for name in ("benchmark", "board", "mode")]
    if summary["mode"] == "performance":
        facts.append(
            ("throughput", f"{summary['median_inferences_per_second']:.3f} inferences a second, median")
        )
        facts += [
            (f"window {i + 1}", f"{w['inferences']} in {w['elapsed_us'] / 1e6:.3f} s")
            for i, w in enumerate(summary["windows"])
        ]
        if not summary["valid_for_rules"]:
            facts.append(("valid", f"no: the rules want windows of {modes.LEAST_S:g} s at least"))
        if summary["estimated"]:
            facts.append(
                ("times", "estimated: an emulated instruction is taken for a cycle of the board's clock")
            )
        return facts
    facts.append(("inputs", str(summary["inputs"])))
    if summary["top1_percent"] is not None:
        facts.append(("top-1", f"{summary['top1_percent']:.1f} %"))
    facts.append(
        ("AUC", f"{summary['auc']:.3f}" if summary["auc"] is not None else "- (not all classes are there)")
    )
    return facts


def written(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_output(path, content.encode())
