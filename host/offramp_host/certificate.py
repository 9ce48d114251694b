"""Compares what a run took with what a blob's certificate says of it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from elftools.elf.elffile import ELFFile

from offramp.blob.read import Blob
from offramp.errors import UserError
from offramp.plan import Certificate


def code_sha256(elf: Path) -> str:
    """Identifies an image's code; the bounds hold for no other."""
    with elf.open("rb") as file:
        return hashlib.sha256(ELFFile(file).get_section_by_name(".text").data()).hexdigest()


def holds_for(blob: Blob, elf: Path) -> Certificate | None:
    """The blob's certificate, if it has one and it is for this image."""
    found = blob.plans[0].certificate
    return found if found is not None and found.code_sha256 == code_sha256(elf) else None


def check(
    certificate: Certificate,
    name: str,
    steps: Sequence[int],
    inference: int,
    stack_bytes: int,
    ram_bytes: int,
) -> None:
    """UserError where a run took more than the certificate says."""
    figures = [
        *(
            (f"step {i}", "instructions", n, bound.most)
            for i, (n, bound) in enumerate(zip(steps, certificate.steps, strict=True))
        ),
        ("the inference", "instructions", inference, certificate.inference.most),
        ("the image", "bytes of stack", stack_bytes, certificate.stack_bytes),
        ("the image", "bytes of RAM", ram_bytes, certificate.ram_bytes),
    ]
    for what, unit, found, allowed in figures:
        if found > allowed:
            raise UserError(
                f"{name}: {what} took {found:,} {unit}, the blob's certificate allows {allowed:,} {unit}",
                "the certificate is not what was proved: pack the model again with --certify",
            )
