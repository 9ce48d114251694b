"""Data goes one way: a module imports only from its left; of the toolkit only the CLI knows the host."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# From left to right: what a model file passes through on its way to a board.
LAYERS = [
    "errors",
    "toml_table",
    "resources",
    "schema",
    "boards",
    "cycles",
    "estimate",
    "ir",
    "ops",
    "features",
    "reference",
    "exits",
    "ofg",
    "passes",
    "frontends",
    "compress",
    "kernels",
    "plan",
    "blob",
    "build",
    "export",
    "pack",
    "advice",
    "search",
    "report",
    "cli",
]


def imported(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{name.name}" for name in node.names} | {node.module}
    return found


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def layer_of(path: Path) -> str:
    return path.relative_to(ROOT / "toolkit/offramp").parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", modules("toolkit"), ids=lambda p: str(p.relative_to(ROOT)))
def test_toolkit_imports_only_from_its_left(path: Path) -> None:
    layer = layer_of(path)
    if layer == "__init__":
        return
    position = LAYERS.index(layer)
    for name in imported(path):
        head = name.split(".")
        if head[0] == "offramp" and len(head) > 1 and head[1] in LAYERS:
            assert LAYERS.index(head[1]) <= position, f"{path.name} ({layer}) imports {name}"
        if head[0] == "offramp_host":
            assert layer == "cli", f"{path.name} imports {name}"


@pytest.mark.parametrize("path", modules("host"), ids=lambda p: str(p.relative_to(ROOT)))
def test_host_stands_left_of_the_command_line(path: Path) -> None:
    for name in imported(path):
        assert not name.startswith("offramp.cli"), f"{path.name} imports {name}"
