"""What `pack --certify` has proved of a blob: bounds that no run on the image it holds for exceeds."""

from __future__ import annotations

from dataclasses import dataclass

# Of its bound: what a count may vary by and still count as one that does not depend on data.
MOST_VARIATION = 0.01


@dataclass(frozen=True)
class Bound:
    """Instructions that something takes at most and at least, whatever its input."""

    most: int
    least: int

    @property
    def data_dependent(self) -> bool:
        return self.most - self.least > MOST_VARIATION * self.most


@dataclass(frozen=True)
class Certificate:
    """`steps` are calls of ofr_step, in order; `inference` is one of ofr_run. RAM is all that the image takes, arena,
    state, stack and link buffers included."""

    steps: tuple[Bound, ...]
    inference: Bound
    stack_bytes: int
    ram_bytes: int
    compiler: str
    code_sha256: str
    """Of the image's .text section; the bounds hold for no other."""
