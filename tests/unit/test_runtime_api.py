"""The C API keeps what offramp.h promises: each case of runtime_api.c under ASan and UBSan."""

from __future__ import annotations

import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from offramp.blob import write
from offramp.plan import Bound, Certificate, Options, Plan, make_plan
from tests.families import family
from tests.fuzz import programs, seeds

SOURCE = Path(__file__).with_suffix("").with_name("runtime_api.c")
CASES = re.findall(r"^CASE\((\w+)\)", SOURCE.read_text(), re.MULTILINE)


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The program and its models: ordinary, input in the caller's memory, with state, certified, a family."""
    folder = tmp_path_factory.mktemp("api")
    plans = {
        "keyword": seeds.plan(seeds.keyword_net(), programs.POSIX, folder, Options()),
        "caller": seeds.plan(seeds.keyword_net(), programs.POSIX, folder, Options(caller_inputs=("input",))),
        "streaming": seeds.plan(seeds.streaming_net(), programs.POSIX, folder, Options()),
    }
    steps = tuple(Bound(1000 + i, 1) for i in range(len(plans["keyword"].steps)))
    certificate = Certificate(steps, Bound(9000, 9000), 100, 200, "a compiler", "0" * 64)
    plans["certified"] = replace(plans["keyword"], certificate=certificate)
    plans["family"] = stated(make_plan(family(), programs.POSIX))
    for name, plan in plans.items():
        (folder / name).write_bytes(write(plan))
    program = programs.host_program(SOURCE, seeds.kernels_of(plans), folder / "program")
    return [program, *(folder / name for name in plans)]


def stated(plan: Plan) -> Plan:
    """A family whose plans say of themselves what the program expects."""
    plans = []
    for i, member in enumerate(plan.every):
        bounds = tuple(Bound(100 + i, 1) for _ in member.steps)
        certificate = Certificate(bounds, Bound(1000 * (3 - i), 1), 100, 200, "a compiler", "0" * 64)
        plans.append(replace(member, certificate=certificate))
    return replace(plans[0], members=tuple(plans[1:]))


def test_cases_are_found() -> None:
    assert len(CASES) > 10


@pytest.mark.parametrize("case", CASES)
def test_contract(command: list[Path], case: str) -> None:
    program, *models = command
    done = subprocess.run([program, case, *models], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
