"""offramp.toml, baselines, checks, JUnit XML: what is odd is named with a way out; what grew is named by its step."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from offramp.cli.suite.baseline import Baseline, Record, baseline_path, load_baseline
from offramp.cli.suite.checks import UNITS, checks_of
from offramp.cli.suite.junit import junit
from offramp.cli.suite.outcome import Outcome
from offramp.cli.suite.running import Ran
from offramp.cli.suite.settings import Budget, Case, chosen, load_cases
from offramp.errors import UserError
from offramp_host.comparison import RunFigures, StepFigures, step_changes

MODEL = 'model = "m.tflite"\nboard = "mps2_an386"\n'


def cases(folder: Path, text: str) -> list[Case]:
    path = folder / "offramp.toml"
    path.write_text(text)
    return load_cases(path)


def test_one_test_or_several(tmp_path: Path) -> None:
    [one] = cases(tmp_path, f"[test]\n{MODEL}[test.budget]\nflash_bytes = 70_000\nlatency_ms_estimate = 3")
    assert (one.name, one.board, one.folder) == ("test", ("mps2_an386",), tmp_path)
    assert one.budget.limits == {"flash_bytes": 70_000, "latency_ms_estimate": 3.0}
    text = f'[test.a]\n{MODEL}[test.b]\nmodel = "n.ofg"\nboard = ["microbit", "posix"]\nmax_growth = 0\n'
    found = cases(tmp_path, text)
    assert [case.name for case in found] == ["a", "b"] and found[1].board == ("microbit", "posix")
    assert found[0].growth("instructions") == 0.01 and found[1].growth("instructions") == 0.0
    assert [case.name for case in chosen(found, ["b"], tmp_path)] == ["b"]
    assert chosen(found, [], tmp_path) == found


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("", "no test", r"add \[test.NAME\]"),
        ("[tests.a]\n" + MODEL, "unknown key tests", "did you mean"),
        ("[test.a]\n" + MODEL + 'input = "x.npy"', "test a: unknown key input", "did you mean inputs"),
        (
            "[test.a]\n" + MODEL + "[test.a.budget]\nflash = 1",
            "budget: unknown key flash",
            "mean flash_bytes",
        ),
        ("[test.a]\n" + MODEL + 'accuracy = "all"', "accuracy is 'all', a number is needed", "correct"),
        ("[test.a]\n" + MODEL + "accuracy = 0.9", "accuracy without inputs", "add inputs"),
        ("[test.a]\n" + MODEL + "tolerance = 1", "tolerance without outputs", "add outputs"),
        ("[test.a]\n" + MODEL + 'optimize = "spead"', "optimize is spead", "speed"),
        ("[test.a]\n" + MODEL + 'name = "b"', "unknown key name", "name stands in"),
        ('[test.a]\nmodel = "m.ofg"', "board is missing", "add board"),
        ('[test.a]\nmodel = "m.ofg"\nboard = []', "no board", "offramp boards"),
        ("[test.a]\nmodel = 3\n" + 'board = "b"', "model is 3, a string", "correct"),
        ("[test.a", "Expected ']'", "mend the TOML"),
        ("[test.a]\n" + MODEL + "instructions = 9", "instructions is a budget", r"below \[test.a.budget\]"),
        ("[test.a]\n" + MODEL + "max_growth = -1", "max_growth is -1, a number from 0", "correct"),
        ("[test.a]\n" + MODEL + "max_growth = inf", "max_growth is inf, a finite number", "correct"),
        ("[test.a]\n" + MODEL + "time_limit = 0", "time_limit is 0, a number from 1", "correct"),
        ("[test.a]\n" + MODEL + "tolerance = -1", "tolerance is -1, a number from 0", "correct"),
        (
            "[test.a]\n" + MODEL + 'inputs = "x"\naccuracy = 90',
            "accuracy is 90, a number from 0 to 1",
            "correct",
        ),
        ("[test.a]\n" + MODEL + 'labels = "y.npy"', "labels without accuracy", "add accuracy"),
        *(
            (
                f"[test.a]\n{MODEL}[test.a.budget]\nlatency_ms_estimate = {value}",
                "latency_ms_estimate is ",
                "",
            )
            for value in ("nan", "inf", "-1.0")
        ),
    ],
)
def test_what_is_odd_is_named(tmp_path: Path, text: str, message: str, hint: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        cases(tmp_path, text)
    assert re.search(hint, caught.value.hint), caught.value.hint


def test_a_file_or_test_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist") as caught:
        load_cases(tmp_path / "offramp.toml")
    assert "offramp init" in caught.value.hint
    with pytest.raises(UserError, match="no test wke; there are kws, wake") as caught:
        chosen(cases(tmp_path, f"[test.kws]\n{MODEL}[test.wake]\n{MODEL}"), ["wke"], tmp_path)
    assert caught.value.hint == "try wake"


STEPS = [("conv_2d", "stem", 6000), ("conv_2d", "body", 3000), ("softmax", "out", 1000)]


def record(counts: dict[str, int] | None = None, **figures: float) -> Record:
    """Instructions of STEPS, or these, with 10,000 bytes of each kind."""
    steps = [StepFigures(op, name, f"dsp/{op}", (counts or {}).get(name, n)) for op, name, n in STEPS]
    found = {"flash_bytes": 10_000, "ram_bytes": 10_000, "stack_bytes": 10_000} | figures
    total = sum(step.instructions or 0 for step in steps)
    run = RunFigures("m", "mps2_an386", {"instructions": total, **found}, steps, {"compiler": "gcc 1"})
    return Record(run, 20, "00c0ffee")


OUTPUTS = [("out", np.arange(60, dtype=np.int8).reshape(20, 3))]


def failures(case: Case, found: Record, before: Record | None) -> dict[str, str]:
    checks = checks_of(case, Ran(found, OUTPUTS), before)
    assert checks
    return {check.name: check.failure for check in checks if check.failure}


CASE = Case("kws", Path(), "m.tflite", ("mps2_an386",))


@pytest.mark.parametrize(
    ("body", "fails"), [(3000, False), (3100, False), (3101, True), (3300, True), (2000, False)]
)
def test_one_percent_more_is_allowed(body: int, fails: bool) -> None:
    """Of 10,000 instructions."""
    found = failures(CASE, record({"body": body}), record())
    assert ("instructions" in found) == fails


def test_three_percent_name_the_step_that_grew() -> None:
    found = failures(CASE, record({"body": 3320, "stem": 5980}), record())
    assert found == {
        "instructions": "instructions grew by 3.0 %, from 10,000 to 10,300; 1 % is allowed; "
        "grown: step 1 dsp/conv_2d body by 320 (10.7 %)"
    }


@pytest.mark.parametrize(
    ("case", "failing"),
    [
        (replace(CASE, budget=Budget(instructions=10_300)), []),
        (replace(CASE, budget=Budget(instructions=10_299)), ["instructions"]),
        (replace(CASE, budget=Budget(instructions=10_300), max_growth=0.01), ["instructions"]),
        (replace(CASE, max_growth=0.03), []),
        (replace(CASE, max_growth=0.0299), ["instructions"]),
    ],
)
def test_a_budget_stands_instead_of_growth_unless_both_are_given(case: Case, failing: list[str]) -> None:
    assert list(failures(case, record({"body": 3300}), record())) == failing


@pytest.mark.parametrize("figure", [name for name in UNITS if name != "instructions"])
def test_each_figure_has_a_budget_and_a_baseline(figure: str) -> None:
    was, more = record(**{figure: 10_000.0}), record(**{figure: 10_101.0})
    assert list(failures(CASE, more, was)) == [figure]
    assert failures(CASE, more, None) == {}, "nothing to hold against"
    tight = replace(CASE, budget=Budget(**{figure: 10_000}))
    assert "the budget is" in failures(tight, more, None)[figure]
    assert failures(tight, was, was) == {}


def test_bits_are_the_baselines(tmp_path: Path) -> None:
    other = replace(record(), outputs_crc32="deadbeef")
    assert "CRC-32 00c0ffee, was deadbeef" in failures(CASE, record(), other)["bits"]
    assert failures(replace(CASE, bits=False), record(), other) == {}
    assert "20 rows ran, the baseline is of 19" in failures(CASE, record(), replace(other, rows=19))["bits"]


@pytest.mark.parametrize(("tolerance", "fails"), [(0, True), (1, True), (2, False)])
def test_expected_outputs(tmp_path: Path, tolerance: int, fails: bool) -> None:
    wanted = OUTPUTS[0][1].copy()
    wanted[4, 1] += 2
    np.savez(tmp_path / "y.npz", out=wanted)
    case = replace(CASE, folder=tmp_path, outputs="y.npz", tolerance=tolerance)
    found = failures(case, record(), None)
    assert ("outputs" in found) == fails
    if fails:
        assert "1 of 20 rows differ from y.npz by up to 2" in found["outputs"] and "row 4" in found["outputs"]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"other": np.zeros((20, 3), np.int8)}, "no array for output out; the file has other"),
        ({"out": np.zeros((19, 3), np.int8)}, r"int8 \[19, 3\], the run gives int8 \[20, 3\]"),
        ({"out": np.zeros((20, 3), np.int16)}, "is int16"),
    ],
)
def test_odd_expected_outputs(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    np.savez(tmp_path / "y.npz", **arrays)
    with pytest.raises(UserError, match=message) as caught:
        failures(replace(CASE, folder=tmp_path, outputs="y.npz"), record(), None)
    assert "offramp run" in caught.value.hint


def test_accuracy_has_a_floor() -> None:
    case = replace(CASE, accuracy=0.9, inputs="x.npz")
    assert failures(case, replace(record(), accuracy=0.9), None) == {}
    assert "0.8500 on 20 rows, 0.9 is" in failures(case, replace(record(), accuracy=0.85), None)["accuracy"]


def test_a_baseline_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = baseline_path(tmp_path / "offramp.toml")
    assert path.name == "offramp.baseline.json"
    written = Baseline(path, {}).with_records([("kws", record()), ("ic", record({"body": 1}))], [])
    written.write()
    assert load_baseline(path) == written
    assert load_baseline(path).record("kws", "mps2_an386") == record()
    kept = written.with_records([("kws", record({"stem": 5}))], ["kws"])
    assert list(kept.tests) == ["kws"] and kept.record("kws", "mps2_an386") == record({"stem": 5})


def test_no_baseline_says_how_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "offramp.baseline.json"
    hint = "`offramp test kws --update` writes it; commit it beside offramp.toml"
    with pytest.raises(UserError, match=r"there is no baseline: .* does not exist") as caught:
        load_baseline(path).record("kws", "mps2_an386")
    assert caught.value.hint == hint
    Baseline(path, {}).with_records([("kws", record())], []).write()
    with pytest.raises(UserError, match="holds test kws for mps2_an386, the board is microbit") as caught:
        load_baseline(path).record("kws", "microbit")
    assert caught.value.hint == hint
    with pytest.raises(UserError, match="has no test ic; it holds kws"):
        load_baseline(path).record("ic", "mps2_an386")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"format": 1}',
        '{"format": 9, "tests": {}}',
        '{"format": 1, "tests": {"a": {"b": {}}}}',
    ],
)
def test_a_damaged_baseline_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "offramp.baseline.json").write_text(text)
    with pytest.raises(UserError, match=r"offramp\.baseline\.json") as caught:
        load_baseline(tmp_path / "offramp.baseline.json")
    assert "--update" in caught.value.hint


def test_junit_is_read_back() -> None:
    grown = checks_of(CASE, Ran(record({"body": 3400}), OUTPUTS), record())
    outcomes = [
        Outcome("kws", "mps2_an386", 1.5, tuple(grown), record({"body": 3400}), record()),
        Outcome("ic & <é>", "microbit", 0.1, error=UserError('no \x00 "model" <here>', "try & see")),
    ]
    root = ElementTree.fromstring(junit(outcomes))
    assert {key: root.get(key) for key in ("tests", "failures", "errors")} == {
        "tests": str(len(grown) + 1),
        "failures": "1",
        "errors": "1",
    }
    first, second = root.findall("testsuite")
    assert [case.get("name") for case in first.findall("testcase")] == [check.name for check in grown]
    [failure] = first.findall("testcase/failure")
    assert failure.get("message") == next(check.failure for check in grown if check.failure)
    assert {p.get("name"): p.get("value") for p in first.iter("property")}["instructions"] == "10400"
    [error] = second.findall("testcase/error")
    assert (error.get("message"), error.text) == ('no ? "model" <here>', "try & see")
    assert second.get("name") == "ic & <é>.microbit"


def step(name: str, n: int | None, op: str = "conv_2d") -> StepFigures:
    return StepFigures(op, name, "k", n)


@pytest.mark.parametrize(
    ("before", "after", "growths"),
    [
        ([step("a", 5), step("b", 7)], [step("a", 5), step("b", 9)], [("b", 2), ("a", 0)]),
        ([step("a", 5), step("b", 7)], [step("b", 7)], [("b", 0), ("a", -5)]),
        ([step("b", 7)], [step("a", 5), step("b", 7)], [("a", 5), ("b", 0)]),
        ([step("a", 5)], [step("z", 6)], [("z", 1)]),
        ([step("", 5), step("", 6)], [step("", 5), step("", 8)], [("", 2), ("", 0)]),
        ([step("a", None)], [step("a", None)], [("a", 0)]),
        ([], [step("a", 5)], [("a", 5)]),
    ],
)
def test_steps_are_paired_and_sorted_by_growth(
    before: list[StepFigures], after: list[StepFigures], growths: list[tuple[str, int]]
) -> None:
    assert [(c.step.name, c.growth) for c in step_changes(before, after)] == growths


def test_records_are_plain_json(tmp_path: Path) -> None:
    path = tmp_path / "offramp.baseline.json"
    Baseline(path, {}).with_records([("kws", record())], []).write()
    entry = json.loads(path.read_text())["tests"]["kws"]["mps2_an386"]
    assert entry["run"]["steps"][1] | {"cycles_estimate": None} == {
        "op": "conv_2d",
        "name": "body",
        "kernel": "dsp/conv_2d",
        "instructions": 3000,
        "cycles_estimate": None,
    }
