"""Makes the variants of a recipe: one step after the other, from a model file to an integer graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property, partial
from typing import Any

import numpy as np

from offramp.compress.accuracy import Accuracy, accuracy, class_count
from offramp.compress.cascade import cascaded, cheapest
from offramp.compress.data import Data, load_data
from offramp.compress.dequantize import dequantize
from offramp.compress.ensemble import ensemble
from offramp.compress.exits.calibrate import Calibrated, with_thresholds
from offramp.compress.exits.calibrate import calibrate as calibrate_exits
from offramp.compress.exits.frozen import add_exits
from offramp.compress.exits.heads import confidences_of
from offramp.compress.exits.judging import Costs, described, evidence_on, macs_by_exit
from offramp.compress.exits.maps import with_map_heads
from offramp.compress.exits.options import AUTO, FrozenOptions
from offramp.compress.exits.points import choose
from offramp.compress.mixed import mixed_precision
from offramp.compress.nested import nested
from offramp.compress.options import QuantizeOptions
from offramp.compress.quantize import quantize
from offramp.compress.recipe import (
    Binary,
    Cascade,
    Ensemble,
    Exits,
    Family,
    Gate,
    Joint,
    Mixed,
    Nested,
    Prune,
    Quantize,
    Recipe,
    Slim,
    Sparsify,
    Student,
    Train,
    Trained,
)
from offramp.compress.training import Schedule, Shares, Teaching, Training
from offramp.errors import UserError
from offramp.frontends import load_model
from offramp.ir import Graph, Quantization, Tensor
from offramp.ops.op import constant

# (what is done, how much of it, how much there is)
Told = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Work:
    """A variant in the making. `graph` is None until it is quantized; `options` made it of `real`."""

    name: str
    real: Graph
    graph: Graph | None = None
    options: QuantizeOptions | None = None
    sparse: bool = False  # zeros stay in what is trained further
    notes: tuple[str, ...] = ()
    calibrated: Calibrated | None = None  # thresholds of the graph's exits

    def noted(self, text: str) -> Work:
        return replace(self, notes=(*self.notes, text))

    @property
    def result(self) -> Graph:
        """What is written: integers, or the float graph where no step quantizes."""
        return self.real if self.graph is None else self.graph


class Workshop:
    """Makes variants, each once; `told` hears of the progress."""

    def __init__(
        self,
        recipe: Recipe,
        told: Told = lambda what, done, total: None,
        threads: int = 2,
        costs: Costs = macs_by_exit,
    ) -> None:
        self.recipe, self.told, self.threads, self.costs = recipe, told, threads, costs
        self.made: dict[str, Work] = {}
        self.files: dict[str, Graph] = {}  # graphs of model files as they are
        self.loaded: dict[str, Graph] = {}  # float graphs of them

    @cached_property
    def data(self) -> Data:
        if self.recipe.data is None:
            raise UserError(
                f"{self.recipe.name}: no data for calibration",
                "a few hundred rows like those the board will see: --data FILE.npz, or [data] in the recipe",
            )
        count = class_count(self.file(self.recipe.model))
        classes = count if count > 1 else None  # one output is a value, not a class
        return load_data(self.recipe.data, self.recipe.folder, self.own_input(), classes)

    def own_input(self) -> Tensor | None:
        """The only input of the recipe's model where that takes integers, which data may hold as they are."""
        graph = self.file(self.recipe.model)
        return graph.tensors[graph.inputs[0]] if not graph.is_float and len(graph.inputs) == 1 else None

    def file(self, name: str) -> Graph:
        if name not in self.files:
            self.files[name] = load_model(self.recipe.folder / name)
        return self.files[name]

    def make(self, name: str) -> Work:
        """A variant; those that it builds on are made first. UserError where a step cannot be done."""
        if name not in self.made:
            variant = self.recipe.variant(name)
            work = self.begun(name, variant.model)
            for step in variant.steps:
                work = STEPS[type(step)](self, work, step)
            self.made[name] = replace(work, graph=self.signed(work))
        return self.made[name]

    def begun(self, name: str, model: str) -> Work:
        """From a variant before, or a model file; an integer model is dequantized."""
        if model in self.recipe.variants:
            return replace(self.make(model), name=name, graph=None, notes=(), calibrated=None)
        file = model or self.recipe.model
        if file not in self.loaded:
            self.loaded[file] = dequantize(self.file(file))
        return Work(name, self.loaded[file])

    def integers(self, work: Work) -> Graph:
        """What a variant is so far: quantized by a step, or by its model file if nothing has changed that."""
        if work.graph is not None:
            return work.graph
        for file, real in self.loaded.items():
            if real is work.real and not self.files[file].is_float:
                return self.files[file]
        raise UserError(f"{work.name} is not quantized", 'add {do = "quantize"} before this step')

    def signed(self, work: Work) -> Graph | None:
        """The integer graph with its name and what was done to it."""
        if work.graph is None:
            return None
        labels = self.recipe.data and self.data.labels
        told = {**work.graph.metadata, "recipe": self.recipe.name, "steps": "; ".join(work.notes)}
        return replace(work.graph, name=work.name, labels=labels or work.graph.labels, metadata=told)

    def accuracy(self, graph: Graph) -> Accuracy | None:
        """On the validation rows: for choosing and for notes, not for reports."""
        rows = self.data.validation
        return None if rows.y is None else accuracy(graph, rows.x, rows.y)

    def calibration(self, rows: int) -> Any:
        return self.data.train.x[:rows]

    def inputs(self, graph: Graph) -> Mapping[str, Quantization]:
        """Of the input, where the recipe gives it."""
        given = self.recipe.input
        if given is None:
            return {}
        return {
            graph.tensors[i].name: Quantization((given.scale,), (given.zero_point,)) for i in graph.inputs
        }

    def teachers(self, names: Sequence[str]) -> list[Graph]:
        """Float graphs of variants or model files."""
        return [
            self.make(name).real if name in self.recipe.variants else self.begun(name, name).real
            for name in names
        ]

    def training(self, step: Trained) -> Training:
        """The step's keys as the training loop takes them."""
        given = {f.name: getattr(step, f.name) for f in fields(Schedule)}
        return Training(**given, validation=0.0, threads=self.threads)

    def loss(self, work: Work, step: Trained) -> Any:
        """Labels alone, or beside them what the teachers say; of all answers where there are exits."""
        from offramp.compress.train import distill, fit, joint

        if work.real.exits:
            teachers = self.teachers(step.teachers)
            return joint.joint_loss(work.real, Shares(), teachers, step.label_smoothing)
        if not step.teachers:
            return fit.cross_entropy(step.label_smoothing)
        teaching = Teaching(step.temperature, step.teacher_weight)
        return distill.distillation(work.real, self.teachers(step.teachers), teaching, step.label_smoothing)

    def hooks(self, what: str) -> dict[str, Any]:
        return {"progress": lambda done, total, loss: self.told(f"{what}, loss {loss:.3f}", done, total)}


def must_train(work: Work, step: Trained) -> None:
    if step.epochs <= 0:
        raise UserError(
            f"{work.name}: {type(step).__name__.lower()} with {step.epochs:g} epochs",
            "say how long: epochs = 10",
        )


def train(shop: Workshop, work: Work, step: Train) -> Work:
    must_train(work, step)
    from offramp.compress.train import fit, module, sparsify

    x, y = shop.data.train.labelled("training")
    made = module.settle(module.to_module(work.real, with_batch_norm=True), x[: module.SETTLED])
    zeros = sparsify.keep_zeros(made) if work.sparse else None
    hooks = shop.hooks(f"{work.name}: training")
    fit.fit(made, x, y, shop.training(step), shop.loss(work, step), zeros, **hooks)
    real = module.to_graph(made)
    return replace(work, real=real, graph=None).noted(f"trained {step.epochs:g} epochs{judged(shop, real)}")


def judged(shop: Workshop, graph: Graph) -> str:
    found = shop.accuracy(graph)
    return "" if found is None else f", {found.value:.2%} of {found.samples} validation rows"


def student(shop: Workshop, work: Work, step: Student) -> Work:
    """Distilled where there are teachers; then the plainly trained one is reported beside it."""
    must_train(work, step)
    from offramp.compress.train import distill, fit, module
    from offramp.compress.train.width import narrowed

    fresh = narrowed(work.real, step.width, step.seed)
    x, y = shop.data.train.labelled("training")
    hooks = shop.hooks(f"{work.name}: student")
    how = f"student of {step.width:g} of the channels, {step.epochs:g} epochs"
    if not step.teachers:
        made = module.to_module(fresh, with_batch_norm=True)
        fit.fit(made, x, y, shop.training(step), **hooks)
        real = module.to_graph(made)
        return replace(work, real=real, graph=None).noted(how + judged(shop, real))
    teaching = Teaching(step.temperature, step.teacher_weight)
    teachers = shop.teachers(step.teachers)
    found = distill.distill(fresh, teachers, x, y, shop.training(step), teaching, step.seed, **hooks)
    told = f"{how}{judged(shop, found.graph)}; the same without teachers{judged(shop, found.plain)}"
    return replace(work, real=found.graph, graph=None).noted(told)


def prune(shop: Workshop, work: Work, step: Prune) -> Work:
    must_train(work, step)
    from offramp.compress.train.prune import prune as pruned

    chosen = [(of, share) for of in ("parameters", "macs") if (share := getattr(step, of)) is not None]
    if len(chosen) != 1:
        raise UserError(
            f"{work.name}: prune takes parameters or macs, one of them", "macs = 0.5 leaves half of the MACs"
        )
    of, share = chosen[0]
    x, y = shop.data.train.labelled("pruning")
    real, _ = pruned(
        *(work.real, x, y, share, of),
        rounds=step.rounds,
        round_to=step.round_to,
        training=shop.training(step),
        loss=shop.loss(work, step),
        **shop.hooks(f"{work.name}: pruning"),
    )
    return replace(work, real=real, graph=None).noted(
        f"pruned to {share:.0%} of the {of}{judged(shop, real)}"
    )


def sparsify(shop: Workshop, work: Work, step: Sparsify) -> Work:
    must_train(work, step)
    from offramp.compress.train.sparsify import sparsify as made_sparse

    x, y = shop.data.train.labelled("setting weights to zero")
    real, _ = made_sparse(
        *(work.real, x, y, step.zeros, step.pattern),
        training=shop.training(step),
        loss=shop.loss(work, step),
        **shop.hooks(f"{work.name}: zeros"),
    )
    told = f"{zero_share(real):.0%} of the weights are zero, {step.pattern}{judged(shop, real)}"
    return replace(work, real=real, graph=None, sparse=True).noted(told)


def zero_share(graph: Graph) -> float:
    """Of the weights of convolutions and dense layers."""
    layers = [op for op in graph.ops if op.kind in ("conv_2d", "fully_connected")]
    weights = [constant(graph.tensors[op.inputs[1]]) for op in layers]
    return 1 - sum(int(np.count_nonzero(w)) for w in weights) / max(1, sum(w.size for w in weights))


def quantize_step(shop: Workshop, work: Work, step: Quantize) -> Work:
    options = QuantizeOptions(
        bits=step.bits,
        layers=step.layers,
        method=step.method,
        per_group=step.per_group,
        bias_correction=step.bias_correction,
        dynamic=step.dynamic,
        inputs=shop.inputs(work.real),
    )
    integers = quantize(work.real, shop.calibration(step.rows), options)
    told = f"{bits_of(step)}{judged(shop, integers)}"
    if work.real.members:
        integers = with_members(shop, work, step, integers, options)
    work = replace(work, graph=integers, options=options)
    if step.epochs == 0:
        return work.noted(told)
    from offramp.compress.train.qat import train_quantized

    x, y = shop.data.train.labelled("training with integers")
    graph, real, _ = train_quantized(
        *(work.real, integers, options, x, y, shop.training(step), shop.loss(work, step), work.sparse),
        **shop.hooks(f"{work.name}: training with integers"),
    )
    told = f"{told}, then {step.epochs:g} epochs with integers{judged(shop, graph)}"
    return replace(work, graph=graph, real=real).noted(told)


def with_members(
    shop: Workshop, work: Work, step: Quantize, integers: Graph, options: QuantizeOptions
) -> Graph:
    """The integer family of a float one; each member tells its accuracy on the validation rows."""
    if step.epochs > 0:
        raise UserError(
            f"{work.name}: quantize with epochs would train the widest of several widths alone",
            "leave epochs out of the step behind slim",
        )
    members = (quantize(m, shop.calibration(step.rows), options) for m in work.real.members)
    return replace(with_accuracy(shop, integers), members=tuple(with_accuracy(shop, m) for m in members))


def bits_of(step: Quantize) -> str:
    some = ", ".join(f"{name} {bits}" for name, bits in step.layers.items())
    return f"quantized to {step.bits} bits{f' ({some})' if some else ''}"


def mixed(shop: Workshop, work: Work, step: Mixed) -> Work:
    if step.lost_points is None and step.weight_bytes is None:
        raise UserError(f"{work.name}: mixed has no limit", "give lost_points or weight_bytes")
    rows = shop.data.validation
    x, y = rows.labelled("mixed precision")
    floor = None
    if step.lost_points is not None:
        floor = accuracy(work.real, x, y).value - step.lost_points / 100
    options = QuantizeOptions(inputs=shop.inputs(work.real))
    found = mixed_precision(
        *(work.real, shop.calibration(step.rows), x, y),
        floor=floor,
        ceiling=step.weight_bytes,
        choices=step.choices,
        options=options,
    )
    told = ", ".join(f"{name} {bits}" for name, bits in found.best.bits.items())
    work = replace(work, graph=found.best.graph, options=replace(options, layers=found.best.bits))
    return work.noted(f"bits by layer: {told}{judged(shop, found.best.graph)}")


def nested_step(shop: Workshop, work: Work, step: Nested) -> Work:
    if work.graph is None:
        raise UserError(f"{work.name}: nested stands before quantize", "quantize first")
    graph, found = nested(work.graph, shop.calibration(500), shop.data.validation, step.lost_points)
    told = (
        f"two planes: 4 bits {found.accuracy_cheap:.2%}, 8 bits {found.accuracy_dear:.2%}, "
        f"together {found.accuracy:.2%} with {found.again:.1%} of the rows run again"
    )
    return replace(work, graph=graph).noted(told)


def cascade_step(shop: Workshop, work: Work, step: Cascade) -> Work:
    graph, found = cascaded(quantized(work), shop.data.validation, step.lost_points)
    told = (
        f"{cheapest(graph).name} {found.accuracy_cheap:.2%}, {graph.name} {found.accuracy_dear:.2%}, "
        f"together {found.accuracy:.2%} with {found.again:.1%} of the rows run again, below a margin of {found.margin}"
    )
    return replace(work, graph=graph).noted(told)


def family(shop: Workshop, work: Work, step: Family) -> Work:
    """Each member tells its accuracy on the validation rows, so that the firmware's host can choose."""
    first = quantized(work)
    members = [with_accuracy(shop, quantized(shop.make(name))) for name in step.members]
    graph = replace(with_accuracy(shop, first), members=tuple(members))
    return replace(work, graph=graph).noted(f"with {', '.join(step.members)} in one blob")


def quantized(work: Work) -> Graph:
    if work.graph is None:
        raise UserError(f"{work.name} is not quantized", 'add {do = "quantize"} to its steps')
    return work.graph


def with_accuracy(shop: Workshop, graph: Graph) -> Graph:
    found = shop.accuracy(graph)
    told = {} if found is None else {"accuracy": f"{found.value:.4f}", "accuracy_rows": str(found.samples)}
    return replace(graph, metadata={**graph.metadata, **told})


def slim_step(shop: Workshop, work: Work, step: Slim) -> Work:
    must_train(work, step)
    if step.teachers:
        raise UserError(f"{work.name}: slim takes no teachers", "its narrower widths learn from the widest")
    from offramp.compress.train.slim import slim

    x, y = shop.data.train.labelled("training")
    hooks = shop.hooks(f"{work.name}: widths")
    real, _ = slim(work.real, x, y, step.widths, shop.training(step), step.round_to, **hooks)
    widths = ", ".join(
        f"{width:g}{judged(shop, g)}" for width, g in zip(step.widths, (real, *real.members), strict=True)
    )
    return replace(work, real=real, graph=None).noted(
        f"widths trained together, {step.epochs:g} epochs: {widths}"
    )


def gate_step(shop: Workshop, work: Work, step: Gate) -> Work:
    if work.graph is None or work.options is None or not work.graph.members:
        raise UserError(
            f"{work.name}: gate stands before quantize, or there are no widths", "slim, quantize, gate"
        )
    from offramp.compress.train.gate import gated

    options = work.options

    def integers(graph: Graph) -> Graph:
        return quantize(graph, shop.calibration(500), options)

    told = partial(shop.told, f"{work.name}: gate")
    train = shop.data.train.take(slice(0, step.rows))
    found = gated(work.graph, work.real, train, shop.data.validation, step.lost_points, integers, told=told)
    shares = ", ".join(f"{share:.1%}" for share in found.shares)
    return replace(work, graph=found.graph).noted(
        f"gate: {found.accuracy:.2%} of the validation rows at {found.cost:.1%} of the MACs; by width {shares} of them"
    )


def ensemble_step(shop: Workshop, work: Work, step: Ensemble) -> Work:
    graphs = [quantized(work), *(quantized(shop.make(name)) for name in step.members)]
    graph = ensemble(graphs, work.name)
    told = f"averaged with {', '.join(step.members)}{judged(shop, graph)}"
    return replace(work, graph=graph).noted(told)


def joint_step(shop: Workshop, work: Work, step: Joint) -> Work:
    must_train(work, step)
    from offramp.compress.train.joint import train_jointly

    x, y = shop.data.train.labelled("joint training")
    points = choose(work.real, AUTO if step.at == (AUTO,) else step.at)
    real = train_jointly(
        *(with_map_heads(work.real, points), x, y, shop.training(step)),
        Shares(step.exits, step.temperature, step.teacher_weight),
        shop.teachers(step.teachers),
        **shop.hooks(f"{work.name}: exits and backbone"),
    )
    where = ", ".join(p.layer for p in points)
    told = f"exits behind {where}, trained jointly for {step.epochs:g} epochs{judged(shop, real)}"
    return replace(work, real=real, graph=None).noted(told)


def exits_step(shop: Workshop, work: Work, step: Exits) -> Work:
    graph, rows = shop.integers(work), shop.data.train
    if graph.exits:
        rows = shop.data.validation
        evidence = evidence_on(graph, rows.x, rows.y)
    else:
        own = {f.name: getattr(step, f.name) for f in fields(FrozenOptions) if hasattr(step, f.name)}
        points = choose(graph, AUTO if step.at == (AUTO,) else step.at)

        def told(done: int, total: int) -> None:
            shop.told(f"{work.name}: heads of exits", done, total)

        frozen = add_exits(graph, points, rows.x, rows.y, FrozenOptions(**own), told)
        graph, evidence = frozen.graph, frozen.held
    costs = shop.costs(graph)
    found = calibrate_exits(evidence, costs, step.lost_points, confidences_of(graph))
    graph = with_thresholds(graph, found)
    work = replace(work, graph=graph, calibrated=found)
    return work.noted(described(graph, found, costs, len(rows)))


def binary(shop: Workshop, work: Work, step: Binary) -> Work:
    must_train(work, step)
    from offramp.compress.train.binary import binarize

    x, y = shop.data.train.labelled("training of one bit")
    real, _ = binarize(
        *(work.real, step.layers, x, y),
        training=shop.training(step),
        loss=shop.loss(work, step),
        **shop.hooks(f"{work.name}: one bit"),
    )
    return replace(work, real=real, graph=None).noted(
        f"one bit in {', '.join(step.layers)}{judged(shop, real)}"
    )


STEPS: dict[type, Callable[[Workshop, Work, Any], Work]] = {
    Train: train,
    Student: student,
    Prune: prune,
    Sparsify: sparsify,
    Binary: binary,
    Quantize: quantize_step,
    Mixed: mixed,
    Nested: nested_step,
    Cascade: cascade_step,
    Joint: joint_step,
    Exits: exits_step,
    Family: family,
    Slim: slim_step,
    Gate: gate_step,
    Ensemble: ensemble_step,
}
