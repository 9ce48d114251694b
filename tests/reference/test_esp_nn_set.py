"""What kernel set esp_nn declares: version, metadata, where auto takes it, the ESP32-S3's interface."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from offramp import boards
from offramp.build import esp_nn as library
from offramp.errors import UserError
from offramp.frontends import tflite
from offramp.kernels import esp_nn
from offramp.ops import GENERIC
from offramp.plan import Options, make_plan
from offramp.resources import root
from tests.emulator.test_cmsis_nn import depthwise_case
from tests.oracle.case import SAME, Case, Grid
from tests.oracle.weighted import conv_case


def test_the_supported_library_is_the_one_with_adapters() -> None:
    assert library.SUPPORTED == (esp_nn.VERSION,)
    assert {k.packing for k in esp_nn.KERNELS} == {0x0102}


def test_another_version_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "include").mkdir()
    (tmp_path / "include" / "esp_nn.h").touch()
    (tmp_path / "idf_component.yml").write_text('version: "1.1.2"')
    monkeypatch.setenv("OFFRAMP_ESP_NN", str(tmp_path))
    with pytest.raises(UserError, match=r"version 1\.1\.2; supported is 1\.2\.6"):
        library.find()


def test_metadata_names_the_version_only_where_the_set_is_used() -> None:
    assert esp_nn.metadata(esp_nn.KERNELS[:1]) == {"esp_nn_version": "1.2.6"}
    assert esp_nn.metadata(GENERIC) == {}


def depthwise(kernel: tuple[int, int], multiplier: int = 1) -> Case:
    return depthwise_case(Grid("DEPTHWISE_CONV_2D", 0), 4, multiplier, kernel, (1, 1), SAME)


CONV = conv_case(Grid("CONV_2D", 0), 0, (8, 8), 4, 1, (8, 8), 4, (3, 3), (1, 1), (1, 1), SAME)


@pytest.mark.parametrize(
    ("case", "auto"),
    [
        (depthwise((5, 5)), "esp_nn"),
        (depthwise((3, 2), 4), "esp_nn"),
        (depthwise((1, 3)), "esp_nn"),
        (depthwise((3, 3)), "esp_nn"),
        (CONV, "generic"),
    ],
    ids=lambda x: getattr(x, "name", x),
)
def test_costs_decide_unless_the_set_is_named(case: Case, auto: str) -> None:
    graph, board = tflite.load(case.model, case.name), boards.load("rv32_virt")
    for kernels, expected in (("auto", auto), ("esp_nn", "esp_nn"), ("generic", "generic")):
        [step] = make_plan(graph, board, Options(kernels=kernels)).steps
        assert step.kernel.set == expected


@pytest.mark.parametrize("case", [depthwise((3, 3)), CONV], ids=lambda x: x.name)
def test_a_core_without_costs_gets_generic_unless_the_set_is_named(case: Case) -> None:
    graph, board = tflite.load(case.model, case.name), boards.load("esp32dev")
    for kernels, expected in (("auto", "generic"), ("esp_nn", "esp_nn")):
        [step] = make_plan(graph, board, Options(kernels=kernels)).steps
        assert step.kernel.set == expected


def prototypes(header: Path) -> dict[str, str]:
    """Function name -> result and parameter types, without names of parameters."""
    text = re.sub(r"/\*.*?\*/|//[^\n]*|^\s*#[^\n]*", "", header.read_text(), flags=re.DOTALL | re.MULTILINE)
    found = {}
    for result, name, parameters in re.findall(r"(\w+)\s+(esp_nn_\w+)\s*\(([^)]*)\)\s*;", text):
        types = [re.sub(r"\w+\s*$", "", p).replace(" ", "") for p in parameters.split(",")]
        found[name] = f"{result}({','.join(types)})"
    return found


def test_the_esp32s3_has_the_interface_that_the_adapters_call() -> None:
    """Its assembly cannot run here: what is compared are the declarations."""
    include = library.find().root / "include"
    s3_header = include / "esp_nn_esp32s3.h"
    portable, s3 = prototypes(include / "esp_nn_ansi_headers.h"), prototypes(s3_header)
    chosen = dict(re.findall(r"#define\s+(esp_nn_\w+)\s+(esp_nn_\w+)", s3_header.read_text()))
    adapters = "".join(p.read_text() for p in sorted((root() / "firmware/kernels/esp_nn").glob("*.[ch]")))
    called = set(re.findall(r"\b(esp_nn_\w+)\(", adapters))
    assert len(called) == 9
    for name in called:
        assert chosen[name].startswith(name), name
        assert (s3 | portable)[chosen[name]] == portable[f"{name}_ansi"], name
