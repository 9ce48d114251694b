"""A recipe: which model, on which data, made smaller by which steps; read from TOML and checked before work begins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from offramp.compress.data import Source
from offramp.compress.exits.options import FrozenOptions, check_asked
from offramp.compress.options import QuantizeOptions
from offramp.compress.training import BINARY_TRAINING, RETRAINING, TUNING, Schedule, Shares, Teaching
from offramp.errors import UserError
from offramp.toml_table import fill, nearest, read_toml


@dataclass(frozen=True)
class Trained(Schedule):
    """A step that can train; with 0 epochs it does not."""

    epochs: float = 0.0  # passes over the training rows
    optimizer: str = TUNING.optimizer  # sgd or adamw
    rate: float = TUNING.rate  # highest learning rate: rises to it and falls along half cosines
    teachers: tuple[str, ...] = ()  # model files, or variants before this one, whose outputs are learnt too
    temperature: float = Teaching.temperature  # by which scores are divided before they are compared
    teacher_weight: float = Teaching.weight  # of the teachers' part of the loss


@dataclass(frozen=True)
class Train(Trained):
    """Trains the float network as it stands, with batch normalization; zeros that `sparsify` made stay."""

    optimizer: str = RETRAINING.optimizer  # sgd or adamw
    rate: float = RETRAINING.rate


@dataclass(frozen=True)
class Student(Trained):
    """A new network of the same shape with this share of the channels, trained from random weights.

    With teachers it is trained a second time without them, for the same epochs, and both are reported.
    """

    width: float = 0.5  # 1: as wide as the model
    optimizer: str = Schedule.optimizer  # sgd or adamw
    rate: float = Schedule.rate


@dataclass(frozen=True)
class Prune(Trained):
    """Removes whole channels until this share of the parameters or of the MACs is left."""

    parameters: float | None = None  # share that is left; this or macs
    macs: float | None = None  # share that is left
    rounds: int = 4  # of removing, each with a training of its own
    round_to: int = 4  # channels that are left of a layer are a multiple of this
    optimizer: str = RETRAINING.optimizer  # sgd or adamw
    rate: float = RETRAINING.rate


@dataclass(frozen=True)
class Sparsify(Trained):
    """Sets weights to zero, gradually while training."""

    zeros: float = 0.9  # share of the weights; N:M says it by itself
    pattern: str = "unstructured"  # 1x4, or N:M such as 2:4
    optimizer: str = RETRAINING.optimizer  # sgd or adamw
    rate: float = RETRAINING.rate


@dataclass(frozen=True)
class Binary(Trained):
    """Weights and activations of one bit in these hidden convolutions."""

    layers: tuple[str, ...] = ()  # by name, as `offramp inspect` prints them
    weight_decay: float = BINARY_TRAINING.weight_decay
    rate: float = BINARY_TRAINING.rate


@dataclass(frozen=True)
class Quantize(Trained):
    """Integers. With epochs it trains with the integers' own arithmetic (quantization-aware)."""

    bits: int = 8  # 8, 4 (weights, activations at 8) or 16 (activations, weights at 8)
    layers: Mapping[str, int] = field(default_factory=dict)  # bits of single layers by name
    per_group: bool = QuantizeOptions.per_group  # at 4 bits: a factor for 32 weights; generic kernels only
    method: str = QuantizeOptions.method  # of calibration: minmax, percentile or mse
    rows: int = 500  # for calibration
    bias_correction: bool = QuantizeOptions.bias_correction  # the mean error of channels is taken out
    dynamic: tuple[str, ...] = ()  # fully connected layers whose input range is found at run time


@dataclass(frozen=True)
class Mixed:
    """The cheapest bits for each layer under a floor of accuracy, a ceiling of bytes, or both."""

    lost_points: float | None = None  # most points of accuracy, on the validation rows, against float
    weight_bytes: int | None = None  # most bytes of weights and biases
    choices: tuple[int, ...] = (4, 8)  # bits to choose from: 4, 8, 16
    rows: int = 500  # for calibration


@dataclass(frozen=True)
class Nested:
    """Two plans over one set of weights: four bits first, eight where the answer is unsure."""

    lost_points: float = 0.3  # most points of accuracy, on the validation rows, against eight bits


@dataclass(frozen=True)
class Family:
    """This variant with others of the recipe as members, in one blob."""

    members: tuple[str, ...] = ()  # variants before this one


@dataclass(frozen=True)
class Slim(Trained):
    """A new network of the same shape trained from random weights at several widths, which share these.

    The narrower widths are members; quantize keeps the weights shared, and the blob holds them once.
    """

    widths: tuple[float, ...] = (1.0, 0.75, 0.5, 0.25)  # shares of the channels, from 1 down
    round_to: int = 4  # channels of a layer are a multiple of this
    optimizer: str = Schedule.optimizer  # sgd or adamw
    rate: float = Schedule.rate


@dataclass(frozen=True)
class Gate:
    """A small network that names the width to run from what the narrowest one's first layer makes of the input."""

    lost_points: float = 0.3  # most points of accuracy, on the validation rows, against the widest
    rows: int = 10000  # of the training rows, that it is trained on


@dataclass(frozen=True)
class Cascade:
    """The cheapest member of a family answers; where its two largest scores are close, the first one runs too."""

    lost_points: float = 0.3  # most points of accuracy, on the validation rows, against the first


@dataclass(frozen=True)
class Ensemble:
    """This variant and others run together, their outputs averaged."""

    members: tuple[str, ...] = ()  # variants before this one


@dataclass(frozen=True)
class Joint(Trained):
    """Ways out before the last layer, and the whole float network trained with them; `quantize` and `exits` follow.

    Exits learn from the labels and the last answer's scores; it learns from the labels, and from teachers if any.
    """

    at: tuple[str, ...] = ("auto",)  # layers by name, as `offramp inspect` prints them; or auto
    exits: float = Shares.exits  # all exits' part of the loss, beside 1 of the last answer
    temperature: float = Shares.temperature  # by which scores are divided before they are compared
    teacher_weight: float = Shares.taught  # of the taught part of an exit's loss, and of teachers'
    optimizer: str = RETRAINING.optimizer  # sgd or adamw
    rate: float = RETRAINING.rate


@dataclass(frozen=True)
class Exits:
    """Ways out before the last layer, on the quantized graph, whose own bits stay; thresholds that lose little.

    On an int8 model file it needs no `quantize` before it. Where the graph has exits already it sets thresholds only,
    on the validation rows.
    """

    at: tuple[str, ...] = ("auto",)  # layers by name, as `offramp inspect` prints them; or auto
    lost_points: float = 1.0  # most points of accuracy against the last answer, with 95 % confidence
    hidden: int | None = None  # values between two dense layers of a head, 0: one layer; else by budgets
    final: bool = False  # train the last dense layer on the same rows too
    mixtures: int = FrozenOptions.mixtures  # for each row so many mixed with others, answered by the model
    seed: int = FrozenOptions.seed  # of random numbers; equal seeds give equal bits


Step = (
    Train
    | Student
    | Prune
    | Sparsify
    | Binary
    | Quantize
    | Mixed
    | Nested
    | Joint
    | Exits
    | Family
    | Slim
    | Gate
    | Cascade
    | Ensemble
)
STEPS: dict[str, type] = {cls.__name__.lower(): cls for cls in get_args(Step)}


@dataclass(frozen=True)
class Variant:
    """One way of making the model smaller."""

    steps: tuple[Any, ...]  # in their order, each with `do` and its keys, below
    model: str = ""  # instead of the recipe's: a model file, or a variant before this one


@dataclass(frozen=True)
class InputQuantization:
    """Of the model's only input: real = scale * (integer - zero_point)."""

    scale: float  # of one step of the integer
    zero_point: int  # the integer that stands for 0.0


@dataclass(frozen=True)
class Search:
    """What `offramp compress RECIPE --search` tries; each entry of `space` is [low, high] or a list of choices."""

    trials: int = 40  # all that are computed; a search goes on until then
    population: int = 10  # trials of a generation
    seed: int = 1  # of the choices; equal seeds give equal trials
    objectives: tuple[str, ...] = ("accuracy", "blob_bytes", "instructions")  # accuracy and costs, below
    epochs: float = 1.0  # of each step that trains
    augment: tuple[str, ...] = ()  # of each step that trains
    teachers: tuple[str, ...] = ()  # of each step that trains: model files or variants
    space: Mapping[str, Any] = field(default_factory=dict)  # what is varied: the table [search.space], below


@dataclass(frozen=True)
class Recipe:
    """A model, data, and what is to be made of it."""

    name: str = field(metadata={"default": "the file's name"})  # told in every graph
    folder: Path  # relative paths in the recipe count from here
    model: str  # a file: .ofg, .onnx, .pt2 or .tflite
    variants: Mapping[str, Variant]
    data: Source | None = None
    input: InputQuantization | None = None
    board: str = "mps2_an386"  # of the card and of a search
    search: Search | None = None

    def __post_init__(self) -> None:
        """UserError names a number that is below the least allowed."""
        for where, table in (("[data]", self.data), ("[search]", self.search)):
            check_numbers(where, table)
        for name, variant in self.variants.items():
            for step in variant.steps:
                check_numbers(f"variant {name}, {type(step).__name__.lower()}", step)

    def variant(self, name: str) -> Variant:
        if name not in self.variants:
            raise UserError(
                f"{self.name}: no variant {name}; there are {', '.join(self.variants)}",
                f"try --variant {nearest(name, self.variants)}",
            )
        return self.variants[name]


LEAST: dict[str, float] = {
    **dict.fromkeys(("rows", "batch", "rounds", "round_to", "trials", "population"), 1),
    **dict.fromkeys(("seed", "validation", "epochs", "mixtures", "hidden", "rate", "weight_decay"), 0),
    **dict.fromkeys(("teacher_weight", "exits"), 0),
}
ABOVE_0 = ("divide", "temperature", "width", "scale")


def check_numbers(where: str, table: Any) -> None:
    for key, value in ({} if table is None else vars(table)).items():
        if isinstance(value, int | float) and not isinstance(value, bool):
            least = LEAST.get(key)
            if (least is not None and value < least) or (key in ABOVE_0 and value <= 0):
                wanted = "a number above 0" if key in ABOVE_0 else f"at least {least:g}"
                raise UserError(f"{where}: {key} is {value:g}", f"{wanted} is needed")


def load_recipe(path: Path) -> Recipe:
    """UserError names a key that is unknown, missing or of a wrong type, and the nearest known one."""
    table = {"name": path.stem, **read_toml(path), "folder": path.parent}
    variants = {
        name: variant_of(entry, f"{path}: variant {name}") for name, entry in table.pop("variant", {}).items()
    }
    if not variants and "search" not in table:
        raise UserError(f"{path}: no variant", 'add [variant.NAME] with steps = [{do = "quantize"}]')
    recipe: Recipe = fill(Recipe, {**table, "variants": variants}, str(path))
    for name, variant in recipe.variants.items():
        check_references(recipe, name, variant, path)
    return recipe


def variant_of(entry: Any, where: str) -> Variant:
    if not isinstance(entry, dict) or not entry.get("steps"):
        raise UserError(f"{where}: no steps", 'steps = [{do = "quantize"}] is the least')
    steps = tuple(step_of(step, f"{where}, step {i + 1}") for i, step in enumerate(entry["steps"]))
    found: Variant = fill(Variant, {**entry, "steps": steps}, where)
    return found


def step_of(entry: Any, where: str) -> Any:
    kind = entry.get("do") if isinstance(entry, dict) else None
    if kind not in STEPS:
        raise UserError(
            f"{where}: do = {kind!r} is unknown",
            f"try {nearest(str(kind), STEPS)}; known: {', '.join(STEPS)}",
        )
    where = f"{where} ({kind})"
    step = fill(STEPS[kind], {k: v for k, v in entry.items() if k != "do"}, where)
    if isinstance(step, Exits):
        check_asked(step.at, step.lost_points, f"{where}: at", f"{where}: lost_points")
    return step


def check_references(recipe: Recipe, name: str, variant: Variant, path: Path) -> None:
    """Members, and models and teachers that are variants, must stand before this one."""
    before = list(recipe.variants)[: list(recipe.variants).index(name)]
    others = [variant.model] + [t for step in variant.steps for t in getattr(step, "teachers", ())]
    named = [other for other in others if other in recipe.variants]
    for step in variant.steps:
        for member in [*named, *getattr(step, "members", ())]:
            if member not in before:
                raise UserError(
                    f"{path}: variant {name} names {member}, which does not stand before it",
                    f"variants before it: {', '.join(before) or 'none'}",
                )
