"""Says to whose account each byte of an image goes, from the ELF file and the linker's map."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from elftools.elf.elffile import ELFFile

from offramp.build.sources import Category

LINK_BUFFERS = ".bss.ofr_link"
# Reserved by the linker script rather than used by code.
_APART = (".stack", ".arena")
_OUTPUT = re.compile(r"^(\.\S+|[A-Za-z_]\w*)(?:\s+0x[0-9a-f]+\s+0x[0-9a-f]+.*)?$")
_INPUT = re.compile(r"^ (?!\*)(\S+)?\s+0x([0-9a-f]+)\s+0x([0-9a-f]+) (\S.*)$")


class _Input(NamedTuple):
    """A section of an object in the linker's map; a library's member reads "lib.a(member.o)"."""

    output: str
    name: str
    address: int
    size: int
    object: str


@dataclass(frozen=True)
class Footprint:
    """Bytes of an image. The four flash figures sum to the image's size, initial values of .data included."""

    flash_bytes: Mapping[Category, int]
    static_ram_bytes: int
    """.data and .bss without link buffers, stack and arena."""
    link_buffer_bytes: int
    stack_bytes: int
    """Reserved for the stack by the board file; 0 on the host."""

    @property
    def image_bytes(self) -> int:
        return sum(self.flash_bytes.values())


def footprint(elf: Path, map_file: Path, accounts: Mapping[str, Category]) -> Footprint:
    """`accounts` says which category an object file, named as the linker saw it, belongs to; libraries and
    padding between sections go to the application, padding after an object to that object."""
    inputs = _map_inputs(map_file.read_text(errors="replace"))
    flash: dict[Category, int] = {"model": 0, "runtime": 0, "kernels": 0, "application": 0}
    with elf.open("rb") as file:
        sections = [s for s in ELFFile(file).iter_sections() if s["sh_flags"] & 2 and s["sh_size"] > 0]
        loads = [s for s in sections if s["sh_type"] != "SHT_NOBITS" and s.name not in _APART]
        size_of = {s.name: int(s["sh_size"]) for s in sections}
        for section in loads:
            for category, size in _by_account(section, inputs, accounts):
                flash[category] += size
        flash["application"] += _padding_between(ELFFile(file), loads)
    link = sum(item.size for item in inputs if item.name.startswith(LINK_BUFFERS))
    ram = sum(size for name, size in size_of.items() if name.startswith((".data", ".bss", ".sdata", ".sbss")))
    return Footprint(flash, ram - link, link, size_of.get(".stack", 0))


def pieces(map_file: Path, sources: Mapping[str, Path]) -> Counter[tuple[str, str]]:
    """Bytes of an image's functions and tables by file and section: static functions share names.

    `sources` are the objects' files; those of libraries count as the library's member.
    """
    found: Counter[tuple[str, str]] = Counter()
    for item in _map_inputs(map_file.read_text(errors="replace")):
        if item.output in (".text", ".rodata", ".data"):
            found[str(sources.get(item.object, item.object)), item.name] += item.size
    return found


def _by_account(
    section: Any, inputs: list[_Input], accounts: Mapping[str, Category]
) -> Iterator[tuple[Category, int]]:
    """Every byte goes to the input that starts last at or before it: so the sum is the section's size."""
    owner_of = {item.address: item.object for item in inputs if item.output == section.name}
    starts = sorted(owner_of)
    start, end = int(section["sh_addr"]), int(section["sh_addr"] + section["sh_size"])
    yield "application", (starts[0] if starts else end) - start
    for at, until in zip(starts, [*starts[1:], end], strict=True):
        yield accounts.get(owner_of[at], "application"), until - at


def _padding_between(elf: Any, loads: list[Any]) -> int:
    """Gaps that alignment leaves between an image's sections, by load address; on hosts there is no image."""
    if elf["e_type"] != "ET_EXEC":
        return 0
    segments = [s for s in elf.iter_segments("PT_LOAD") if s["p_filesz"] > 0]
    start = min(s["p_paddr"] for s in segments)
    end = max(s["p_paddr"] + s["p_filesz"] for s in segments)
    return int(end - start - sum(s["sh_size"] for s in loads))


def _map_inputs(text: str) -> list[_Input]:
    """All inputs that take space."""
    _, _, body = text.partition("Linker script and memory map")
    body = re.sub(r"\n( ?\S+)\n +0x", r"\n\1 0x", body)  # long names stand on a line of their own
    inputs, output = [], ""
    for line in body.splitlines():
        if found := _OUTPUT.match(line):
            output = found[1]
        elif (found := _INPUT.match(line)) and int(found[3], 16) > 0:
            inputs.append(_Input(output, found[1] or "", int(found[2], 16), int(found[3], 16), found[4]))
    return inputs
