"""The command line's data: what it prints on stdout, what it writes, and that both repeat."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from offramp import __version__, boards, cli, ofg, resources
from offramp.blob import read
from offramp.blob.read import Port
from offramp.frontends import load_model
from offramp.pack import pack, short_name
from offramp.plan import Options
from offramp_host import rows
from tests import small_models
from tests.random_nets import Net


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a model m.tflite."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.tflite").write_bytes(small_models.classifier())
    return tmp_path


@pytest.fixture
def printed(folder: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs a command line that must succeed and returns what it printed."""

    def call(*arguments: str) -> str:
        capsys.readouterr()
        code = cli.call(arguments)
        out, err = capsys.readouterr()
        assert code == 0, err
        return str(out)

    return call


def test_pack_explains_its_choice(printed: Any) -> None:
    said = json.loads(printed("pack", "m.tflite", "--board", "mps2_an386", "--explain", "--json"))
    assert len(said["ops"]) == sum(said["kernels"].values())
    for op in said["ops"]:
        [taken] = [way for way in op["ways"] if way["taken"]]
        assert taken["kernels"][0] in said["kernels"] and taken["why"].startswith("taken")
        assert all(way["cycles_estimate"] > 0 and way["instructions_estimate"] > 0 for way in op["ways"])
        if op["op"] == "fully_connected":
            stored = op["weights"]
            assert stored["int8_bytes"] > 0 and stored["zeros"] < 0.05 and stored["why"] == ""
            assert stored["stored"] == "int8 size"
    text = printed("pack", "m.tflite", "--board", "mps2_an386", "--explain")
    assert "cycles, est." in text and "taken" in text and "generic/softmax" in text
    assert "ops" not in json.loads(printed("pack", "m.tflite", "--board", "mps2_an386", "--json"))


def test_pack_writes_the_same_bytes_each_time_and_says_where_they_come_from(
    printed: Any, folder: Path
) -> None:
    said = json.loads(printed("pack", "m.tflite", "--board", "mps2_an386", "--kernels", "dsp", "--json"))
    data = (folder / "m.ofr").read_bytes()
    printed("pack", "m.tflite", "--board", "mps2_an386", "--kernels", "dsp", "-o", "again.ofr")
    assert (folder / "again.ofr").read_bytes() == data
    blob = read(data, "m.ofr")
    assert said["blob_bytes"] == len(data) and said["arena_bytes"] == blob.arena_bytes
    assert sum(said["kernels"].values()) == len(blob.steps)
    source = (folder / "m.tflite").read_bytes()
    assert said["metadata"] == blob.metadata
    assert blob.metadata["source_sha256"] == hashlib.sha256(source).hexdigest()
    assert blob.metadata["source_bytes"] == str(len(source))
    assert (blob.metadata["board"], blob.metadata["offramp"]) == ("mps2_an386", __version__)
    assert blob.metadata["kernel_sets"] == "dsp,generic" and "cmsis_nn_version" not in blob.metadata


def test_kernels_cmsis_nn_names_the_version_of_the_library(printed: Any, folder: Path) -> None:
    printed("pack", "m.tflite", "--board", "mps2_an386", "--kernels", "cmsis_nn")
    blob = read((folder / "m.ofr").read_bytes(), "m.ofr")
    assert blob.metadata["kernel_sets"] == "cmsis_nn,generic" and blob.metadata["cmsis_nn_version"]


def test_kernels_generic_runs_on_any_core(printed: Any, folder: Path) -> None:
    printed("pack", "m.tflite", "--board", "mps2_an386", "--kernels", "generic")
    blob = read((folder / "m.ofr").read_bytes(), "m.ofr")
    assert blob.core == "any" and blob.metadata["kernel_sets"] == "generic"
    assert "cmsis_nn_version" not in blob.metadata


def test_an_input_may_stay_with_the_caller_or_survive(printed: Any, folder: Path) -> None:
    sizes = {}
    for name, option in (
        ("plain", ()),
        ("kept", ("--keep-inputs",)),
        ("caller", ("--input", "image=caller")),
    ):
        said = printed("pack", "m.tflite", "--board", "posix", "-o", f"{name}.ofr", "--json", *option)
        sizes[name] = json.loads(said)["arena_bytes"]
        memory = json.loads(printed("inspect", f"{name}.ofr", "--json"))["inputs"][0]["memory"]
        assert memory == ("input" if name == "caller" else "arena")
    assert sizes["caller"] < sizes["plain"] <= sizes["kept"]


def test_passes_are_told_and_can_be_left_out(printed: Any, folder: Path) -> None:
    net = Net()
    source = net.input(1, 4, 4, 3)
    x = net.conv(source, 12)
    net.make_constant(x, range(8), "zero")
    (folder / "net.ofg").write_bytes(ofg.dump(net.graph([source], [net.conv(x, 2)])))
    arguments = ("pack", "net.ofg", "--board", "posix")
    with_, without = (json.loads(printed(*arguments, "--json", *more)) for more in ((), ("--no-passes",)))
    assert with_["macs"] == 16 * (4 * 3 + 2 * 4) and without["macs"] == 16 * (12 * 3 + 2 * 12)
    assert with_["metadata"]["macs_before"] == str(without["macs"])
    assert "macs_before" not in without["metadata"] and "passes" not in without["metadata"]
    assert "remove channels: 8 channels (MACs 960 -> 320)" in printed(*arguments)


def test_a_blob_without_names_is_smaller_and_tells_of_its_kernels(printed: Any, folder: Path) -> None:
    for out, more in (("with.ofr", ()), ("without.ofr", ("--no-names",))):
        printed("pack", "m.tflite", "--board", "posix", "-o", out, *more)
    with_, without = (json.loads(printed("inspect", f, "--json")) for f in ("with.ofr", "without.ofr"))
    assert (folder / "without.ofr").stat().st_size < (folder / "with.ofr").stat().st_size - 300
    assert set(without["metadata"]) == {"board", "kernel_sets", "offramp"}
    for key in ("inputs", "outputs", "constants_bytes", "arena_bytes", "kernels"):
        assert without[key] == with_[key]
    for named, bare in zip(with_["steps"], without["steps"], strict=True):
        assert bare == named | {"op": named["kernel"], "name": "", "macs": 0}
    assert "output of step 0" in printed("inspect", "without.ofr")
    shape = (3, *with_["inputs"][0]["shape"])
    np.save("x.npy", np.random.default_rng(0).integers(-128, 128, shape).astype(np.int8))
    for name in ("with", "without"):
        printed("run", f"{name}.ofr", "--board", "posix", "-i", "x.npy", "-o", f"{name}.npz")
    found = [list(np.load(f"{name}.npz").values()) for name in ("with", "without")]
    assert [a.tobytes() for a in found[0]] == [a.tobytes() for a in found[1]]


def test_inspect_tells_the_same_of_model_graph_and_blob(printed: Any, folder: Path) -> None:
    (folder / "m.ofg").write_bytes(ofg.dump(load_model(folder / "m.tflite")))
    printed("pack", "m.ofg", "--board", "mps2_an386")
    model, graph, blob = (
        json.loads(printed("inspect", f"m.{end}", "--json")) for end in ("tflite", "ofg", "ofr")
    )
    assert model["inputs"] == [
        {
            "name": "image",
            "shape": [1, 4, 5, 1],
            "dtype": "s8",
            "bytes": 20,
            "scale": pytest.approx(0.05),
            "zero_point": -3,
        }
    ]
    for key in ("inputs", "outputs", "steps", "macs", "state_bytes"):
        assert model[key] == graph[key]
    for which in ("inputs", "outputs"):
        assert [{k: v for k, v in port.items() if k != "memory"} for port in blob[which]] == model[which]
    assert blob["macs"] == model["macs"] == 8 * 20 + 3 * 8


def test_the_arena_map_covers_the_arena_and_nothing_overlaps(printed: Any, folder: Path) -> None:
    printed("pack", "m.tflite", "--board", "mps2_an386")
    found = json.loads(printed("inspect", "m.ofr", "--json"))
    extents = found["arena"]
    assert found["arena_bytes"] - 16 < max(e["offset"] + e["bytes"] for e in extents) <= found["arena_bytes"]
    for i, a in enumerate(extents):
        for b in extents[i + 1 :]:
            apart = a["offset"] + a["bytes"] <= b["offset"] or b["offset"] + b["bytes"] <= a["offset"]
            assert apart or a["last"] <= b["first"] or b["last"] <= a["first"], (a, b)


def test_inspect_lists_the_licences_of_what_is_linked(printed: Any) -> None:
    for kernels, there in (("generic", False), ("cmsis_nn", True)):
        printed("pack", "m.tflite", "--board", "mps2_an386", "--kernels", kernels)
        rows_ = json.loads(printed("inspect", "m.ofr", "--licenses", "--json"))["licenses"]
        assert any("CMSIS-NN" in row["part"] for row in rows_) == there
        assert {"part", "license", "linked"} == set(rows_[0])


@pytest.mark.parametrize(
    "arguments",
    [["inspect", "m.tflite"], ["inspect", "m.ofr"], ["inspect", "m.ofr", "--licenses"], ["boards"]],
)
def test_tables_are_read_at_80_columns(
    printed: Any, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    printed("pack", "m.tflite", "--board", "mps2_an386")
    lines = printed(*arguments).splitlines()
    assert max(map(len, lines)) <= 80 and not any("…" in line for line in lines)


@pytest.mark.parametrize("columns", ["40", "60"])
def test_numbers_are_whole_at_few_columns(
    printed: Any, monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    printed("pack", "m.tflite", "--board", "mps2_an386", "-o", "a-name-that-is-longer-than-its-column.ofr")
    wide = printed("inspect", "a-name-that-is-longer-than-its-column.ofr")
    monkeypatch.setenv("COLUMNS", columns)
    narrow = printed("inspect", "a-name-that-is-longer-than-its-column.ofr")
    numbers = re.compile(r"(?<!\S)\d[\d,.x]*(?!\S)")
    assert sorted(numbers.findall(narrow)) == sorted(numbers.findall(wide)) and "…" not in narrow


def test_what_goes_to_a_pipe_is_not_cut(printed: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    printed("pack", "m.tflite", "--board", "mps2_an386")
    digest = read((folder / "m.ofr").read_bytes(), "m").metadata["source_sha256"]
    assert any(digest in line for line in printed("inspect", "m.ofr").splitlines())


def test_inspect_lists_the_kernels_as_a_table_of_them_wants_them(printed: Any) -> None:
    printed("pack", "m.tflite", "--board", "mps2_an386", "--kernels", "cmsis_nn")
    found = json.loads(printed("inspect", "m.ofr", "--json"))
    kernels = found["kernels"]
    assert [k["id"] for k in kernels] == sorted({k["id"] for k in kernels})
    assert {k["kernel"] for k in kernels} == {step["kernel"] for step in found["steps"]}
    shown = printed("inspect", "m.ofr")
    places = [shown.index(k["symbol"]) for k in kernels]
    assert places == sorted(places) and shown.count("ofr_kernel_") == len(kernels)


def test_inspect_says_which_inputs_are_the_callers(printed: Any) -> None:
    """And counts them into the arena, as bench does."""
    found = {}
    for name, option in (("plain", ()), ("caller", ("--input", "image=caller"))):
        printed("pack", "m.tflite", "--board", "posix", "-o", f"{name}.ofr", *option)
        shown = printed("inspect", f"{name}.ofr")
        assert ("caller's" in shown) == (name == "caller")
        found[name] = json.loads(printed("inspect", f"{name}.ofr", "--json"))
    assert (found["plain"]["caller_bytes"], found["caller"]["caller_bytes"]) == (0, 32)
    blob = read(Path("caller.ofr").read_bytes(), "caller.ofr")
    assert found["caller"]["arena_bytes"] == blob.arena_bytes + 32


def offramp(*arguments: str) -> list[str]:
    """The installed command."""
    return [str(Path(sys.executable).parent / "offramp"), *arguments]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8"])
def test_tables_are_printed_in_any_encoding(printed: Any, encoding: str) -> None:
    printed("pack", "m.tflite", "--board", "mps2_an386")
    done = subprocess.run(
        offramp("inspect", "m.ofr"),
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": encoding},
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert ("█" if encoding == "utf-8" else "#") in done.stdout.decode(encoding)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("arguments", [["boards"], ["boards", "--json"], ["--help"]], ids=" ".join)
def test_an_output_that_takes_no_more(arguments: list[str]) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(offramp(*arguments), stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr.splitlines()[0] == "error: the output cannot be written: No space left on device"


@pytest.mark.parametrize("arguments", [["boards"], ["boards", "--json"], ["--help"]], ids=" ".join)
def test_a_reader_that_has_seen_enough(arguments: list[str]) -> None:
    """`offramp … | head`: as of any other program, nothing but an exit code."""
    ours, theirs = os.pipe()
    os.close(ours)
    try:
        done = subprocess.run(
            offramp(*arguments), stdout=theirs, stderr=subprocess.PIPE, text=True, timeout=60
        )
    finally:
        os.close(theirs)
    assert (done.returncode, done.stderr) == (141, "")


def test_boards_are_listed_with_what_they_have(printed: Any) -> None:
    listed = json.loads(printed("boards", "--json"))
    assert [row["board"] for row in listed] == boards.names()
    assert {row["board"] for row in listed if row["run"] == "not run"} == {
        name for name in boards.names() if boards.load(name).platformio
    }
    f446 = next(row for row in listed if row["board"] == "nucleo_f446re")
    assert f446["memory"]["flash"]["sectors"] == [[0x4000, 4], [0x10000, 1], [0x20000, 3]]
    assert f446["memory"]["ram"]["dma"] is True and "-mfpu=fpv4-sp-d16" in f446["compiler_flags"]
    assert (f446["usable_flash_bytes"], f446["usable_ram_bytes"]) == (384 << 10, 128 << 10)
    microbit = next(row for row in listed if row["board"] == "microbit")
    assert (microbit["core"], microbit["flash_bytes"], microbit["arena_region_bytes"]) == (
        "cortex-m0",
        262144,
        16384,
    )


def test_boards_are_listed_as_in_the_readme(printed: Any) -> None:
    """The same columns of memory, with the same figures."""
    readme = (resources.root() / "README.md").read_text().split("<!-- boards -->\n")[1].split("<!--")[0]
    head, _, *rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in readme.splitlines()]
    wanted = [dict(zip(head, row, strict=True)) for row in rows]
    names, *lines = printed("boards").splitlines()
    assert all(name in names for name in ("flash, K", "RAM, K", "kernel sets"))
    for line, row in zip(lines, wanted, strict=True):
        cells = re.split(r"  +", line.strip())
        assert cells[:5] == [row[k] for k in ("board", "core", "flash, K", "RAM, K", "kernel sets")]


def test_doctor_names_each_tool_and_what_mends_it(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = cli.call(["doctor", "--json"])
    checks = {check["what"]: check for check in json.loads(capsys.readouterr().out)}
    assert {"Python", "cache folder", "arm-none-eabi-gcc", "qemu-system-arm", "CMSIS-NN"} <= set(checks)
    assert code == int(any(check["status"] == "missing" for check in checks.values()))
    assert all(bool(check["mend"]) == (check["status"] != "ok") for check in checks.values())


def test_the_installed_command_keeps_data_and_the_rest_apart(folder: Path) -> None:
    script = Path(sys.executable).parent / "offramp"
    environment = {**os.environ, "NO_COLOR": "1", "FORCE_COLOR": "1"}
    done = subprocess.run(
        [script, "boards", "--json"], capture_output=True, text=True, env=environment, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "") and len(json.loads(done.stdout)) == len(boards.names())
    bad = subprocess.run(
        [script, "inspect", "gone.ofr"], capture_output=True, text=True, env=environment, timeout=60
    )
    assert (bad.returncode, bad.stdout) == (1, "")
    assert bad.stderr == "error: gone.ofr: No such file or directory\nhint: check the path\n"
    version = subprocess.run([script, "--version"], capture_output=True, text=True, timeout=60)
    assert version.stdout == f"offramp {__version__}\n"


def test_no_colour_where_it_is_not_wanted(folder: Path) -> None:
    script = Path(sys.executable).parent / "offramp"
    for wanted, environment in ((False, {"NO_COLOR": "1"}), (True, {"FORCE_COLOR": "1"})):
        plain = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "FORCE_COLOR")}
        done = subprocess.run(
            [script, "pack", "gone.tflite"],
            capture_output=True,
            text=True,
            env={**plain, **environment},
            timeout=60,
        )
        assert ("\x1b[" in done.stderr) == wanted


def port(name: str, shape: tuple[int, ...]) -> Port:
    return Port(name, shape, "s8", int(np.prod(shape)), "arena", 0.5, 3)


def test_rows_are_taken_by_name_or_in_order_and_in_any_shape_that_fits(tmp_path: Path) -> None:
    a, b = np.arange(40, dtype=np.int8).reshape(2, 20), np.arange(6, dtype=np.int8).reshape(2, 3)
    ports = [port("b", (1, 3)), port("a", (1, 4, 5, 1))]
    files = {
        "named.npz": {"a": a, "b": b},
        "ordered.npz": {"arr_0": b, "arr_1": a.reshape(2, 4, 5)},
        "shaped.npz": {"b": b.reshape(2, 1, 3), "a": a.reshape(2, 1, 4, 5, 1), "label": np.zeros(2)},
    }
    for name, arrays in files.items():
        np.savez(tmp_path / name, **arrays)
        read_ = rows.read_rows(tmp_path / name, ports)
        assert len(read_) == 2
        for i, (first, second) in enumerate(read_):
            assert np.array_equal(first, b[i].reshape(1, 3)) and np.array_equal(
                second, a[i].reshape(1, 4, 5, 1)
            )


@pytest.mark.parametrize(
    "arrays",
    [{"pixels": 2}, {"pixels": 2, "label": 1}, {"pixels": 2, "label": 0, "x": 3}, {"y": 2, "image": 3}],
    ids=lambda arrays: " ".join(arrays),
)
def test_rows_of_one_input_need_no_name_where_nothing_else_is_meant(
    tmp_path: Path, arrays: dict[str, int]
) -> None:
    """Numbers are the arrays' values; `label` is a scalar and the last array is the one to be taken."""
    made = {key: np.full((2, 20), n, np.int8) if key != "label" else np.int8(0) for key, n in arrays.items()}
    np.savez(tmp_path / "x.npz", **made)
    wanted = [n for key, n in arrays.items() if key != "label"][-1]
    for (row,) in rows.read_rows(tmp_path / "x.npz", [port("image", (1, 4, 5, 1))]):
        assert np.all(row == wanted)


def test_outputs_keep_names_order_and_values_in_the_file(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    ports = [port("file", (1, 3)), port("a/b:0", (2, 3)), port("file", (1, 2, 1)), port("", ())]
    results = [[random.integers(-128, 128, p.shape).astype(np.int8) for p in ports] for _ in range(4)]
    data = rows.npz(rows.output_arrays(results, ports))
    assert data == rows.npz(rows.output_arrays(results, ports))
    (tmp_path / "y.npz").write_bytes(data)
    with np.load(tmp_path / "y.npz", allow_pickle=False) as found:
        assert found.files == ["file", "a/b:0", "file#2", "#3"]
        assert [found[key].shape for key in found.files] == [(4, 3), (4, 2, 3), (4, 2, 1), (4,)]
        for i, key in enumerate(found.files):
            assert found[key].tobytes() == b"".join(row[i].tobytes() for row in results)


def test_names_are_cut_to_what_tells_steps_apart() -> None:
    assert short_name("model/conv_1/Relu;model/bn_1/Fused") == "conv_1/Relu"
    assert short_name("Identity") == "Identity"
    assert len(short_name("x" * 90 + "/" + "y" * 90)) == 40


def test_a_graph_packs_like_its_file(folder: Path) -> None:
    board = boards.load("mps2_an386")
    from_file, from_graph = (
        pack(model, board, Options(kernels="generic"))[0]
        for model in (folder / "m.tflite", load_model(folder / "m.tflite"))
    )
    assert from_file.constants == from_graph.constants and from_file.steps == from_graph.steps
