"""PyTorch modules by way of torch.export, in Python or as .pt2 files, into a canonical graph."""

from __future__ import annotations

import io
import logging
import operator
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

import numpy as np

from offramp.errors import UserError
from offramp.frontends.channels_first import Builder
from offramp.frontends.pytorch_ops import CONVERTERS, PYTHON, Reference
from offramp.ir import Graph
from offramp.passes.canonical import canonical

SUPPORTED = ", ".join(sorted(CONVERTERS))
# Checks that torch.export leaves in a graph; they compute nothing.
CHECKS = (
    "_assert_scalar",
    "_assert_tensor_metadata",
    "sym_constrain_range_for_size",
    "sym_constrain_range",
    "_assert_async",
)
# Ops whose result may lie in their input's memory.
VIEWS = (
    *(
        "alias",
        "chunk",
        "contiguous",
        "detach",
        "dropout",
        "expand",
        "flatten",
        "getitem",
        "narrow",
        "permute",
    ),
    *(
        "reshape",
        "select",
        "slice",
        "split",
        "split_with_sizes",
        "squeeze",
        "t",
        "to",
        "transpose",
        "unflatten",
    ),
    *("unsqueeze", "view", "view_as"),
)


def load(data: bytes, path: str) -> Graph:
    """The graph of a .pt2 file's bytes (torch.export.save); `path` is for messages."""
    torch = imported(path)
    if data[:2] != b"PK":
        raise UserError(
            f"{path}: not a .pt2 file (no archive)",
            "write it with torch.export.save(torch.export.export(...), PATH)",
        )
    try:
        with quiet(), tensors_alone():
            program = torch.export.load(io.BytesIO(data))
    except Exception as error:  # whatever a damaged archive makes torch raise
        told = " ".join(str(error).split())[:200]
        raise UserError(
            f"{path}: truncated or damaged .pt2 file, {len(data)} bytes ({told})", "export it again"
        ) from error
    metadata = {"source": PurePath(path).name, "source_bytes": str(len(data))}
    return from_program(program, PurePath(path).stem, path, metadata)


def from_module(module: Any, example_inputs: Sequence[Any], name: str) -> Graph:
    """The canonical graph of an nn.Module in evaluation mode; `example_inputs` are tensors of a batch of 1."""
    torch = imported(name)
    training = module.training
    module.eval()
    try:
        with quiet(), torch.no_grad():
            program = torch.export.export(module, tuple(example_inputs))
    except Exception as error:
        told = str(error).strip().splitlines() or [type(error).__name__]
        raise UserError(
            f"{name}: torch.export cannot take the module in: {told[0][:200]}",
            "make its forward pass free of branches on values, see the documentation of torch.export",
        ) from error
    finally:
        module.train(training)
    return from_program(program, name, name, {"source": "torch.nn.Module"})


def imported(path: str) -> Any:
    try:
        import torch
        import torch.export
    except ImportError as error:
        raise UserError(
            f"{path}: reading PyTorch models needs the package torch", "pip install 'offramp[train]'"
        ) from error
    return torch


@contextmanager
def quiet() -> Iterator[None]:
    """torch warns of its own internals, and logs the traceback of a damaged archive."""
    log = logging.getLogger("torch.export")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)


@contextmanager
def tensors_alone() -> Iterator[None]:
    """torch.load refuses pickles of anything but tensors, which would run code of the file's."""
    name = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def from_program(program: Any, name: str, path: str, metadata: dict[str, str]) -> Graph:
    if any(is_in_place(node) and shares_memory(node.args[0]) for node in program.graph.nodes):
        with quiet():
            program = program.run_decompositions(
                {}
            )  # in-place ops become plain ones, views are traced; takes seconds
    graph = Program(program, path).graph(name, metadata)
    return canonical(graph, channels_first=True)


def is_in_place(node: Any) -> bool:
    return node.op == "call_function" and op_name(node).endswith("_") and not op_name(node).endswith("__")


def shares_memory(node: Any) -> bool:
    """Whether other tensors may be views of a node's result, or it of others'."""
    around = [node, *node.users]
    return any(op_name(n) in VIEWS for n in around if n.op == "call_function") or node.op != "call_function"


def op_name(node: Any) -> str:
    """conv2d of torch.ops.aten.conv2d.default, add of operator.add."""
    packet = getattr(node.target, "overloadpacket", None)
    return str(packet.__name__) if packet is not None else str(getattr(node.target, "__name__", node.target))


@dataclass
class Program:
    """One pass over the nodes of an exported program."""

    program: Any
    path: str
    values: dict[str, Any] = field(default_factory=dict)  # node -> tensor index, list of them, or number
    memory: dict[str, str] = field(
        default_factory=dict
    )  # in-place node -> the node whose result it overwrites

    def graph(self, name: str, metadata: dict[str, str]) -> Graph:
        self.builder = Builder(self.path)
        inputs: list[int] = []
        signature = self.program.graph_signature
        constants = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
        constants |= signature.inputs_to_lifted_tensor_constants
        outputs: list[int] = []
        for node in self.program.graph.nodes:
            self.builder.where = f"{op_name(node)} ({node.name})"
            if node.op == "placeholder" and node.name in constants:
                self.values[node.name] = self.constant(constants[node.name])
            elif node.op == "placeholder":
                inputs.append(self.input(node))
            elif node.op == "call_function":
                self.values[node.name] = self.call(node)
            elif node.op == "output":
                outputs = self.outputs(node, signature)
            elif node.op != "call_module" or "guard" not in str(node.target):
                raise self.builder.refuse("is not supported", f"supported: {SUPPORTED}")
        names = ",".join(str(n) for n in signature.user_outputs if n is not None)
        return self.builder.graph(name, inputs, outputs, {**metadata, "outputs": names})

    def constant(self, target: str) -> int:
        program = self.program
        tensor = program.state_dict[target] if target in program.state_dict else program.constants[target]
        data = tensor.detach().cpu()
        if str(data.dtype) in ("torch.float64", "torch.float16", "torch.bfloat16"):
            raise UserError(
                f"{self.path}: {target} is {str(data.dtype).split('.')[-1]}, float32 is needed",
                "call module.float() before the export",
            )
        return Reference(self.builder.constant(np.ascontiguousarray(data.numpy()), target))

    def input(self, node: Any) -> int:
        value = node.meta.get("val")
        shape = getattr(value, "shape", None)
        if shape is None or "float32" not in str(value.dtype):
            kind = type(value).__name__ if shape is None else str(value.dtype).split(".")[-1]
            raise UserError(
                f"{self.path}: input {node.name} is {kind}, float32 is needed", "pass float32 tensors alone"
            )
        dims = [n if isinstance(n, int) else -1 for n in shape]
        if any(n < 1 for n in dims[1:]):
            raise UserError(
                f"{self.path}: input {node.name} has the dynamic shape {[str(n) for n in shape]}",
                "only the batch may be open: export the model with fixed sizes",
            )
        if len(dims) > 1 and dims[0] > 1:
            raise UserError(
                f"{self.path}: input {node.name} has a batch of {dims[0]}, allowed is 1",
                "export with example inputs of one row, or with an open batch (dynamic_shapes)",
            )
        shape = [1, *dims[1:]] if dims and dims[0] < 1 else dims
        self.values[node.name] = Reference(self.builder.input(node.name, shape))
        return int(self.values[node.name])

    def call(self, node: Any) -> Any:
        name = op_name(node)
        if name in CHECKS:
            return None
        args = [self.value(a) for a in node.args]
        named = {key: self.value(a) for key, a in node.kwargs.items()}
        if node.target is operator.getitem:
            return args[0][args[1]]
        if name == "sym_size":
            return self.builder.shape(args[0])[args[1]]
        numbers = all(not self.reads_tensor(a) for a in (*node.args, *node.kwargs.values()))
        if numbers and name in PYTHON:
            return PYTHON[name](*args)
        convert = CONVERTERS.get(name.removesuffix("_") if is_in_place(node) else name)
        if convert is None:
            raise UserError(f"{self.path}: {self.builder.where} is not supported", f"supported: {SUPPORTED}")
        try:
            found = convert(self.builder, *args, **named)
        except (TypeError, ValueError, IndexError, KeyError, AssertionError) as error:
            raise self.builder.refuse(
                f"has arguments that are not supported ({error})", "use the layer's default form"
            ) from error
        if is_in_place(node):
            self.memory[node.name] = self.where(node.args[0])
            self.values[self.memory[node.name]] = Reference(found)
        return [Reference(i) for i in found] if isinstance(found, list) else Reference(found)

    def value(self, argument: Any) -> Any:
        if isinstance(argument, list | tuple):
            return [self.value(a) for a in argument]
        return self.values[self.where(argument)] if hasattr(argument, "meta") else argument

    def where(self, node: Any) -> str:
        """The node in whose memory another's result lies: in-place ops write to that of their input."""
        return self.memory.get(node.name, str(node.name))

    def reads_tensor(self, argument: Any) -> bool:
        """Whether an argument is a tensor rather than a size or number."""
        value = argument.meta.get("val") if hasattr(argument, "meta") else None
        return hasattr(value, "shape")

    def outputs(self, node: Any, signature: Any) -> list[int]:
        wanted = {n for n in signature.user_outputs if n is not None}
        found = [a for a in node.args[0] if a is not None and a.name in wanted]
        if signature.buffers_to_mutate:
            raise UserError(
                f"{self.path}: the module changes its buffer {next(iter(signature.buffers_to_mutate.values()))}",
                "call module.eval() before the export, and keep no state in the module",
            )
        return [int(self.values[self.where(a)]) for a in found]
