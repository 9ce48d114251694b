"""Exported trees on this machine: what is in them, what other builds make of them, and what is refused."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

from offramp import boards, cli
from offramp.blob import read, write
from offramp.build import cmsis_nn
from offramp.export import Tree, tree
from offramp.features import KINDS, Stream
from offramp.frontends import tflite
from offramp.ir import Graph
from offramp.plan import Options, make_plan
from offramp.reference import Reference
from offramp.resources import root
from tests import exported, small_models
from tests.families import family
from tests.front_ends import raw_for
from tests.fuzz.seeds import STREAMS, behind, exits_net, keyword_net, streaming_net

POSIX, M4 = boards.load("posix"), boards.load("mps2_an386")
N_ROWS = 4
STRICT = "-Wall -Wextra -Wconversion -Wshadow -Werror"


def graph_of(data: bytes) -> Graph:
    return tflite.load(data, Path("net.tflite"))


def tree_of(
    graph: Graph,
    board: boards.Board = POSIX,
    options: Options | None = None,
    stream: Stream | None = None,
) -> Tree:
    plan = make_plan(graph, board, options or Options())
    data = write(dataclasses.replace(plan, front_end=stream.block()) if stream else plan)
    return tree(read(data, Path("net.ofr")), data, board)


def put(found: Tree, folder: Path) -> None:
    for place, data in found.files.items():
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / place).write_bytes(data)


@pytest.fixture(scope="module")
def m4() -> Tree:
    """With Arm's library in it."""
    return tree_of(graph_of(keyword_net()), M4, Options("cmsis_nn"))


# What main.c differs by, each built with warnings as errors, and run.
MODELS: dict[str, tuple[Callable[[], Graph], Options]] = {
    "family": (family, Options()),
    "exits": (exits_net, Options()),
    "state": (lambda: graph_of(streaming_net()), Options()),
    "caller": (lambda: graph_of(small_models.classifier()), Options(caller_inputs=("image",))),
}


@pytest.mark.parametrize("name", MODELS)
def test_main_runs_every_kind_of_model(name: str, tmp_path: Path) -> None:
    make, options = MODELS[name]
    put(tree_of(make(), options=options), tmp_path / "tree")
    exported.cmake(tmp_path / "tree", tmp_path / "build", f"-DCMAKE_C_FLAGS={STRICT}")
    assert subprocess.run([tmp_path / "build" / "offramp_example"], timeout=30).returncode == 0


# Of each kind one with rows that are used several times.
OF_KINDS = {
    stream.front_end.kind: stream for stream in STREAMS.values() if stream.hop_rows < stream.window_rows
}


@pytest.mark.parametrize("kind", OF_KINDS)
@pytest.mark.parametrize("options", [Options(), Options(caller_inputs=("t0",))], ids=["arena", "caller"])
def test_main_feeds_a_front_end(kind: str, options: Options, tmp_path: Path) -> None:
    stream = OF_KINDS[kind]
    put(tree_of(behind(stream), options=options, stream=stream), tmp_path / "tree")
    exported.cmake(tmp_path / "tree", tmp_path / "build", f"-DCMAKE_C_FLAGS={STRICT}")
    assert subprocess.run([tmp_path / "build" / "offramp_example"], timeout=30).returncode == 0


def test_only_the_front_end_that_the_blob_names_comes_along() -> None:
    assert OF_KINDS.keys() == KINDS.keys()
    wanted = {kind: {"features", "feature_table", kind} for kind in KINDS}
    wanted["micro"].add("transform")
    wanted["mfcc"].add("transform_s32")
    for kind, stream in OF_KINDS.items():
        files = tree_of(behind(stream), stream=stream).files
        found = {Path(place).stem for place in files if re.fullmatch(r"src/features/\w+\.c", place)}
        assert found == wanted[kind]
    assert not [place for place in tree_of(graph_of(keyword_net())).files if "src/features/" in place]


def test_main_tells_a_damaged_model(tmp_path: Path) -> None:
    """So that the exit code is known to mean something."""
    put(tree_of(graph_of(small_models.classifier())), tmp_path / "tree")
    array = tmp_path / "tree" / "src" / "offramp_blob.c"
    array.write_text(array.read_text().replace("    79,70,82,49,", "    79,70,82,50,"))
    exported.cmake(tmp_path / "tree", tmp_path / "build")
    assert subprocess.run([tmp_path / "build" / "offramp_example"], timeout=30).returncode == 1


CPP_PROJECT = """cmake_minimum_required(VERSION 3.20)
project(mine LANGUAGES CXX)
set(CMAKE_CXX_STANDARD 17)
set(CMAKE_CXX_EXTENSIONS OFF)
add_subdirectory(vendor/offramp)
add_executable(mine main.cpp)
target_compile_options(mine PRIVATE -Wall -Wextra -Wpedantic -Werror)
target_link_libraries(mine PRIVATE offramp::offramp)
"""


@pytest.mark.parametrize("board", [POSIX, M4], ids=lambda b: b.name)
def test_in_a_cpp17_program(board: boards.Board, tmp_path: Path) -> None:
    """The tree of a Cortex-M4 too, where the model needs no kernels of that core's: one tree, two machines."""
    graph = graph_of(keyword_net())
    project = tmp_path / "project"
    exported.export(graph, board, project / "vendor" / "offramp", Options("generic"))
    rows = np.random.default_rng(5).integers(
        -128, 128, (N_ROWS, *graph.tensors[graph.inputs[0]].shape), np.int8
    )
    (project / "rows.h").write_text(exported.rows_header([row.tobytes() for row in rows]))
    (project / "main.cpp").write_text(exported.program(exported.IN_CPP))
    (project / "CMakeLists.txt").write_text(CPP_PROJECT)
    exported.cmake(project, tmp_path / "build")
    done = subprocess.run([tmp_path / "build" / "mine"], capture_output=True, text=True, timeout=30)
    reference = Reference(graph)
    assert done.stdout.split() == [reference.run([row])[0].tobytes().hex() for row in rows]
    assert done.returncode == 0


@pytest.mark.parametrize("name", STREAMS)
def test_raw_samples_in_a_cpp17_program(name: str, tmp_path: Path) -> None:
    stream = STREAMS[name]
    graph, raw = behind(stream), raw_for(stream)[:2000]
    project = tmp_path / "project"
    exported.export(graph, POSIX, project / "vendor" / "offramp", stream=stream)
    (project / "rows.h").write_text(exported.rows_header([raw.tobytes()]))
    (project / "main.cpp").write_text(exported.program(exported.IN_CPP, exported.OF_RAW))
    (project / "CMakeLists.txt").write_text(CPP_PROJECT)
    exported.cmake(project, tmp_path / "build")
    done = subprocess.run([tmp_path / "build" / "mine"], capture_output=True, text=True, timeout=30)
    reference, shape = Reference(graph), graph.tensors[graph.inputs[0]].shape
    expected = [reference.run([row.reshape(shape)])[0].tobytes().hex() for row in stream.inputs(raw)]
    assert len(expected) > 1 and done.stdout.split() == expected
    assert done.returncode == 0


# Stand-ins for what the other builds call: enough to see which files and folders reach the compiler.
ESP_IDF = """cmake_minimum_required(VERSION 3.20)
project(idf LANGUAGES C ASM)
set(ESP_PLATFORM 1)
macro(idf_component_register)
    cmake_parse_arguments(C "" "" "SRCS;INCLUDE_DIRS;PRIV_INCLUDE_DIRS" ${ARGN})
    add_library(component STATIC ${C_SRCS})
    target_include_directories(component PUBLIC ${C_INCLUDE_DIRS} PRIVATE ${C_PRIV_INCLUDE_DIRS})
endmacro()
add_subdirectory(offramp)
"""
ESP_IDF_SCRIPT = """set(ESP_PLATFORM 1)
macro(idf_component_register)
    message(STATUS "registered")
    return()
endmacro()
include(${CMAKE_CURRENT_LIST_DIR}/offramp/CMakeLists.txt)
"""
ZEPHYR = """cmake_minimum_required(VERSION 3.20)
project(zephyr LANGUAGES C ASM)
set(CONFIG_OFFRAMP y)
macro(zephyr_include_directories)
    include_directories(${ARGN})
endmacro()
macro(zephyr_library_named name)
    set(ZEPHYR_CURRENT_LIBRARY ${name})
    add_library(${name} STATIC "")
endmacro()
macro(zephyr_library_include_directories)
    target_include_directories(${ZEPHYR_CURRENT_LIBRARY} PRIVATE ${ARGN})
endmacro()
macro(zephyr_library_sources)
    target_sources(${ZEPHYR_CURRENT_LIBRARY} PRIVATE ${ARGN})
endmacro()
add_subdirectory(offramp/zephyr)
"""


MICRO = STREAMS["micro"]


@pytest.mark.parametrize("text", [ESP_IDF, ZEPHYR], ids=["esp-idf", "zephyr"])
@pytest.mark.parametrize("stream", [None, MICRO], ids=["inputs", "raw"])
def test_other_builds_compile_all_sources_with_their_flags(
    text: str, stream: Stream | None, tmp_path: Path
) -> None:
    graph = behind(stream) if stream else graph_of(keyword_net())
    put(tree_of(graph, stream=stream), tmp_path / "offramp")
    (tmp_path / "CMakeLists.txt").write_text(text)
    exported.cmake(tmp_path, tmp_path / "build")
    commands = json.loads((tmp_path / "build" / "compile_commands.json").read_text())
    flags = {Path(c["file"]).relative_to(tmp_path / "offramp").as_posix(): c["command"] for c in commands}
    assert set(flags) == {
        str(p.relative_to(tmp_path / "offramp")) for p in (tmp_path / "offramp" / "src").rglob("*.[cS]")
    }
    quick = "src/features/micro.c" if stream else "src/generic/softmax.c"
    assert " -Os " in flags["src/load.c"] and " -O3 " in flags[quick]


def test_esp_idf_asks_for_requirements_in_script_mode(tmp_path: Path) -> None:
    """There most commands are missing, and the registration returns."""
    put(tree_of(graph_of(keyword_net())), tmp_path / "offramp")
    (tmp_path / "script.cmake").write_text(ESP_IDF_SCRIPT)
    done = subprocess.run(
        ["cmake", "-P", tmp_path / "script.cmake"], capture_output=True, text=True, timeout=30
    )
    assert (done.returncode, done.stdout) == (0, "-- registered\n"), done.stderr


def test_metadata_of_other_builds_has_the_keys_that_they_need(m4: Tree) -> None:
    module = yaml.safe_load(m4.files["zephyr/module.yml"])
    assert module["name"] == "offramp"
    for key in ("cmake", "kconfig"):
        assert any(place.startswith(module["build"][key]) for place in m4.files)
    kconfig = m4.files["zephyr/Kconfig"].decode()
    assert re.match(r'config OFFRAMP\n\tbool "[^"\n]+"\n\thelp\n(\t  [^\n]+\n)+$', kconfig)
    component = yaml.safe_load(m4.files["idf_component.yml"])
    assert re.fullmatch(r"\d+\.\d+\.\d+", component["version"]) and component["dependencies"]["idf"]
    properties = dict(line.split("=", 1) for line in m4.files["library.properties"].decode().splitlines())
    # https://arduino.github.io/arduino-cli/latest/library-specification/: all but `includes` are required
    required = "name version author maintainer sentence paragraph category url architectures includes"
    assert set(properties) == set(required.split()) and all(properties.values())
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9 _.-]{0,62}", properties["name"])
    assert all(f"src/{name}" in m4.files for name in properties["includes"].split(","))
    library = json.loads(m4.files["library.json"])
    assert {"name", "version", "frameworks", "platforms"} <= set(library)
    assert "-fwrapv" in library["build"]["flags"]  # Arm's library needs it


ARDUINO_H = """#include <cstddef>
#include <cstdint>
#include <cstdio>
struct Port {
    void begin(long) {}
    void print(const char *s) { std::printf("%s", s); }
    void print(long n) { std::printf("%ld", n); }
    void print(unsigned long) {}
    void print(int n) { print(static_cast<long>(n)); }
    void print(char c) { std::putchar(c); }
    void println(const char *s = "") { std::printf("%s\\n", s); }
};
static Port Serial;
static unsigned long micros() { return 0; }
static void delay(unsigned long) {}
"""


@pytest.mark.parametrize("stream", [None, MICRO], ids=["inputs", "raw"])
def test_arduinos_builder_finds_all_it_needs(stream: Stream | None, tmp_path: Path) -> None:
    """It compiles what is below src/, with src/ as the one include folder, and the sketch as C++."""
    graph = behind(stream) if stream else graph_of(small_models.classifier())
    put(tree_of(graph, stream=stream), tmp_path)
    (tmp_path / "Arduino.h").write_text(ARDUINO_H)
    sketch = (tmp_path / "examples" / "run_once" / "run_once.ino").read_text()
    main = '#include "Arduino.h"\n' + sketch + "int main() { setup(); loop(); }\n"
    (tmp_path / "sketch.cpp").write_text(main)
    sources = sorted((tmp_path / "src").rglob("*.[cS]"))
    subprocess.run(["gcc", "-Os", "-Isrc", "-c", *sources], cwd=tmp_path, check=True, timeout=60)
    objects = sorted(tmp_path.glob("*.o"))
    assert len(objects) == len(sources)
    warnings = ["-Wall", "-Wextra", "-Werror"]
    subprocess.run(
        ["g++", "-std=gnu++17", *warnings, "-Isrc", "sketch.cpp", *objects, "-o", "sketch"],
        cwd=tmp_path,
        check=True,
    )
    done = subprocess.run([tmp_path / "sketch"], capture_output=True, text=True, timeout=30)
    assert re.fullmatch(rf" us:( -?\d+){{{graph.tensors[graph.outputs[0]].shape[-1]}}}\n", done.stdout)


def test_the_bill_has_what_spdx_2_3_requires_and_every_file(m4: Tree, tmp_path: Path) -> None:
    found = json.loads(m4.files["offramp.spdx.json"])
    assert (found["spdxVersion"], found["dataLicense"], found["SPDXID"]) == (
        "SPDX-2.3",
        "CC0-1.0",
        "SPDXRef-DOCUMENT",
    )
    assert found["name"] and re.fullmatch(r"https://[^#\s]+", found["documentNamespace"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", found["creationInfo"]["created"])
    assert all(
        re.match(r"(Person|Organization|Tool): .", creator) for creator in found["creationInfo"]["creators"]
    )
    ids = [item["SPDXID"] for item in (*found["packages"], *found["files"])]
    assert len(set(ids)) == len(ids) and all(re.fullmatch(r"SPDXRef-[A-Za-z0-9.-]+", i) for i in ids)
    for package in found["packages"]:
        assert package["name"] and package["versionInfo"] and package["downloadLocation"]
        assert package["licenseConcluded"] and package["licenseDeclared"] and package["copyrightText"]
        assert len(package["packageVerificationCode"]["packageVerificationCodeValue"]) == 40
    versions = {package["name"]: package["versionInfo"] for package in found["packages"]}
    assert versions["CMSIS-NN"] == "4.0.0" and re.fullmatch(r"[\d.]+", versions["CMSIS-Core"])
    ends = {r["relatedSpdxElement"] for r in found["relationships"]} | {"SPDXRef-DOCUMENT"}
    assert ends == {*ids, "SPDXRef-DOCUMENT"}
    put(m4, tmp_path)  # the digests as another program takes them
    sums = "".join(f"{f['checksums'][1]['checksumValue']}  {f['fileName']}\n" for f in found["files"])
    subprocess.run(
        ["sha256sum", "--check", "--quiet", "--strict"], input=sums, text=True, cwd=tmp_path, check=True
    )
    sums = "".join(f"{f['checksums'][0]['checksumValue']}  {f['fileName']}\n" for f in found["files"])
    subprocess.run(
        ["sha1sum", "--check", "--quiet", "--strict"], input=sums, text=True, cwd=tmp_path, check=True
    )
    assert {f["fileName"] for f in found["files"]} == {f"./{place}" for place in m4.files} - {
        "./offramp.spdx.json"
    }


def test_third_party_files_are_unchanged_and_have_their_licence(m4: Tree) -> None:
    library = cmsis_nn.find()
    taken = [place for place in m4.files if place.startswith("src/third_party/cmsis_nn/")]
    assert "src/third_party/cmsis_nn/LICENSE.txt" in taken and "CMSIS-NN 4.0.0" in m4.files["NOTICE"].decode()
    originals = {path.name: path.read_bytes() for path in library.root.rglob("*") if path.is_file()}
    assert all(m4.files[place] == originals[Path(place).name] for place in taken)
    compiled = [place for place in taken if place.endswith(".c")]
    assert 0 < len(compiled) < len(library.sources)


def test_no_file_names_a_folder_of_this_machine(m4: Tree) -> None:
    here = [str(root()), os.path.expanduser("~"), "/tmp/", "site-packages", "/work/", "/home/"]
    for place, data in m4.files.items():
        assert not [name for name in here if name.encode() in data], place


def test_only_the_models_kernels_come_along(m4: Tree) -> None:
    table = m4.files["src/kernel_table.c"].decode()
    sources = "".join(
        data.decode() for place, data in m4.files.items() if re.match(r"src/\w+/\w+\.c$", place)
    )
    named = set(re.findall(r"&(ofr_kernel_\w+)", table))
    there = set(re.findall(r"^const ofr_kernel (ofr_kernel_\w+) = ", sources, re.MULTILINE))
    assert named <= there and len(there - named) <= 1  # one kernel is made of another's parts


def test_names_in_a_model_cannot_leave_their_comment(tmp_path: Path) -> None:
    bad = 'x */ int y;\n#error "@NAME@" ??/ \\'
    data = write(make_plan(graph_of(small_models.classifier()), POSIX, Options()))
    blob = read(data, Path("net.ofr"))
    plan = blob.plans[0]
    ports = tuple(dataclasses.replace(port, name=bad) for port in plan.inputs)
    hostile = dataclasses.replace(
        blob, name=bad, labels=(bad, bad), plans=(dataclasses.replace(plan, name=bad, inputs=ports),)
    )
    put(tree(hostile, data, POSIX), tmp_path / "tree")
    exported.cmake(tmp_path / "tree", tmp_path / "build", f"-DCMAKE_C_FLAGS={STRICT}")
    assert subprocess.run([tmp_path / "build" / "offramp_example"], timeout=30).returncode == 0
    yaml.safe_load((tmp_path / "tree" / "idf_component.yml").read_text())
    json.loads((tmp_path / "tree" / "library.json").read_text())


def test_trees_repeat(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    first, second = (tree_of(graph_of(small_models.classifier())) for _ in range(2))
    assert first == second


# ---- the command ----


@pytest.fixture
def packed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.tflite").write_bytes(small_models.classifier())
    assert cli.call(["pack", "m.tflite", "--board", "posix", "-o", "m.ofr"]) == 0
    return tmp_path


def call(*arguments: str) -> int:
    return cli.call(["export", *arguments])


def test_a_dry_run_lists_what_a_run_writes(packed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ("m.ofr", "--board", "posix", "--to", "new/tree", "--json")
    capsys.readouterr()
    assert call(*command, "--dry-run") == 0
    listed = json.loads(capsys.readouterr().out)
    assert not (packed / "new").exists() and not listed["written"]
    assert call(*command) == 0
    found = {
        p.relative_to(packed / "new/tree").as_posix(): p.stat().st_size
        for p in (packed / "new/tree").rglob("*")
        if p.is_file()
    }
    assert found == {file["path"]: file["bytes"] for file in listed["files"]}
    assert listed["bytes"] == sum(found.values())
    assert (packed / "new/tree/model.ofr").read_bytes() == (packed / "m.ofr").read_bytes()
    assert [p.name for p in (packed / "new").iterdir()] == ["tree"]


def test_an_export_is_replaced_whole(packed: Path) -> None:
    command = ("m.ofr", "--board", "posix", "--to", "tree")
    assert call(*command) == 0
    (packed / "tree/build").mkdir()
    (packed / "tree/build/object.o").write_text("of the last build")
    assert call(*command) == 0
    assert not (packed / "tree/build").exists()
    assert sorted(p.name for p in packed.iterdir()) == ["m.ofr", "m.tflite", "tree"]


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    capsys.readouterr()
    assert call(*arguments) == 1
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 2 and error.splitlines()[1].startswith("hint: ")
    return error


def test_what_is_not_an_export_is_left_alone(packed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ("m.ofr", "--board", "posix", "--to")
    assert "not empty" in refused(capsys, *command, ".")
    assert "is a file" in refused(capsys, *command, "m.tflite")
    (packed / "other").mkdir()
    (packed / "other/offramp.spdx.json").write_text(
        '{"creationInfo": {"creators": ["Tool: another"]}, "files": []}'
    )
    assert "not empty" in refused(capsys, *command, "other")
    assert call(*command, "tree") == 0
    (packed / "tree/main.c").write_text("/* mine */")
    assert "main.c was changed" in refused(capsys, *command, "tree")
    assert call(*command, "tree2") == 0
    (packed / "tree2/src/mine.c").write_text("/* mine */")
    assert "src/mine.c was added" in refused(capsys, *command, "tree2")
    assert (packed / "tree/main.c").read_text() == "/* mine */"
    assert "cannot be written" in refused(capsys, *command, "m.tflite/tree")


def test_a_blob_for_another_core_is_refused(packed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (packed / "k.tflite").write_bytes(keyword_net())
    assert cli.call(["pack", "k.tflite", "--board", "mps3_an547", "--no-passes", "-o", "k.ofr"]) == 0
    error = refused(capsys, "k.ofr", "--board", "mps2_an386", "--to", "tree")
    assert "cortex-m55" in error and "--board mps2_an386" in error and not (packed / "tree").exists()


def test_a_library_that_is_missing_is_named(
    packed: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (packed / "k.tflite").write_bytes(keyword_net())
    options = ["--board", "mps2_an386", "--kernels", "cmsis_nn", "--no-passes", "-o", "k.ofr"]
    assert cli.call(["pack", "k.tflite", *options]) == 0
    monkeypatch.setattr("offramp.build.library.in_wheel", lambda folder: None)
    assert "CMSIS-NN is not installed" in refused(capsys, "k.ofr", "--board", "mps2_an386", "--to", "tree")
