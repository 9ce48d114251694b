"""`offramp test` on emulated boards: what is equal passes, what grew fails by its step, what is odd says a way out."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from offramp import boards, cli, ofg
from offramp.blob import read
from offramp.build.blob_image import blob_image
from offramp.pack import pack
from offramp.plan import make_plan
from offramp_host.emulator import Emulator
from tests import small_models
from tests.emulator.test_family import expected, image_inputs
from tests.families import family

pytestmark = pytest.mark.emulator

ROOT = Path(__file__).resolve().parents[2]
TEST = '[test.small]\nmodel = "m.tflite"\nboard = "mps2_an386"\n'


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model and its baseline."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "m.tflite").write_bytes(small_models.classifier(40))
    (folder / "offramp.toml").write_text(TEST)
    assert cli.call(["test", "--update", "--config", str(folder / "offramp.toml")]) == 0
    return folder


@pytest.fixture
def project(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, and the current folder."""
    shutil.copytree(prepared, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs a command line: its exit code, what it printed, and the lines of its errors."""

    def call(*arguments: str) -> tuple[int, str, list[str]]:
        capsys.readouterr()
        code = cli.call(arguments)
        out, err = capsys.readouterr()
        return code, out, [line for line in err.splitlines() if line.startswith(("error:", "hint:"))]

    return call


def test_equal_runs_pass_and_are_written_as_junit(project: Path, said: Any) -> None:
    before = (project / "offramp.baseline.json").read_bytes()
    code, out, errors = said("test", "--junit", "r.xml", "--json")
    assert (code, errors) == (0, [])
    [outcome] = json.loads(out)
    assert outcome["passed"] and outcome["found"] == outcome["baseline"] and outcome["grown"] == []
    root = ElementTree.fromstring((project / "r.xml").read_bytes())
    assert root.get("failures") == root.get("errors") == "0"
    names = {"bits", "instructions", "flash_bytes", "ram_bytes", "stack_bytes"}
    assert {case.get("name") for case in root.iter("testcase")} == names
    assert said("test", "small", "--update")[0] == 0
    assert (project / "offramp.baseline.json").read_bytes() == before, "it repeats exactly"


def test_a_model_that_grew_by_three_percent_fails_and_the_step_is_named(project: Path, said: Any) -> None:
    """Two more hidden values: both dense layers take more instructions, the first the most."""
    (project / "m.tflite").write_bytes(small_models.classifier(42))
    (project / "offramp.toml").write_text(TEST + "bits = false\nmax_growth = 0.02\n")
    code, out, errors = said("test", "--json")
    [outcome] = json.loads(out)
    [failed] = [check for check in outcome["checks"] if check["failure"]]
    assert code == 1 and failed["name"] == "instructions"
    assert 0.025 < failed["found"] / failed["before"] - 1 < 0.05
    assert outcome["grown"][0]["after"]["name"] == "hidden/out"
    assert "instructions grew by" in errors[0] and "hidden/out by" in errors[0]
    assert len(errors) == 2 and "offramp test small --update" in errors[1]
    assert said("test", "--update")[0] == 0
    assert said("test")[0] == 0


def test_another_kernel_set_fails_and_is_named(project: Path, said: Any) -> None:
    (project / "offramp.toml").write_text(TEST + 'kernels = "generic"\n')
    code, out, errors = said("test")
    assert code == 1 and "was dsp/" in out
    assert "grown: step" in errors[0] and "generic/" in errors[0] and "was dsp/" in errors[0]


def test_other_weights_are_other_bits(project: Path, said: Any) -> None:
    data = bytearray(small_models.classifier(40))
    biases = np.random.default_rng(7).integers(-127, 128, (40, 20)).astype(np.int8).tobytes()
    at = bytes(data).index(biases)
    data[at : at + 800] = bytes(800 * [3])
    (project / "m.tflite").write_bytes(data)
    code, _, errors = said("test")
    assert code == 1 and any("CRC-32" in line for line in errors)


def test_budgets_accuracy_and_expected_outputs(project: Path, said: Any) -> None:
    x = np.random.default_rng(3).integers(-128, 128, (6, 4, 5, 1)).astype(np.int8)
    np.savez(project / "x.npz", x=x)
    assert said("run", "m.tflite", "-b", "mps2_an386", "-i", "x.npz", "-o", "y.npz")[0] == 0
    [(_, answers)] = np.load(project / "y.npz").items()
    labels = answers.argmax(axis=1)
    labels[0] = (labels[0] + 1) % 3
    np.savez(project / "x.npz", x=x, y=labels)
    (project / "offramp.toml").write_text(
        TEST + 'inputs = "x.npz"\noutputs = "y.npz"\naccuracy = 0.83\n'
        "[test.small.budget]\nstack_bytes = 4096\nlatency_ms_estimate = 5\n"
    )
    assert said("test", "--update")[0] == 0
    code, out, _ = said("test")
    assert code == 0 and "0.8333" in out and "latency_ms_estimate" in out
    (project / "offramp.toml").write_text(
        TEST + 'inputs = "x.npz"\noutputs = "y.npz"\naccuracy = 0.84\n'
        "[test.small.budget]\nstack_bytes = 10\nlatency_ms_estimate = 0.001\n"
    )
    code, _, errors = said("test")
    assert code == 1
    for wanted in (
        "accuracy is 0.8333",
        "the budget is 10:",
        "ms (estimate), the budget is 0.00",
        "estimates erred by ",
    ):
        assert sum(wanted in line for line in errors) == 1, errors


@pytest.mark.parametrize(
    ("more", "model", "message", "hint"),
    [
        ('inputs = "none.npz"', "m.tflite", "none.npz: No such file", "check the path"),
        (
            'inputs = "x.npy"',
            "m.tflite",
            r"has shape [3, 7], [rows, 4, 5, 1] is needed",
            "first axis the row",
        ),
        ("", "absent.tflite", "absent.tflite: No such file", "check the path"),
        ('inputs = "good.npy"\naccuracy = 0.5', "m.tflite", "has no labels", "put an array y"),
        (
            'inputs = "good.npy"\naccuracy = 0.5\nlabels = "x.npy"',
            "m.tflite",
            "labels have shape [3, 7], [2]",
            "a row",
        ),
        (
            'inputs = "good.npy"\naccuracy = 0.5\nlabels = "y.npy"',
            "m.tflite",
            "y.npy: y: label 3 of row 1, allowed are 0 to 2: 1 of 2",
            "from 0 on",
        ),
        ('inputs = "good.npy"', "m.tflite", "2 rows ran, the baseline is of 20", "--update"),
    ],
)
def test_bad_input(project: Path, said: Any, more: str, model: str, message: str, hint: str) -> None:
    np.save(project / "x.npy", np.zeros((3, 7), np.int8))
    np.save(project / "good.npy", np.zeros((2, 20), np.int8))
    np.save(project / "y.npy", np.array([2, 3]))
    (project / "offramp.toml").write_text(TEST.replace("m.tflite", model) + more + "\n")
    code, _, errors = said("test")
    assert code == 1 and len(errors) == 2
    assert message in errors[0] and hint in errors[1]


def test_a_baseline_of_another_board(project: Path, said: Any) -> None:
    stored = project / "offramp.baseline.json"
    before = stored.read_bytes()
    (project / "offramp.toml").write_text(TEST.replace("an386", "an385"))
    code, _, errors = said("test", "--junit", "r.xml")
    assert code == 1 and "holds test small for mps2_an386, the board is mps2_an385" in errors[0]
    assert "--update" in errors[1]
    assert ElementTree.fromstring((project / "r.xml").read_bytes()).get("errors") == "1"
    (project / "offramp.toml").write_text(TEST.replace("mps2_an386", "nucleo_f446re"))
    assert said("test", "--update")[0] == 1, "no emulator"
    for name, message in (("nucleo_f446re", "is not emulated"), ("mps2_an38", "no board is called")):
        (project / "offramp.toml").write_text(TEST.replace("mps2_an386", name))
        code, _, errors = said("test")
        assert code == 1 and message in errors[0] and "--update" not in errors[1], "no baseline would mend it"
    assert stored.read_bytes() == before


def test_a_host_counts_nothing(project: Path, said: Any) -> None:
    text = TEST.replace("mps2_an386", "posix")
    (project / "offramp.toml").write_text(text)
    assert said("test", "--update")[0] == 0 and said("test")[0] == 0
    (project / "offramp.toml").write_text(text + "[test.small.budget]\ninstructions = 9\n")
    code, _, errors = said("test")
    assert code == 1 and "posix does not count it" in errors[0]


def test_a_budget_for_what_the_model_has_not(project: Path, said: Any) -> None:
    (project / "offramp.toml").write_text(TEST + "[test.small.budget]\nmean_instructions = 5\n")
    code, _, errors = said("test")
    assert code == 1 and "m.tflite has no exits" in errors[0] and "budget for instructions" in errors[1]


def test_compare_measures_two_models(project: Path, said: Any) -> None:
    (project / "n.tflite").write_bytes(small_models.classifier(42))
    code, out, _ = said("compare", "m.tflite", "n.tflite", "--board", "mps2_an386", "--json")
    assert code == 0
    steps = json.loads(out)["steps"]
    assert steps[0]["after"]["name"] == "hidden/out" and steps[0]["growth"] > 0
    assert [s["growth"] for s in steps] == sorted((s["growth"] for s in steps), reverse=True)


PYTEST = """
import numpy as np

def test_it_runs(emulator):
    board = emulator("m.tflite", "mps2_an386")
    assert board.info().board.board == "mps2_an386"
    assert board.run(np.zeros(20, np.int8)).outputs[0].shape == (1, 3)

def test_the_board_may_be_chosen(emulator):
    assert emulator("m.tflite").info().board.board == "posix"

def test_a_real_one(device):
    assert device("m.tflite").run(np.zeros(20, np.int8)).outputs[0].shape == (1, 3)
"""


def pytest_says(project: Path, *arguments: str) -> str:
    (project / "test_it.py").write_text(PYTEST)
    plugin = ["-p", "offramp_host.pytest_plugin", "-p", "no:cacheprovider", "--offramp-board", "posix"]
    paths = os.pathsep.join([str(ROOT / "toolkit"), str(ROOT / "host")])
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-rs", *plugin, *arguments],
        cwd=project,
        env={**os.environ, "PYTHONPATH": paths, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_fixtures(project: Path) -> None:
    out = pytest_says(project)
    assert "2 passed, 1 skipped" in out and "--offramp-port URL names its port" in out


def test_the_fixture_of_a_board_at_a_port(project: Path) -> None:
    board = boards.load("mps2_an386")
    data = pack(project / "m.tflite", board)[1]
    image = blob_image(read(data, "m"), board, project / "image.elf")
    with Emulator(board, image.elf, timeout_s=200) as emulator:
        out = pytest_says(project, "--offramp-port", emulator.url, "-k", "real")
    assert "1 passed" in out


def test_the_plan_of_a_family_that_a_policy_names(project: Path, said: Any) -> None:
    """`plan:` has that plan's figures and answers, a budget the dearest plan's within it, as a mean over the rows."""
    (project / "f.ofg").write_bytes(ofg.dump(family()))
    np.save(project / "x.npy", image_inputs(6))
    answers = expected(image_inputs(6))
    medium = make_plan(family(), boards.load("mps2_an386")).members[0].instructions
    found = {}
    for policy, plan in (("plan:large", 0), ("plan:small", 2), (f"budget:{medium}", 1)):
        np.save(project / "y.npy", answers[plan].reshape(6, -1))
        keys = f'model = "f.ofg"\nboard = "mps2_an386"\ninputs = "x.npy"\noutputs = "y.npy"\npolicy = "{policy}"\n'
        (project / "offramp.toml").write_text("[test.f]\n" + keys)
        code, _, errors = said("test", "--update")
        assert code == 0, errors
        run = json.loads((project / "offramp.baseline.json").read_text())["tests"]["f"]["mps2_an386"]["run"]
        found[policy.partition(":")[0], plan] = run["figures"]
    large, small, within = found["plan", 0], found["plan", 2], found["budget", 1]
    assert small["instructions"] < within["mean_instructions"] < large["instructions"]
    assert "mean_instructions" not in small and within["instructions"] == large["instructions"]


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ("fast", "offramp.toml: test f: policy fast: it is budget:N"),
        ("plan:huge", "no plan is called 'huge'"),
    ],
)
def test_policies_that_are_none(project: Path, said: Any, policy: str, message: str) -> None:
    (project / "f.ofg").write_bytes(ofg.dump(family()))
    (project / "offramp.toml").write_text(
        f'[test.f]\nmodel = "f.ofg"\nboard = "mps2_an386"\npolicy = "{policy}"\n'
    )
    code, _, errors = said("test", "--update")
    assert code == 1 and message in errors[0], errors
