"""What the client for MicroPython takes from the link's own definitions: written into it by `make generate`."""

from __future__ import annotations

from pathlib import Path

from offramp.resources import root
from offramp_host import link
from offramp_host.status import statuses

CLIENT = root() / "host" / "micropython" / "offramp.py"
START, END = "# numbers: make generate\n", "# end of numbers"
HANDLED = ("LINK_E_SESSION", "LINK_E_INDEX")  # statuses that the client acts upon


def files() -> dict[Path, str]:
    """The client with the link's numbers between their marks."""
    before, rest = CLIENT.read_text().split(START)
    return {CLIENT: f"{before}{START}{numbers()}\n{END}{rest.split(END)[1]}"}


def numbers() -> str:
    """Constants that MicroPython's compiler folds away, and the names of requests and statuses for messages."""
    values = {"MAJOR": link.VERSION[0], "PAYLOAD": link.PAYLOAD_BYTES}
    for members in (link.Kind, link.Code, link.Event):
        values |= {member.name: member.value for member in members}
    values |= {s.name: s.value for s in statuses().values() if s.name in HANDLED}
    codes = [f"{code.value}={code.name.lower().replace('_', ' ')}" for code in link.Code]
    refusals = {s.value: s.name.split("_E_")[1] for s in statuses().values() if s.value < 0}
    names = [refusals.get(value, "") for value in range(-1, min(refusals) - 1, -1)]
    return "\n".join(
        [
            *(f"_{name} = const({value})" for name, value in values.items()),
            *literal("_CODES", ",".join(codes)),
            *literal("_STATUSES", ",".join(names)),
        ]
    )


def literal(name: str, text: str) -> list[str]:
    """A long string, formatted as ruff leaves it."""
    return [f"{name} = (", *(f'    "{text[i : i + 100]}"' for i in range(0, len(text), 100)), ")"]
