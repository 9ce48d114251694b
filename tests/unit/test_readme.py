"""README.md against the command line and the repository: commands, options and links that are there, none left out."""

from __future__ import annotations

import re
import shlex

import pytest
import typer

from offramp import cli
from offramp.resources import root

TEXT = (root() / "README.md").read_text()
LINES = re.findall(r"^    (offramp .*?)(?:  *#.*)?$", TEXT, re.M)
COMMANDS = [part.strip() for line in LINES for part in line.split("&&")]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_takes_its_options(command: str) -> None:
    program, name, *words = shlex.split(command)
    assert program == "offramp"
    known = typer.main.get_command(cli.app()).commands[name]  # type: ignore[attr-defined]
    options = {flag for parameter in known.params for flag in parameter.opts}
    assert {word for word in words if word.startswith("-")} <= options


def test_every_command_is_named() -> None:
    assert [name for name in cli.COMMANDS if f"offramp {name}" not in TEXT] == []


def test_links_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", TEXT)
    assert len(links) > 20 and [link for link in links if not (root() / link).exists()] == []
