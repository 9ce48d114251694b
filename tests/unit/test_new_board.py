"""docs/new-board.md, followed: its file alone makes a board that packs, builds and links."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from offramp import boards, cli
from offramp.resources import root
from tests.fuzz import seeds

PAGE = root() / "docs" / "new-board.md"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's folder with the page's board file and a small model in it."""
    (found,) = re.findall(r"```toml\n(.*?)```", PAGE.read_text(), re.S)
    (tmp_path / "nucleo_l476rg.toml").write_text(found)
    (tmp_path / "model.tflite").write_bytes(seeds.keyword_net())
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.skipif(shutil.which("arm-none-eabi-gcc") is None, reason="needs arm-none-eabi-gcc")
def test_the_pages_board_packs_builds_and_links(folder: Path) -> None:
    assert "nucleo_l476rg" not in boards.names()
    commands = re.findall(r"^ +offramp ((?:pack|build) .*?)(?:  +#.*)?$", PAGE.read_text(), re.M)
    assert [command.split()[0] for command in commands] == ["pack", "build"]
    for command in commands:
        assert cli.call(command.split()) == 0
    image = (folder / "model-nucleo_l476rg.bin").read_bytes()
    assert int.from_bytes(image[:4], "little") in range(0x2000_0000, 0x2001_8001)
    assert int.from_bytes(image[4:8], "little") in range(0x0800_0001, 0x0800_0000 + len(image), 2)
    with (folder / "model-nucleo_l476rg.elf").open("rb") as file:
        assert (folder / "model.ofr").read_bytes() in ELFFile(file).get_section_by_name(".ofr_blob").data()


def test_it_runs_nowhere_and_says_so(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.call(["bench", "model.tflite", "--board", "nucleo_l476rg.toml"]) == 1
    assert "nucleo_l476rg is not emulated" in capsys.readouterr().err
    assert cli.call(["pack", "model.tflite", "--board", "nucleo_l4.toml"]) == 1
    assert "nucleo_l4.toml: no such board file" in capsys.readouterr().err


def test_it_is_like_the_boards_that_are_ours(folder: Path) -> None:
    found, near = boards.load("nucleo_l476rg.toml"), boards.load("nucleo_f446re")
    assert (found.core, found.port_family) == (near.core, near.port_family)
    (flash,) = [region for region in found.memory if region.sectors]
    assert len(flash.sector_starts()) == 513 and json.dumps(found.port_defines)
