"""Where rows come from: a name on the command line to rows that the model takes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from offramp.blob.read import Port
from offramp.errors import UserError
from offramp.ir import DTYPES
from offramp_host.monitor import live, recorded
from offramp_host.monitor.maker import Maker, Options, Pairs
from offramp_host.monitor.model import Array, FrontEnd, Model, integers
from offramp_host.monitor.recording import holds_sound

KINDS = "x.npy, x.npz, a folder of images, x.wav, x.csv, synthetic[:SEED], camera[:N] or mic"
_SYNTHETIC_ROWS = 256
_TAKEN: dict[Maker, tuple[str, ...]] = {
    recorded.images: ("divide",),
    live.camera: ("divide",),
    recorded.table: ("divide", "hop"),
    recorded.sound: ("divide", "hop", "rate_hz"),
    live.microphone: ("divide", "hop", "rate_hz"),
}
"""Options that each kind of source has a use for."""


@dataclass(frozen=True)
class Item:
    """One row: an array for each input, shaped and typed as the model takes it."""

    name: str
    inputs: tuple[Array, ...]


@dataclass(frozen=True)
class Source:
    """`rows` makes one pass; a live source has no end, and its rows come when they come."""

    name: str
    rows: Callable[[], Iterator[Item]]
    is_live: bool = False
    new: int | None = None
    """Rows are windows of raw samples for the front end on the board, each with so many that the last had not."""
    warning: str = ""
    """What a person should know of the rows; "": nothing."""


def open_source(name: str, model: Model, options: Options) -> Source:
    """UserError where there is no such source, or the model cannot take what it gives."""
    seed, path = _seed_of(name), Path(name)
    if path.suffix.lower() in (".npy", ".npz") and not holds_sound(path):
        options.refuse_all_but((), name)
        rows, warning = recorded.arrays(path, model.inputs)
        items = [Item(f"row {i}", row) for i, row in enumerate(rows)]
        return Source(path.name, lambda: iter(items), warning=warning)
    if seed is not None and model.front_end is None:
        options.refuse_all_but((), name)
        return Source(name, lambda: _synthetic(seed, model.inputs))
    maker = _synthetic_sound if seed is not None else _maker_of(name)
    is_live = maker in (live.camera, live.microphone)
    if model.front_end is not None:
        options.refuse_all_but((), f"{name} through a front end")
        return _for_front_end(name, maker, model.front_end, is_live)
    if len(model.inputs) != 1:
        raise UserError(
            f"--source {name}: it gives one input, the model takes {len(model.inputs)}",
            "record them in an .npz with one array an input",
        )
    options.refuse_all_but(_TAKEN[maker], name)
    pairs = maker(name, model.inputs[0], options)
    return Source(name, lambda: (Item(what, (array,)) for what, array in pairs()), is_live)


def _seed_of(name: str) -> int | None:
    """Of synthetic[:SEED]; None: it is another source."""
    found = re.fullmatch(r"synthetic(?::(\d*))?", name)
    return int(found[1] or 1) if found else None


def _maker_of(name: str) -> Maker:
    """By the name's first word, a file's ending, or of a folder; UserError where it is none of these."""
    kind, path = name.partition(":")[0], Path(name)
    by_ending: dict[str, Maker] = {
        ".wav": recorded.sound,
        ".npz": recorded.sound,
        ".csv": recorded.table,
    }
    maker = {"camera": live.camera, "mic": live.microphone}.get(kind) or by_ending.get(path.suffix.lower())
    if maker is None and path.is_dir():
        maker = recorded.images
    if maker is None:
        what = "no such source" if not path.exists() else "a file of unknown kind"
        raise UserError(f"--source {name}: {what}", f"it is {KINDS}")
    return maker


def _for_front_end(name: str, maker: Maker, front_end: FrontEnd, is_live: bool) -> Source:
    """16-bit samples as they are; UserError for a source that gives none, which would pass the front end by."""
    if maker not in _SOUND:
        raise UserError(
            f"--source {name}: it gives inputs, and the model's front end makes its own of raw samples",
            "give x.wav, mic or synthetic, inputs in an .npz, or a model that was packed without --front-end",
        )
    if front_end.element_bytes != 2:
        raise UserError(
            f"--source {name}: sound, 2 bytes a sample; the model's front end takes elements of "
            f"{front_end.element_bytes} bytes",
            "give inputs in an .npz",
        )
    raw = Port("sound", (front_end.first_run,), "s16", 2 * front_end.first_run, "input", 1 / 32768, 0)
    pairs = maker(name, raw, Options(hop=front_end.next_run, rate_hz=front_end.rate_hz or None))
    return Source(
        name, lambda: (Item(what, (array,)) for what, array in pairs()), is_live, front_end.next_run
    )


def _synthetic_sound(name: str, port: Port, options: Options) -> Pairs:
    """Windows of noise, the same for the same seed."""
    n = port.shape[0] + (_SYNTHETIC_ROWS - 1) * (options.hop or port.shape[0])
    samples = np.random.default_rng(_seed_of(name)).integers(-32768, 32768, (n, 1)) / 32768
    return recorded.windows(name, samples, port, options, lambda i: f"random sample {i}")


_SOUND: tuple[Maker, ...] = (recorded.sound, live.microphone, _synthetic_sound)
"""What a front end for sound takes."""


def _synthetic(seed: int, inputs: Sequence[Port]) -> Iterator[Item]:
    """Random rows, the same for the same seed."""
    random = np.random.default_rng(seed)
    for i in range(_SYNTHETIC_ROWS):
        yield Item(f"random {i}", tuple(_noise(random, port) for port in inputs))


def _noise(random: np.random.Generator, port: Port) -> Array:
    range_ = integers(port)
    if range_ is None:
        return random.standard_normal(port.shape).astype(DTYPES[port.dtype])
    return random.integers(range_[0], range_[1] + 1, port.shape).astype(DTYPES[port.dtype])
