"""Shows what is certified of a blob."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from offramp.cli.output import print_facts, print_table
from offramp.plan import Bound, Certificate


def as_data(
    certificate: Certificate | None, kernels: Sequence[str], front_end: str | None
) -> dict[str, Any] | None:
    """Its fields; None where there is none. `kernels` are those of the steps. The kind of front end stands beside them,
    because an inference's bound is of the model alone."""
    if certificate is None:
        return None
    steps = zip(kernels, certificate.steps, strict=True)
    return asdict(certificate) | {
        "steps": [{"kernel": kernel, **of_bound(bound)} for kernel, bound in steps],
        "inference": of_bound(certificate.inference),
        "front_end": front_end,
    }


def of_bound(bound: Bound) -> dict[str, Any]:
    return {**asdict(bound), "data_dependent": bound.data_dependent}


def show_certificate(data: dict[str, Any]) -> None:
    rows: list[tuple[int | str | None, ...]]
    rows = [(i, *row(step["kernel"], step)) for i, step in enumerate(data["steps"])]
    columns = ("", "kernel", "instructions, at most", "at least", "")
    rows.append(("", *row("an inference", data["inference"])))
    if data["front_end"] is not None:
        rows.append(("", f"front end {data['front_end']}, a row", None, None, "not bounded"))
    print_table("\ncertified", columns, rows)
    front_end = "front end, " if data["front_end"] is not None else ""
    print_facts(
        "",
        [
            ("stack", f"at most {data['stack_bytes']:,} bytes"),
            (
                "RAM",
                f"at most {data['ram_bytes']:,} bytes, arena, state, {front_end}static data, link buffers and stack",
            ),
            (
                "holds for",
                f"the image of this model only, {data['compiler']}, code {data['code_sha256'][:16]}",
            ),
        ],
    )


def row(what: str, bound: dict[str, Any]) -> tuple[str, int, int, str]:
    exact = bound["most"] == bound["least"]
    kind = "exact" if exact else "data-dependent" if bound["data_dependent"] else "within 1 %"
    return what, bound["most"], bound["least"], kind
