"""Fixtures that several test folders use."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of third-party test data beside the checkout; tests that need it skip where it is absent."""
    folder = Path(
        os.environ.get("OFFRAMP_TEST_DATA", Path(__file__).resolve().parents[2] / "shared" / "data")
    )
    if not folder.is_dir():
        pytest.skip(f"no test data in {folder} (OFFRAMP_TEST_DATA)")
    return folder


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    root = Path(__file__).resolve().parents[1]
    subprocess.run([*command, "--no-index", "--wheel-dir", str(folder), str(root)], check=True)
    (found,) = folder.iterdir()
    return found


@pytest.fixture(autouse=True)
def no_width_of_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Terminal programs under test leave theirs in the environment, by which tables and other programs would go."""
    for name in ("COLUMNS", "LINES"):
        monkeypatch.delenv(name, raising=False)
