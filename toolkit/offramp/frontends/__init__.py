"""Model files to graphs: one module a format."""

from __future__ import annotations

from pathlib import Path

from offramp import ofg
from offramp.errors import UserError
from offramp.frontends import onnx, pytorch, tflite
from offramp.ir import Graph
from offramp.ops.verify import verify

LOADERS = {".tflite": tflite.load, ".onnx": onnx.load, ".pt2": pytorch.load, ".ofg": ofg.load}


def load_model(path: Path) -> Graph:
    """Reads a model file of any known format and verifies the graph."""
    loader = LOADERS.get(path.suffix.lower())
    if loader is None:
        raise UserError(
            f"{path}: unknown model format {path.suffix or '(no suffix)'}",
            "a .ofr is packed for one core: name the model file that it was packed from"
            if path.suffix.lower() == ".ofr"
            else f"known formats: {', '.join(LOADERS)}",
        )
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}", "check the path") from error
    graph = loader(data, str(path))
    verify(graph, str(path))
    return graph
