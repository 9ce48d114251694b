"""Help is whole in a terminal of 80 columns."""

from __future__ import annotations

import pytest

from offramp import cli


@pytest.mark.parametrize("command", ["", *cli.COMMANDS])
def test_help_is_not_cut(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is too wide for its column ends in an ellipsis, which no help of ours holds."""
    monkeypatch.setenv("COLUMNS", "80")
    assert cli.call([*command.split(), "--help"]) == 0
    out = capsys.readouterr().out
    assert "Usage" in out
    assert [line for line in out.splitlines() if "…" in line or len(line) > 80] == []
