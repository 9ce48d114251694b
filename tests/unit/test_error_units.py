"""Numbers in errors have their unit: in texts that name a size or a rate, and in what a board refuses."""

from __future__ import annotations

import ast
import re
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from offramp.errors import UserError
from offramp.features.choose import Wanted
from offramp.ir import Tensor
from offramp_host.link import Code
from offramp_host.session import UNITS, RefusedError
from offramp_host.status import status

ROOT = Path(__file__).resolve().parents[2]
# How the name of a number ends: what may stand behind it in a text. An int8 value is a byte.
SAYS = {
    "bytes": " (bytes?|values)",
    "_hz": " (Hz|samples a second)",
    "_ms": " ms",
    "slot.size": " bytes",
    "region.size": " bytes",
    "arena.size": " bytes",
}
QUANTIZED = Tensor("x", (1, 4), "s8")


def texts() -> Iterator[tuple[str, ast.JoinedStr]]:
    for path in sorted((*ROOT.glob("toolkit/offramp/**/*.py"), *ROOT.glob("host/offramp_host/**/*.py"))):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("UserError"):
                for part in node.args:
                    if isinstance(part, ast.JoinedStr):
                        yield f"{path.relative_to(ROOT)}:{node.lineno}", part


def unsaid(text: ast.JoinedStr) -> Iterator[str]:
    for value, behind in zip(text.values, [*text.values[1:], ast.Constant("")], strict=True):
        if isinstance(value, ast.FormattedValue) and isinstance(value.value, ast.Name | ast.Attribute):
            name, said = ast.unparse(value.value), behind.value if isinstance(behind, ast.Constant) else ""
            unit = next((unit for end, unit in SAYS.items() if name.endswith(end)), "")
            if not re.match(unit, str(said)):
                yield f"{{{name}}}{said}"


def test_a_number_that_is_named_by_its_unit_is_told_with_it() -> None:
    found = list(texts())
    assert len(found) > 300
    assert [f"{where}: {text}" for where, part in found for text in unsaid(part)] == []


def refusal(name: str, found: int, allowed: int) -> RefusedError:
    (value,) = [n for n in range(-100, 0) if status(n).name == name]
    return RefusedError("board", Code.MODEL_BEGIN, struct.pack("<hHIIii", value, 0, found, allowed, -1, -1))


@pytest.mark.parametrize("name", [*UNITS, "OFR_E_BUDGET"])
def test_a_board_s_refusal_says_what_it_counts(name: str) -> None:
    unit = UNITS.get(name, "ticks")
    assert f"(found 5 {unit}, allowed 9 {unit})" in refusal(name, 5, 9).counted_in("ticks").message
    assert "(found 5, allowed 9)" in refusal("LINK_E_INDEX", 5, 9).counted_in("ticks").message


def test_a_front_end_s_key_has_its_unit() -> None:
    for key, unit in (("window_ms", " ms"), ("rate_hz", " Hz"), ("mels", "")):
        with pytest.raises(UserError) as caught:
            Wanted("mfcc", {key: "70000"}, QUANTIZED).number(key, 1, 1, 128)
        assert caught.value.hint == f"1 to 128{unit} is allowed"
