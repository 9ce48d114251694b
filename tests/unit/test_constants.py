"""What C and Python must both say is the same in both."""

from __future__ import annotations

import re
from pathlib import Path

from offramp import boards
from offramp.blob import header
from offramp.ofg import DTYPE_CODES
from offramp.ops import gemm
from offramp.plan.plan import MAX_CALLER_INPUTS
from offramp.resources import root
from offramp_host import certify
from offramp_host.status import statuses

FIRMWARE = root() / "firmware"


def defined(file: str, name: str) -> int:
    """The value of a macro or enumerator."""
    found = re.search(rf"\b{name}\b\s*=?\s*(0x[0-9a-fA-F]+|\d+)", (FIRMWARE / file).read_text())
    assert found, f"{name} not in {file}"
    return int(found[1], 0)


def test_header_of_the_blob() -> None:
    api = "include/offramp.h"
    version = defined(api, "OFR_FORMAT_MAJOR"), defined(api, "OFR_FORMAT_MINOR")
    assert version == (header.FORMAT_MAJOR, header.FORMAT_MINOR)
    assert defined("src/blob.h", "OFR_MAGIC") == int.from_bytes(header.MAGIC, "little")
    page = (FIRMWARE / "BLOB.md").read_text()
    for name, code in header.CORES.items():
        assert re.search(rf"\b{code} {re.escape(name)}\b", page), f"core {name} is not {code} in BLOB.md"
    assert set(boards.CORES) <= set(header.CORES)


def test_what_policies_take() -> None:
    policy = "include/offramp_policy.h"
    for name, most in certify.POLICY.items():
        assert defined(policy, f"OFR_POLICY_{name}_INSTRUCTIONS") == most


def test_limits() -> None:
    assert defined("include/offramp.h", "OFR_MAX_CALLER_INPUTS") == MAX_CALLER_INPUTS
    assert f"taps <= {gemm.LONGEST_WINDOW}" in (FIRMWARE / "src/kernel.h").read_text()


def test_data_types() -> None:
    for name in ("S8", "U8", "S16", "S32", "F32"):
        assert defined("include/offramp.h", f"OFR_{name}") == DTYPE_CODES[name.lower()]


def test_link_page_has_the_texts_of_the_header() -> None:
    page = Path(FIRMWARE / "LINK.md").read_text()
    for status in statuses().values():
        if status.name.startswith("LINK_"):
            assert f"| {status.value} | {status.name} | {status.text} |" in page
