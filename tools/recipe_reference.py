"""docs/recipe.md: every key of a recipe with its type, default and meaning, from the recipe's own declarations."""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
from collections.abc import Iterator
from typing import get_type_hints

from offramp.compress import recipe
from offramp.compress.data import Source
from offramp.search.space import KEYS, OBJECTIVES
from offramp.toml_table import written

INTRODUCTION = """# Recipes

A recipe is a TOML file for `offramp compress RECIPE.toml`: a model, data, and variants, each a list of steps. This page
is generated from the declarations (`make generate`); [compress.md](compress.md) tells how to use them.

```toml
model = "baseline.ofg"                  # .ofg, .onnx, .pt2 or .tflite; paths count from the recipe's folder
board = "mps2_an386"                    # whose blob and instructions the card and a search tell

[data]
path = "digits"
divide = 16

[variant.int8]
steps = [{ do = "quantize" }]

[variant.small]
steps = [
    { do = "prune", macs = 0.5, epochs = 10, teachers = ["baseline.ofg"] },
    { do = "quantize", bits = 4, epochs = 5 },
]
```
"""


def page() -> str:
    parts = [INTRODUCTION]
    parts += section("The recipe", recipe.Recipe, ("folder", "variants", "search", "data", "input"))
    parts += section("`[data]`", Source, ())
    parts += section("`[input]`: scale and zero point, where they are known", recipe.InputQuantization, ())
    parts += section("`[variant.NAME]`", recipe.Variant, ())
    parts.append("\n## Steps\n\nEvery step that can train takes these keys beside its own:\n")
    parts += table(recipe.Trained, ())
    shared = tuple(f.name for f in dataclasses.fields(recipe.Trained))
    for kind, cls in recipe.STEPS.items():
        own = tuple(name for name in shared if not changed(cls, name))
        parts += section(f'`do = "{kind}"`', cls, own if issubclass(cls, recipe.Trained) else (), "###")
    parts += section("`[search]`", recipe.Search, ())
    parts.append(
        "\nKeys of `[search.space]`, each `[low, high]` or a list of choices:\n\n| key | meaning |\n|---|---|"
    )
    parts += [f"| {key} | {text} |" for key, text in KEYS.items()]
    parts.append(f"\nObjectives: {', '.join(OBJECTIVES)}.")
    return "\n".join(parts) + "\n"


def changed(cls: type, name: str) -> bool:
    """Whether a step has another default for a key that all have."""
    return name in inspect.get_annotations(cls)


def section(title: str, cls: type, left_out: tuple[str, ...], level: str = "##") -> list[str]:
    return [f"\n{level} {title}\n\n{inspect.getdoc(cls)}\n", *table(cls, left_out)]


def table(cls: type, left_out: tuple[str, ...]) -> list[str]:
    rows = list(rows_of(cls, left_out))
    return ["| key | type | default | meaning |", "|---|---|---|---|", *rows] if rows else []


def rows_of(cls: type, left_out: tuple[str, ...]) -> Iterator[str]:
    """A key that nothing is said of is a defect of its declaration."""
    comments = {name: text for c in reversed(cls.__mro__) for name, text in comments_of(c).items()}
    hints = get_type_hints(cls)
    for f in dataclasses.fields(cls):
        if f.name not in left_out:
            kind = written(hints[f.name])
            yield f"| {f.name} | {kind} | {default_of(f)} | {comments[f.name]} |"


def default_of(f: dataclasses.Field[object]) -> str:
    """As it is written in TOML."""
    if "default" in f.metadata:
        return str(f.metadata["default"])
    if f.default is dataclasses.MISSING:
        return "needed" if f.default_factory is dataclasses.MISSING else ""
    return "" if f.default in (None, (), "") else f"`{json.dumps(f.default)}`"


def comments_of(cls: type) -> dict[str, str]:
    """What stands behind each field in the source."""
    if cls is object:
        return {}
    lines = inspect.getsource(cls).splitlines()
    found = (re.match(r"    (\w+): [^#]*#\s*(.+)", line) for line in lines)
    return {m[1]: m[2] for m in found if m}
