"""`offramp advise`: which boards, and which variants of a model, keep to limits of time, energy, flash and battery."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from offramp import advice, boards
from offramp.advice import Answer, Limits, Variant, best_first, digits
from offramp.boards import Board
from offramp.cli.options import Json
from offramp.cli.output import note, print_facts, print_json, print_table, progress
from offramp.errors import UserError
from offramp.estimate import Duty
from offramp.frontends import LOADERS, load_model
from offramp.kernels import refuse_float

COLUMNS = (
    "meets",
    "board",
    "variant",
    "accuracy, %",
    "flash, est.",
    "RAM, est.",
    "ms, est.",
    "µJ, est.",
    "mA, est.",
    "days, est.",
    "why",
)


def option(name: str, metavar: str, text: str) -> Any:
    return typer.Option(name, metavar=metavar, min=0.0, help=text)


def advise(
    model: Annotated[
        Path, typer.Argument(metavar="MODEL|FOLDER", help="A model file, or a recipe's folder of variants.")
    ],
    latency_ms: Annotated[
        float | None, option("--latency-ms", "MS", "Most time of an inference, the longest by exits.")
    ] = None,
    energy_uj: Annotated[
        float | None, option("--energy-uj", "UJ", "Most energy of an inference, a mean one by exits.")
    ] = None,
    flash: Annotated[
        int | None, typer.Option("--flash", metavar="BYTES", min=1, help="Most flash, image and model.")
    ] = None,
    ram: Annotated[
        int | None, typer.Option("--ram", metavar="BYTES", min=1, help="Most RAM, stack and data included.")
    ] = None,
    period_ms: Annotated[
        float | None, option("--period-ms", "MS", "One inference so often: gives the mean current.")
    ] = None,
    battery_mah: Annotated[
        float | None, option("--battery-mah", "MAH", "A battery's charge: gives its days.")
    ] = None,
    sample_ms: Annotated[float | None, option("--sample-ms", "MS", "Sampling before each inference.")] = None,
    sample_ma: Annotated[
        float | None, option("--sample-ma", "MA", "Current meanwhile, sensor included; default: as running.")
    ] = None,
    wake_ms: Annotated[
        float | None, option("--wake-ms", "MS", f"From sleep to running; default: {Duty.wake_ms:g}.")
    ] = None,
    board: Annotated[
        list[str] | None,
        typer.Option("--board", "-b", metavar="B", help="These boards; default: all that are for sale."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Say which boards and variants of a model keep to limits, by estimates that state their error."""
    duty = duty_of(period_ms, battery_mah, sample_ms, sample_ma, wake_ms)
    targets = [boards.load(n) for text in board or [] for n in text.split(",") if n] or for_sale()
    variants = variants_of(model)
    limits = Limits(latency_ms, energy_uj, flash, ram)
    found = answers_for(model, variants, targets, limits, duty, battery_mah)
    if as_json:
        print_json(found)
    else:
        show(found)


def duty_of(
    period_ms: float | None,
    battery_mah: float | None,
    sample_ms: float | None,
    sample_ma: float | None,
    wake_ms: float | None,
) -> Duty | None:
    """None without a period; UserError for what means nothing without one."""
    given = {
        "--battery-mah": battery_mah,
        "--sample-ms": sample_ms,
        "--sample-ma": sample_ma,
        "--wake-ms": wake_ms,
    }
    for name, value in given.items():
        if value is not None and period_ms is None:
            raise UserError(f"{name} needs --period-ms", "say how often an inference runs: --period-ms 1000")
    for name, value in {"--period-ms": period_ms, "--battery-mah": battery_mah}.items():
        if value == 0:
            raise UserError(f"{name} 0: it is above 0", "leave it out, or give what the product has")
    if sample_ma is not None and not sample_ms:
        raise UserError("--sample-ma needs --sample-ms", "say how long it samples: --sample-ms 20")
    if period_ms is None:
        return None
    return Duty(period_ms, sample_ms or 0.0, sample_ma, Duty.wake_ms if wake_ms is None else wake_ms)


def answers_for(
    model: Path,
    variants: Sequence[Variant],
    targets: Sequence[Board],
    limits: Limits,
    duty: Duty | None = None,
    battery_mah: float | None = None,
) -> dict[str, Any]:
    """What --json prints; of a folder it is told first how much there is to pack."""
    answers: list[Answer] = []
    if len(variants) > 1:
        note(f"packing {len(variants) * len(targets)} times: variants {len(variants)}, boards {len(targets)}")
    with progress(f"packing {model.name}", len(variants) * len(targets)) as done:
        for variant in variants:
            for target in targets:
                answers.append(advice.advise(variant, target, limits, duty, battery_mah))
                done(len(answers))
    return {
        "model": str(model),
        "limits": asdict(limits),
        "duty": asdict(duty) if duty else None,
        "battery_mah": battery_mah,
        "assumptions": assumptions(targets, duty),
        "answers": [asdict(answer) for answer in best_first(answers)],
    }


def for_sale() -> list[Board]:
    """Boards that are more than an emulator's."""
    known = [boards.load(name) for name in boards.names()]
    return [board for board in known if board.platformio is not None or board.power is not None]


def variants_of(path: Path) -> list[Variant]:
    """A file's one, or a folder's `.ofg` files with what its card.json says; UserError where there is none."""
    if not path.is_dir():
        graph = load_model(path)
        refuse_float(graph)
        return [Variant(path.stem, graph)]
    card = read_card(path / "card.json")
    found = []
    for file in sorted(p for p in path.iterdir() if p.suffix.lower() == ".ofg"):
        graph = load_model(file)
        if graph.is_float:
            note(f"note: {file.name} is a float graph and left out")
            continue
        row = card.get(file.stem, {})
        exits = row.get("exits") or {}
        share = exits["mean_instructions"] / exits["worst_instructions"] if exits else 1.0
        found.append(Variant(file.stem, graph, row.get("accuracy"), share))
    if not found:
        raise UserError(
            f"{path} holds no integer .ofg file",
            f"name a model file ({', '.join(LOADERS)}) or the folder that `offramp compress RECIPE.toml -o` wrote",
        )
    return found


def read_card(path: Path) -> dict[str, Any]:
    """Rows of a model card by variant; none where there is no card."""
    if not path.is_file():
        return {}
    try:
        return {row["variant"]: row for row in json.loads(path.read_text(encoding="utf-8"))}
    except (ValueError, TypeError, KeyError) as error:
        raise UserError(
            f"{path} is no model card: {error}", "`offramp compress --card` writes one"
        ) from error


def assumptions(targets: Sequence[Board], duty: Duty | None) -> list[str]:
    """What the figures rest on."""
    found = [
        "Times and energies are estimates: the planner's costs, the core's cycle model, the board file's clock and "
        "currents. docs/estimates.md holds their errors point by point.",
        "Latency is that of the longest run; energy and current are a mean run's where the card gives exits.",
        "Currents are the chip's alone: no LEDs, regulators, sensors or radio.",
    ]
    if duty:
        sampling = "the run current" if duty.sample_ma is None else f"{duty.sample_ma:g} mA"
        found.append(
            f"Every {duty.period_ms:g} ms: {duty.wake_ms:g} ms to wake and the inference at the run current, "
            f"{duty.sample_ms:g} ms of sampling at {sampling}, else asleep with the RAM kept."
        )
        found.append("A battery gives its whole charge at any current and loses none by itself.")
    for board in targets:
        if board.power:
            p = board.power
            found.append(
                f"{board.name} at {board.clock_hz / 1e6:g} MHz: {p.run_ma:g} mA, asleep {p.sleep_ua:g} µA, at "
                f"{p.supply_v:g} V ({p.source})."
            )
    return found


def show(found: dict[str, Any]) -> None:
    rows = [
        (
            *(a["verdict"], a["board"], a["variant"]),
            None if a["accuracy"] is None else 100 * a["accuracy"],
            *(a["flash_bytes"], a["ram_bytes"]),
            *(shown(a[key]) for key in ("latency_ms", "energy_uj", "mean_ma", "battery_days")),
            "; ".join(a["why"]),
        )
        for a in found["answers"]
    ]
    print_table(found["model"], COLUMNS, rows)
    errors = {("error of ms", a["latency_error"]) for a in found["answers"] if a["latency_error"]}
    errors |= {("error of µJ", a["energy_error"]) for a in found["answers"] if a["energy_error"]}
    print_facts("", sorted(errors))
    for line in found["assumptions"]:
        note(line)


def shown(value: float | None) -> str | None:
    return None if value is None else digits(value)
