"""Structured pruning: whole channels go, through residuals, depthwise layers and concatenations."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from offramp.compress.options import BINARY
from offramp.compress.train.arrays import tensor_of
from offramp.compress.train.fit import (
    History,
    Loss,
    Progress,
    checked,
    cross_entropy,
    deterministic,
    fit,
)
from offramp.compress.train.layer import DENSE, WEIGHTED
from offramp.compress.train.module import SETTLED, GraphModule, settle, to_graph, to_module
from offramp.compress.training import RETRAINING, Training
from offramp.errors import UserError
from offramp.ir import Graph, Op
from offramp.ops.op import Array, elements
from offramp.passes.rewrite import macs

BATCHES, BATCH = 32, 64  # rows that the importance is measured on


def parameters(graph: Graph) -> int:
    """Weights and biases."""
    kept = {i for op in graph.ops if op.kind in WEIGHTED for i in op.inputs[1:] if i >= 0}
    return sum(elements(graph.tensors[i].shape) for i in kept)


COSTS: dict[str, Callable[[Graph], int]] = {"macs": macs, "parameters": parameters}


def prune(
    graph: Graph,
    x: Array,
    y: Array,
    share: float,
    of: str = "macs",
    rounds: int = 4,
    importance: str = "taylor",
    round_to: int = 4,
    training: Training = RETRAINING,
    loss: Loss | None = None,
    progress: Progress | None = None,
) -> tuple[Graph, History]:
    """The graph with at most this share of its `of` ("macs" or "parameters"), and the last round's history.

    Channels go in `rounds` equal factors, with a training after each. Data, `loss` and `progress` are those of `fit`.
    """
    check(share, of, importance, x)
    whole = COSTS[of](graph)
    for i in range(rounds):
        left = share ** ((i + 1) / rounds) * whole / COSTS[of](graph)
        graph = remove_channels(graph, min(left, 1.0), of, importance, round_to, x, y, training.seed)
        module = settle(to_module(graph, with_batch_norm=True), x[:SETTLED])
        history = fit(module, x, y, training, loss, progress=progress)
        graph = to_graph(module)
    return graph, history


def remove_channels(
    graph: Graph,
    share: float,
    of: str = "macs",
    importance: str = "magnitude",
    round_to: int = 4,
    x: Array | None = None,
    y: Array | None = None,
    seed: int = 0,
) -> Graph:
    """The graph with at most this share of its `of`: the least important channels for what they cost go first.

    `importance` is "magnitude" of the weights, or "taylor": weights times gradients over rows x with labels y. What
    is left of a layer's channels is a multiple of `round_to`. UserError where the share cannot be reached.
    """
    check(share, of, importance, x)
    module = to_module(graph, dense_as_convolution=True)
    for value in module.constants.values():
        value.requires_grad_(value.dim() > 1 and value.shape[1] > 1)
    if importance == "taylor":
        assert x is not None and y is not None
        measure(module, *checked(graph, x, y), seed)
    pruner, wanted = Pruner(module, importance, of, round_to), round(share * COSTS[of](graph))
    while (left := COSTS[of](to_graph(module))) > wanted:
        if not pruner.remove_one():
            raise UserError(
                f"{graph.name}: {left / COSTS[of](graph):.0%} of the {of} is the least that removing channels leaves, "
                f"{share:.0%} is wanted",
                f"ask for more, or for layers of fewer than {round_to} channels (round_to)",
            )
    return to_graph(module)


def check(share: float, of: str, importance: str, x: Array | None) -> None:
    if of not in COSTS:
        raise UserError(f"{of} cannot be pruned", f"known: {', '.join(COSTS)}")
    if importance not in ("magnitude", "taylor"):
        raise UserError(f"importance {importance} is unknown", "known: magnitude, taylor")
    if not 0 < share <= 1:
        raise UserError(f"a share of {share} of the {of}", "above 0 and at most 1")
    if importance == "taylor" and x is None:
        raise UserError("taylor importance needs training rows", "give data, or importance magnitude")


def measure(module: GraphModule, x: Array, y: Array, seed: int) -> None:
    """Leaves in each parameter's gradient the root of its mean square over batches of rows."""
    order = tensor_of(np.random.default_rng(seed).permutation(len(x))[: BATCHES * BATCH])
    trained = [p for p in module.parameters() if p.requires_grad]
    squares = [torch.zeros_like(p) for p in trained]
    module.eval()
    with deterministic(torch.get_num_threads()):
        for rows in order.split(BATCH):
            module.zero_grad()
            cross_entropy()(module, tensor_of(x)[rows], tensor_of(y)[rows]).backward()
            for total, p in zip(squares, trained, strict=True):
                total += p.grad.square() if p.grad is not None else 0
    for total, p in zip(squares, trained, strict=True):
        p.grad = total.div(len(order.split(BATCH))).sqrt()


class Pruner:
    """Removes channels of a module, some at a time, by torch-pruning's dependency graph."""

    def __init__(self, module: GraphModule, importance: str, of: str, round_to: int) -> None:
        tp = torch_pruning()
        self.module, self.of, self.round_to = module, of, round_to
        rules = {
            "taylor": tp.importance.GroupTaylorImportance,
            "magnitude": tp.importance.GroupMagnitudeImportance,
        }
        self.importance = rules[importance](normalizer=None if importance == "taylor" else "mean")
        self.at_first: dict[Any, int] = {}  # channels of each group by its first layer
        self.dependencies = tp.DependencyGraph()
        self.dependencies.build_dependency(
            module,
            [torch.zeros(2, *module.graph.tensors[i].shape[1:]) for i in module.graph.inputs],
            unwrapped_parameters=[(p, 1) for p in module.constants.values() if p.requires_grad],
            verbose=False,
        )
        self.ignored = [module.layers[str(i)].core for i in fixed_layers(module.graph)]

    def remove_one(self) -> bool:
        """Removes up to `round_to` channels where they matter least for what they cost; False: none can go.

        No layer loses over half of its channels before the others have: scores hold for small changes only.
        """
        offers = [offer for g in self.dependencies.get_all_groups(self.ignored) if (offer := self.offer(g))]
        if not offers:
            return False
        _, _, dep, channels = min(offers, key=lambda offer: offer[:2])
        self.dependencies.get_pruning_group(dep.target.module, dep.handler, channels).prune()
        return True

    def offer(self, group: Any) -> tuple[int, float, Any, list[int]] | None:
        """(halvings of the group's channels, importance for its cost, where, channels) of what may go next."""
        scores = self.importance(group)
        n = len(scores) % self.round_to or self.round_to if scores is not None else 0
        if scores is None or len(scores) <= n:
            return None
        at_first = self.at_first.setdefault(group[0].dep.target.module, len(scores))
        least = torch.argsort(scores)[:n]
        value = float(scores[least].sum()) / (n * self.cost_of_channel(group))
        halvings = math.ceil(math.log2(at_first / (len(scores) - n)))
        return halvings, value, group[0].dep, least.tolist()

    def cost_of_channel(self, group: Any) -> float:
        """MACs or parameters that go with one channel of a group, as long as the others stay."""
        layers = {layer.core: op for op, layer in self.module.weighted()}
        total = 0.0
        for dep, _ in group:
            core = dep.target.module
            if core not in layers:
                continue
            out = self.dependencies.is_out_channel_pruning_fn(dep.handler)
            positions = self.positions(layers[core]) if self.of == "macs" else 1
            total += core.weight.numel() / core.weight.shape[0 if out else 1] * positions
        return max(total, 1.0)

    def positions(self, op: Op) -> int:
        """Places of its map at which a layer's weights are used."""
        return elements(self.module.graph.tensors[op.outputs[0]].shape[1:-1])


def torch_pruning() -> Any:
    try:
        import torch_pruning
    except ImportError as error:
        raise UserError(
            "pruning channels needs torch-pruning, which is not installed", "pip install 'offramp[train]'"
        ) from error
    return torch_pruning


def fixed_layers(graph: Graph) -> set[int]:
    """Ops with weights whose channels must stay: an output, or an op that mixes or counts channels, sees them."""
    found, producers = set[int](), graph.producers()
    seen = [i for op in graph.ops if counts_channels(graph, op) for i in op.inputs]
    seen += graph.outputs
    while seen:
        maker = producers.get(seen.pop())
        if maker is None:
            continue
        op = graph.ops[maker]
        if op.kind in WEIGHTED:
            found.add(maker)
        if op.kind not in ("conv_2d", *DENSE):
            seen += [i for i in op.inputs if i >= 0]
        elif grouped(graph, op):
            seen.append(op.inputs[0])
    return found | {i for i, op in enumerate(graph.ops) if op.kind == BINARY or grouped(graph, op)}


def grouped(graph: Graph, op: Op) -> bool:
    """Whether outputs of a layer see some of its inputs only, other than one to one."""
    if op.kind not in ("conv_2d", "depthwise_conv_2d"):
        return False
    x, weights, out = (graph.tensors[i].shape for i in (*op.inputs[:2], *op.outputs))
    if op.kind == "conv_2d":
        return weights[3] != x[3]
    return x[3] not in (1, out[3])


def counts_channels(graph: Graph, op: Op) -> bool:
    """Whether an op would not be the same with channels gone from what it reads."""
    shapes = [graph.tensors[i].shape for i in op.inputs if i >= 0]
    a, last = op.attributes, len(shapes[0]) - 1
    if op.kind == BINARY:
        return True
    if op.kind == "reshape":
        return not all(reads_flat(graph, reader) for reader in readers(graph, op.outputs[0]))
    if op.kind in ("add", "sub", "mul"):
        return len({shape[-1:] for shape in shapes if elements(shape) > 1}) > 1
    if op.kind == "strided_slice":
        whole = (a.begin[last], a.length[last], a.stride[last]) == (0, shapes[0][last], 1)
        return not whole or len(a.shape) != len(a.length)
    if op.kind == "pad":
        return bool(a.before[last] or a.after[last])
    if op.kind == "softmax":
        return op.outputs[0] not in graph.outputs
    if op.kind == "mean":
        return last in a.axes
    if op.kind == "transpose":
        return bool(a.order[last] != last)
    if op.kind == "concatenation":
        return bool(a.axis != last)
    return op.kind == "split" or grouped(graph, op)


def readers(graph: Graph, tensor: int) -> list[Op | None]:
    """Ops that read a tensor, None for an output of the graph."""
    found: list[Op | None] = [graph.ops[i] for i in graph.consumers().get(tensor, [])]
    return [*found, None] if tensor in graph.outputs else found


def reads_flat(graph: Graph, op: Op | None) -> bool:
    """Whether a reader of a flattened map is a dense layer, which is then a convolution over the map."""
    return op is not None and op.kind in DENSE and len(graph.tensors[op.inputs[0]].shape) == 2
