"""Writes a model, the runtime and the kernels that it needs as a source tree for other people's builds."""

from offramp.export.tree import Tree, tree
from offramp.export.write import check_target, write

__all__ = ["Tree", "check_target", "tree", "write"]
