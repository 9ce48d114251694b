"""Everything that trains, with PyTorch (extra `train`): graphs as modules, fitting, QAT, pruning, distillation."""

from offramp.errors import UserError

try:
    import torch  # noqa: F401
except ImportError as error:
    raise UserError(
        "training needs PyTorch, which is not installed", "pip install 'offramp[train]'"
    ) from error
