"""The build: cache, footprint, and what it says when something is missing or does not fit."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from offramp import boards
from offramp.build import Image, Source, Sources, build, compiler_for, objects
from offramp.build.sources import firmware_sources, port_sources
from offramp.errors import UserError

AN386 = boards.load("mps2_an386")
pytestmark = pytest.mark.skipif(shutil.which("arm-none-eabi-gcc") is None, reason="needs arm-none-eabi-gcc")


def image(board: boards.Board, text: str, folder: Path, blob: bytes | None = None) -> Image:
    (folder / "app.c").write_text('#include "port.h"\n' + text)
    blob_file = None
    if blob is not None:
        blob_file = folder / "blob.bin"
        blob_file.write_bytes(blob)
    sources = port_sources(board) + Sources((Source(folder / "app.c", "application"),), (folder,))
    return build(board, sources, folder / "out.elf", blob=blob_file)


def test_the_parts_sum_to_the_image(tmp_path: Path) -> None:
    text = "static int set = 3;\nstatic char clear[100];\n"
    text += "int app_main(void) { clear[set++] = 1; return clear[3]; }"
    for name in boards.names():
        if boards.load(name).core.toolchain == "arm":
            built = image(boards.load(name), text, tmp_path, bytes(1000))
            assert built.bin is not None
            assert built.footprint.image_bytes == built.bin.stat().st_size
            assert 1000 <= built.footprint.flash_bytes["model"] < 1016
            assert built.footprint.stack_bytes == boards.load(name).stack_bytes
            assert 512 <= built.footprint.link_buffer_bytes < 540
            assert built.compiler == str(compiler_for(AN386.core))


def test_a_changed_header_is_seen_and_equal_input_is_not_compiled_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OFFRAMP_CACHE", str(tmp_path / "cache"))
    text = '#include "answer.h"\nint app_main(void) { return ANSWER; }'
    (tmp_path / "answer.h").write_text("#define ANSWER 0x11111111\n")
    first = image(AN386, text, tmp_path).elf.read_bytes()
    (tmp_path / "answer.h").write_text("#define ANSWER 0x22222222\n")
    assert image(AN386, text, tmp_path).elf.read_bytes() != first
    (tmp_path / "answer.h").write_text("#define ANSWER 0x11111111\n")
    monkeypatch.setattr(objects, "_compile", None)
    assert image(AN386, text, tmp_path).elf.read_bytes() == first


def test_builds_at_the_same_time_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OFFRAMP_CACHE", str(tmp_path / "cache"))
    (tmp_path / "app.c").write_text('#include "port.h"\nint app_main(void) { return 0; }')
    sources = port_sources(AN386) + Sources((Source(tmp_path / "app.c", "application"),))
    with ThreadPoolExecutor(4) as pool:
        images = list(pool.map(lambda _: build(AN386, sources, tmp_path / "out.elf").compiler, range(8)))
    assert len(set(images)) == 1
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"cache", "app.c", "out.elf", "out.map", "out.bin"}


@pytest.mark.parametrize(
    ("text", "blob", "region"),
    [
        ("int app_main(void) { return 0; }", 0x400000, "flash"),
        ("char big[0x400000];\nint app_main(void) { big[port_ticks()] = 1; return big[3]; }", 1, "ram"),
    ],
)
def test_what_does_not_fit_is_told_by_how_much(text: str, blob: int, region: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        image(AN386, text, tmp_path, bytes(blob))
    found = re.search(r"region (\w+) \(\w+\) wants (\d+) bytes, (\d+) bytes are there", caught.value.message)
    assert found is not None and found[1] == region
    assert 0x400000 < int(found[2]) < 0x404000 and int(found[3]) == 0x400000
    assert not (tmp_path / "out.elf").exists()


def test_a_missing_compiler_names_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(UserError, match="arm-none-eabi-gcc is not installed") as caught:
        compiler_for(AN386.core)
    assert "apt-get install gcc-arm-none-eabi" in caught.value.hint


def test_our_warnings_are_errors(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not compile"):
        image(AN386, "int app_main(void) { int unused; return 0; }", tmp_path)


def test_a_kernel_set_the_board_lacks_is_refused() -> None:
    with pytest.raises(UserError, match="posix has no kernel set 'cmsis_nn'; it has generic"):
        firmware_sources(boards.load("posix"), kernel_sets=["cmsis_nn"])


def test_another_version_of_cmsis_nn_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "Include").mkdir()
    (tmp_path / "Include" / "arm_nnfunctions.h").write_text("")
    (tmp_path / "ARM.CMSIS-NN.pdsc").write_text('<release version="7.0.0" date="2024"/>')
    monkeypatch.setenv("OFFRAMP_CMSIS_NN", str(tmp_path))
    with pytest.raises(UserError, match=r"is version 7\.0\.0; supported is 4\.0\.0"):
        firmware_sources(AN386)
    monkeypatch.setenv("OFFRAMP_CMSIS_NN", str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match=r"OFFRAMP_CMSIS_NN=.*nowhere has no"):
        firmware_sources(AN386)


def test_posix_with_sanitizers_reports_what_they_see(tmp_path: Path) -> None:
    posix = boards.load("posix")
    (tmp_path / "app.c").write_text(
        '#include "port.h"\nint app_main(void) { return port_arena().base[port_arena().size]; }'
    )
    sources = port_sources(posix) + Sources((Source(tmp_path / "app.c", "application"),))
    built = build(posix, sources, tmp_path / "out", sanitize=True)
    assert built.bin is None and built.footprint.image_bytes > 0
    script = (
        "import socket, subprocess, sys, re\n"
        "p = subprocess.Popen([sys.argv[1]], stderr=subprocess.PIPE, text=True)\n"
        "port = int(re.search(r':(\\d+)$', p.stderr.readline())[1])\n"
        "s = socket.create_connection(('127.0.0.1', port))\n"
        "print(p.communicate(timeout=20)[1])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(built.elf)], capture_output=True, text=True, timeout=30
    )
    assert "heap-buffer-overflow" in done.stdout


def test_sanitizers_are_refused_where_there_are_none(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="mps2_an386 has no sanitizers"):
        build(AN386, port_sources(AN386), tmp_path / "out.elf", sanitize=True)
