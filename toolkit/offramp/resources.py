"""Where firmware/ and boards/ lie: beside the checkout's toolkit/, or inside an installed wheel."""

from __future__ import annotations

from pathlib import Path


def root() -> Path:
    """The folder that holds firmware/ and boards/."""
    here = Path(__file__).resolve().parent
    checkout = here.parent.parent
    return checkout if (checkout / "firmware").is_dir() else here / "_data"
