"""What a user may ask of a plan."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Optimize = Literal["balanced", "speed", "flash", "ram"]
OPTIMIZE: tuple[str, ...] = get_args(Optimize)


@dataclass(frozen=True)
class Options:
    kernels: str = "auto"  # auto, or the name of a set
    keep_inputs: bool = False  # inputs survive a run
    caller_inputs: tuple[str, ...] = ()  # names of inputs that stay in the caller's memory
    passes: bool = True  # graph passes run before planning
    optimize: str = "balanced"  # one of OPTIMIZE
    flash_limit: int | None = None  # bytes that the blob may take
    ram_limit: int | None = None  # bytes that arena and state may take
    names: bool = True  # the blob says what its steps are called and do, and where the model came from
    front_end: str | None = None  # what makes input 0 of raw samples, as `pack --front-end` takes it
