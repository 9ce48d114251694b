"""examples/ci as a user has it: the installed wheel, the project's files, `offramp test`, pytest; no checkout."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.emulator

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "ci"
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def site(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, installed by pip beside the packages of this interpreter."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-compile"]
    subprocess.run([*command, "--target", str(folder), str(wheel)], check=True)
    return folder


@pytest.fixture
def run(site: Path, tmp_path: Path) -> Run:
    """Runs a command in a copy of the project; the package is the wheel's."""
    project = tmp_path / "project"
    shutil.copytree(EXAMPLE, project, ignore=shutil.ignore_patterns("__pycache__"))

    def call(*command: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PYTHONPATH": str(site)}
        return subprocess.run(
            [sys.executable, *command],
            cwd=project,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
        )

    done = call("-c", "import offramp, offramp_host; print(offramp.__file__, offramp_host.__file__)")
    assert done.stdout.count(str(site)) == 2, done.stdout + done.stderr
    return call


def test_the_project_passes_and_a_growth_of_three_percent_fails(run: Run, site: Path, tmp_path: Path) -> None:
    offramp = str(site / "bin" / "offramp")
    stored = tmp_path / "project" / "offramp.baseline.json"
    done = run(offramp, "test", "--junit", "offramp.xml")
    record = json.loads(stored.read_text())["tests"]["digits"]["mps2_an386"]["run"]
    if done.returncode and "compiler was" in done.stderr:  # counts are of the compiler that is named there
        assert run(offramp, "test", "--update").returncode == 0
        done = run(offramp, "test", "--junit", "offramp.xml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert 'failures="0" errors="0"' in (tmp_path / "project" / "offramp.xml").read_text()

    data = json.loads(stored.read_text())
    record = data["tests"]["digits"]["mps2_an386"]["run"]
    step = max(record["steps"], key=lambda step: step["instructions"])
    now = record["figures"]["instructions"]
    less = now - round(now / 1.03)
    step["instructions"] -= less
    record["figures"]["instructions"] -= less
    stored.write_text(json.dumps(data))
    done = run(offramp, "test")
    assert done.returncode == 1
    assert f"instructions grew by 3.0 %, from {now - less:,} to {now:,}; 1 % is allowed" in done.stderr
    number = record["steps"].index(step)
    assert f"grown: step {number} {step['kernel']} {step['name']} by {less:,}" in done.stderr


def test_its_pytest_finds_the_plugin(run: Run) -> None:
    done = run("-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist")
    assert done.returncode == 0 and "1 passed, 1 skipped" in done.stdout, done.stdout + done.stderr


def test_init_writes_the_projects_ci_files(run: Run, site: Path, tmp_path: Path) -> None:
    places = [".github/workflows/offramp.yml", ".gitlab-ci.yml"]
    for place in [*places, "offramp.toml"]:
        (tmp_path / "project" / place).unlink()
    done = run(str(site / "bin" / "offramp"), "init", "digits.ofg", "--board", "mps2_an386")
    assert done.returncode == 0, done.stderr
    for place in places:
        assert (tmp_path / "project" / place).read_text() == (EXAMPLE / place).read_text()
