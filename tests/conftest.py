"""Fixtures that several test folders use."""

from __future__ import annotations

import os
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
