"""The client's codec, imported into CPython with a stand-in for what only MicroPython has."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType
from typing import Any
from unittest import mock

from tests.micropython.interpreter import CLIENT


def load_client() -> Any:
    """The module; its codec runs here, its Board does not."""
    micropython = ModuleType("micropython")
    micropython.const = lambda value: value  # type: ignore[attr-defined]
    stand_ins = {"micropython": micropython, "uctypes": ModuleType("uctypes")}
    spec = importlib.util.spec_from_file_location("offramp_for_micropython", CLIENT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with mock.patch.dict(sys.modules, stand_ins):
        spec.loader.exec_module(module)
    return module
