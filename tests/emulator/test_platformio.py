"""PlatformIO on emulated boards, without network: build, upload, monitor, tests, flash, and a project of one's own."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from elftools.elf.elffile import ELFFile

from offramp import boards, cli
from offramp.blob import read
from offramp.build import cmsis_nn
from offramp.build.blob_image import blob_image
from offramp.build.cache import cache_folder
from offramp.build.firmware import universal_kernels
from offramp.frontends import load_model
from offramp.pack import pack
from offramp.plan import Options
from offramp.reference import Reference
from offramp_host import detached, platformio
from offramp_host.device import SLOT, Device
from offramp_host.link import Code
from offramp_host.platformio import Done
from tests import small_models
from tests.synthetic import synthetic

pytestmark = pytest.mark.emulator

ROOT = Path(__file__).resolve().parents[2]
BUILT_HERE = [name for name in boards.names() if boards.load(name).platformio is None]
TIMEOUT_S = 60.0


@pytest.fixture(autouse=True)
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing is fetched, all is kept apart from the person's own PlatformIO, and no emulator is left."""
    monkeypatch.setenv("OFFRAMP_OFFLINE", "1")
    monkeypatch.setenv("PLATFORMIO_CORE_DIR", str(cache_folder() / "platformio" / "core"))
    monkeypatch.setenv("PLATFORMIO_WORKSPACE_DIR", str(tmp_path / "pio"))
    for name in ("OFFRAMP_MODEL", "OFFRAMP_KERNELS"):
        monkeypatch.delenv(name, raising=False)
    yield
    for pid in tmp_path.rglob("emulator/pid"):
        detached.stop(pid.parent)


@pytest.fixture
def port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"socket://127.0.0.1:{probe.getsockname()[1]}"


def pio(*arguments: str, project: Path | None = None, model: Path | None = None, kernels: str = "") -> Done:
    """A run that must succeed."""
    variables = {"OFFRAMP_MODEL": str(model or ""), "OFFRAMP_KERNELS": kernels}
    done = platformio.run(arguments, project=project, variables=variables, offline=True)
    assert done.code == 0, done.output
    return done


def packed(folder: Path, board: str, kernels: str = "auto", model: bytes | None = None) -> Path:
    """A model of a few operators, or another, packed as NAME.ofr."""
    name = "m" if model is None else "other"
    (folder / f"{name}.tflite").write_bytes(model or small_models.classifier())
    blob = folder / f"{name}.ofr"
    blob.write_bytes(pack(folder / f"{name}.tflite", boards.load(board), Options(kernels=kernels))[1])
    return blob


def sections(elf: Path) -> dict[str, tuple[int, bytes]]:
    """Address and bytes of what is loaded."""
    with elf.open("rb") as file:
        found = {s.name: (s["sh_addr"], s.data()) for s in ELFFile(file).iter_sections()}
    return {name: found[name] for name in (".text", ".ofr_blob", ".data", ".rodata") if name in found}


def ours(board: str, blob: Path, folder: Path, universal: bool) -> Path:
    """The image of `offramp build`."""
    target = boards.load(board)
    others = universal_kernels(target) if universal else []
    return blob_image(
        read(blob.read_bytes(), blob), target, folder / "ours.elf", linked=blob, others=others
    ).elf


def call(*arguments: object) -> None:
    assert cli.call([str(argument) for argument in arguments]) == 0


def answers(url: str, blob: Path, model: Path) -> bool:
    """Whether the board's model is the blob and computes what the reference does."""
    graph = load_model(model)
    row = np.arange(20, dtype=np.int8).reshape(graph.tensors[graph.inputs[0]].shape)
    with Device(url, timeout_s=TIMEOUT_S) as device:
        found = device.run([row]).outputs[0]
    return bool(np.array_equal(found.ravel(), Reference(graph).run([row])[0].ravel()))


def test_flash_writes_checks_and_mends(tmp_path: Path, port: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Firmware and model, the same once more over the running one, then another model alone, broken off and again."""
    blob = packed(tmp_path, "mps2_an386")
    call("flash", blob, "--board", "mps2_an386", "--port", port)
    assert (
        f"mps2_an386 at {port} runs offramp" in (said := capsys.readouterr().err) and "model m, CRC" in said
    )
    assert sections(platformio.program("mps2_an386")) == sections(
        ours("mps2_an386", blob, tmp_path, universal=True)
    )
    assert answers(port, blob, tmp_path / "m.tflite")
    other = packed(tmp_path, "mps2_an386", model=small_models.classifier(7))
    with Device(port, timeout_s=TIMEOUT_S) as device, contextlib.suppress(StopIteration):
        begun = (len(other.read_bytes())).to_bytes(4, "little")
        device._session.request(Code.MODEL_BEGIN, bytes([SLOT, 0, 0, 0]) + begun)
        device._session.request(Code.MODEL_CHUNK, bytes(4) + other.read_bytes()[:100])
    call("flash", other, "--board", "mps2_an386", "--port", port, "--model-only")
    assert answers(port, other, tmp_path / "other.tflite")
    call("flash", blob, "--board", "mps2_an386", "--port", port)
    assert answers(port, blob, tmp_path / "m.tflite")


def test_flash_with_the_protocol_of_mlperf_tiny(
    tmp_path: Path, port: str, shared_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The image of `offramp build --mlperf`, which `offramp mlperf` then drives."""
    model, data = (
        shared_data / "mlperf_tiny" / name for name in ("kws_ref_model.tflite", "kws01_first500.npz")
    )
    target = boards.load("mps2_an386")
    blob = tmp_path / "kws.ofr"
    blob.write_bytes(pack(model, target)[1])
    call("flash", blob, "--board", target.name, "--port", port, "--mlperf")
    said = capsys.readouterr().err
    assert f"it speaks MLPerf Tiny's protocol for kws01: offramp mlperf --port {port}" in said
    others = universal_kernels(target)
    image = blob_image(
        *(read(blob.read_bytes(), blob), target, tmp_path / "ours.elf"),
        linked=blob,
        others=others,
        mlperf=True,
    )
    assert sections(platformio.program(target.name)) == sections(image.elf)
    call("mlperf", "--port", port, "--data", data, "--limit", "3", "-o", tmp_path / "results", "--json")
    summary = json.loads(capsys.readouterr().out)
    rows = np.load(data)["x"][:3]
    right = Reference(load_model(model))
    answers = [right.run([row.reshape(1, 49, 10, 1)])[0].argmax() for row in rows]
    assert (summary["benchmark"], summary["inputs"]) == ("kws01", 3)
    assert [np.argmax(answer["results"]) for answer in summary["answers"]] == answers


@pytest.mark.soak
def test_flash_with_a_sensor(tmp_path: Path, port: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Which speaks no protocol of MLPerf Tiny's."""
    blob = packed(tmp_path, "mps2_an386")
    call("flash", blob, "--board", "mps2_an386", "--port", port, "--source", "synthetic")
    with Device(port, timeout_s=TIMEOUT_S) as device:
        assert device.source().name == "synthetic"
        assert np.array_equal(device.capture(600)[:, 0], synthetic(600))
    data = tmp_path / "none.npy"
    assert cli.call(["mlperf", "--port", port, "--data", str(data), "-o", str(tmp_path / "none")]) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--mlperf"], "is for none of MLPerf Tiny's benchmarks: 20 int8"),
        (["--mlperf", "--firmware"], "--mlperf is for firmware with its model"),
        (["--mlperf", "--model-only"], "--mlperf is for firmware with its model"),
        (["--source", "sensor"], "mps2_an386 has no source 'sensor'; it has synthetic"),
        (["--source", "synthetic", "--model-only"], "--source is for firmware"),
    ],
)
def test_what_cannot_be_flashed_is_said_before_anything_is_built(
    tmp_path: Path, port: str, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    blob = packed(tmp_path, "mps2_an386", kernels="generic")
    assert cli.call(["flash", str(blob), "--board", "mps2_an386", "--port", port, *options]) == 1
    out, err = capsys.readouterr()
    said = [line for line in err.splitlines() if line.startswith(("error", "hint"))]
    assert out == "" and len(said) == 2 and message in said[0]


def test_a_board_that_is_another_is_refused(
    tmp_path: Path, port: str, capsys: pytest.CaptureFixture[str]
) -> None:
    target = boards.load("mps2_an385")
    blob = packed(tmp_path, "mps2_an385", kernels="generic")
    image = blob_image(read(blob.read_bytes(), blob), target, tmp_path / "x.elf", linked=blob)
    detached.start(target, image.elf, tmp_path / "emulator", port)
    assert cli.call(["flash", str(blob), "--port", port, "--model-only", "--board", "mps2_an386"]) == 1
    assert "the board there is mps2_an385, not mps2_an386" in capsys.readouterr().err


def test_a_port_in_use_is_told_and_a_dead_emulator_is_no_hindrance(tmp_path: Path) -> None:
    target = boards.load("mps2_an385")
    blob = packed(tmp_path, "mps2_an385", kernels="generic")
    image = blob_image(read(blob.read_bytes(), blob), target, tmp_path / "x.elf", linked=blob)
    folder = tmp_path / "emulator"
    folder.mkdir()
    (folder / "pid").write_text(f"{os.getpid()}\n{tmp_path / 'gone.elf'}\n")  # the number is another's now
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        with pytest.raises(detached.UserError, match="in use by another program") as caught:
            detached.start(target, image.elf, folder, f"socket://127.0.0.1:{holder.getsockname()[1]}")
    detached.start(target, image.elf, folder, caught.value.hint.rpartition(" ")[2])
    assert detached.stop(folder) and not detached.stop(folder)


def test_offline_says_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "main.c").write_text("int main(void) { return 0; }\n")
    ini = "[env:real]\nplatform = ststm32@~19.6.0\nboard = nucleo_f446re\nframework = stm32cube\n"
    (tmp_path / "platformio.ini").write_text(ini)
    done = platformio.run(["run"], project=tmp_path, offline=True)
    assert done.code != 0 and "offline mode (OFFRAMP_OFFLINE)" in done.output


def test_every_board_has_an_environment_and_cmsis_nn_the_version_with_an_adapter() -> None:
    done = pio("project", "config", "--json-output")
    for name in boards.names():
        assert f"env:{name}" in done.output
        known = boards.load(name).platformio
        for library in known.lib_deps if known else ():
            assert "CMSIS-NN" not in library or library.endswith("#v4.0.0")


@pytest.mark.soak
@pytest.mark.parametrize("name", BUILT_HERE)
def test_both_builds_give_equal_text_with_all_kernels(name: str, tmp_path: Path) -> None:
    universal = name != "microbit"  # its flash holds a model's own kernels
    blob = packed(tmp_path, name)
    pio("run", "-e", name, model=blob, kernels="universal" if universal else "model")
    found, expected = platformio.program(name), ours(name, blob, tmp_path, universal)
    assert sections(found)[".text"] == sections(expected)[".text"]
    assert len(sections(found)[".text"][1]) > 5000
    assert sections(found) == sections(expected)


@pytest.mark.parametrize("name", BUILT_HERE)
def test_upload_builds_the_text_of_offramp_build_and_starts_it(name: str, tmp_path: Path, port: str) -> None:
    blob = packed(tmp_path, name, kernels="generic")
    pio("run", "-e", name, "-t", "upload", "--upload-port", port, model=blob, kernels="model")
    found = sections(platformio.program(name))
    assert len(found[".text"][1]) > 5000
    assert found == sections(ours(name, blob, tmp_path, universal=False))
    assert answers(port, blob, tmp_path / "m.tflite")
    pio("run", "-e", name, "-t", "stop", model=blob, kernels="model")
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", int(port.rpartition(":")[2])), 2).close()


OP_TESTS_ALWAYS = ("mps2_an386", "rv32_virt")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name in OP_TESTS_ALWAYS else [pytest.mark.soak])
        for name in BUILT_HERE
        if name != "posix"
    ],
)
def test_the_op_tests_pass(name: str) -> None:
    done = pio("test", "-e", name, "-vv")
    assert "PASSED" in done.output and "FAILED" not in done.output
    assert int(done.output.split(" test cases: ")[1].split()[0]) > 5


def test_the_monitor_shows_the_banner(tmp_path: Path, port: str) -> None:
    blob = packed(tmp_path, "mps2_an386", kernels="generic")
    pio("run", "-e", "mps2_an386", "-t", "upload", "--upload-port", port, model=blob, kernels="model")
    command = [
        platformio.python(),
        str(platformio.firmware() / "pio.py"),
        "device",
        "monitor",
        "--no-reconnect",
    ]
    said = on_terminal([*command, "-p", port], b" on mps2_an386")
    assert b"offramp " in said and b" on mps2_an386" in said


def on_terminal(command: Sequence[str], wanted: bytes) -> bytes:
    """What a program says on a terminal until `wanted` is among it; it is then ended."""
    ours_end, theirs = pty.openpty()
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, cwd=platformio.firmware())
    os.close(theirs)
    said, limit = b"", time.monotonic() + TIMEOUT_S
    try:
        while wanted not in said and time.monotonic() < limit:
            said += os.read(ours_end, 4096)
    except OSError:  # it has ended
        pass
    finally:
        process.kill()
        process.wait()
        os.close(ours_end)
    return said


FOREIGN = """# A stand-in for a vendor's platform: its own compiler, start-up code and flags.
from SCons.Script import Default, DefaultEnvironment
env = DefaultEnvironment()
env.Replace(CC="arm-none-eabi-gcc", CXX="arm-none-eabi-g++", LINK="arm-none-eabi-gcc", PROGSUFFIX=".elf")
env.Append(CCFLAGS=["-Os"], LINKFLAGS=["-nostartfiles", "-Wl,--unresolved-symbols=ignore-all", "-Wl,-e,main"])
Default([env.BuildProgram()])
"""


def foreign_platform(folder: Path, name: str) -> None:
    """A development platform with a toolchain package, as a vendor's is installed."""
    toolchain = folder / "core" / "packages" / "toolchain-gccarmnoneeabi"
    manifests = {
        folder / "platform.json": {
            "name": "ststm32",
            "title": "ST",
            "description": "a stand-in",
            "version": "19.6.0",
            "engines": {"platformio": "^6"},
            "frameworks": {"stm32cube": {"script": "builder/cube.py"}},
            "packages": {
                toolchain.name: {"type": "toolchain", "owner": "platformio", "version": "~1.120301.0"}
            },
        },
        folder / "boards" / f"{name}.json": {
            "name": name,
            "vendor": "ST",
            "url": "https://www.st.com",
            "frameworks": ["stm32cube"],
            "build": {"mcu": "stm32"},
            "upload": {"maximum_size": 524288, "maximum_ram_size": 131072},
        },
        toolchain / "package.json": {"name": toolchain.name, "version": "1.120301.0", "system": "*"},
        toolchain / ".piopm": {
            "type": "tool",
            "name": toolchain.name,
            "version": "1.120301.0",
            "spec": {
                "owner": "platformio",
                "id": None,
                "name": toolchain.name,
                "requirements": None,
                "uri": None,
            },
        },
    }
    for path, manifest in manifests.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(manifest))
    (folder / "platform.py").write_text(
        "from platformio.public import PlatformBase\nclass Ststm32Platform(PlatformBase):\n    pass\n"
    )
    (folder / "builder").mkdir()
    (folder / "builder" / "main.py").write_text(FOREIGN)
    (folder / "builder" / "cube.py").write_text("")
    (toolchain / "bin").mkdir()
    (toolchain / "bin" / "arm-none-eabi-gcc").symlink_to(shutil.which("arm-none-eabi-gcc") or "")


@pytest.mark.soak
def test_a_real_boards_environment_builds_with_a_stand_in_for_its_platform(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own compiler, framework port, FPU flags, and CMSIS-NN from the environment's libraries."""
    name = "nucleo_f446re"
    foreign_platform(tmp_path / "fake", name)
    ini = (platformio.firmware() / "platformio.ini").read_text()
    ini = ini.replace("platform = ststm32@~19.6.0", f"platform = symlink://{tmp_path / 'fake'}")
    ini = re.sub(r"^platform_packages = \n( +.*\n)+", "", ini, flags=re.MULTILINE)
    assert "https://github.com/ARM-software/CMSIS-NN.git#v4.0.0" in ini
    library = tmp_path / "CMSIS-NN"
    ini = re.sub(r"https://\S+/CMSIS-NN.git#v4.0.0", f"file://{library}", ini)
    (tmp_path / "platformio.ini").write_text(ini)
    shutil.copytree(cmsis_nn.find().root, library)
    (library / "library.json").write_text('{"name": "CMSIS-NN", "version": "4.0.0"}')
    monkeypatch.setenv("PLATFORMIO_CORE_DIR", str(tmp_path / "fake" / "core"))
    blob = packed(tmp_path, name)
    assert any(kernel.startswith("cmsis_nn/") for kernel in read(blob.read_bytes(), blob).kernels)
    done = pio("run", "-v", "-e", name, "-c", str(tmp_path / "platformio.ini"), model=blob, kernels="model")
    fetched = tmp_path / "pio" / "libdeps" / name / "CMSIS-NN"
    assert f"{fetched}/Source" in done.output and "-Werror" not in done.output
    told = subprocess.run(
        ["arm-none-eabi-readelf", "-W", "-A", "-s", platformio.program(name)], capture_output=True, text=True
    ).stdout
    assert "Tag_ABI_VFP_args: VFP registers" in told and "ofr_kernel_cmsis_nn" in told and " main" in told


def test_a_project_of_ones_own_depends_on_the_library(tmp_path: Path, port: str) -> None:
    """The example, in a folder of its own beside a link to the firmware: one class, which is the reference's."""
    project = tmp_path / "examples" / "platformio"
    shutil.copytree(ROOT / "examples" / "platformio", project, ignore=shutil.ignore_patterns(".pio"))
    (tmp_path / "firmware").symlink_to(ROOT / "firmware")
    blob = packed(tmp_path, "mps2_an386")
    shutil.copy(blob, project / "model.ofr")
    os.environ.pop("PLATFORMIO_WORKSPACE_DIR")
    pio("run", "-t", "upload", "--upload-port", port, project=project)
    at = ("127.0.0.1", int(port.rpartition(":")[2]))
    with socket.create_connection(at, TIMEOUT_S) as line:
        said = line.makefile().readline()
    graph = load_model(tmp_path / "m.tflite")
    row = np.arange(20, dtype=np.int8).reshape(graph.tensors[graph.inputs[0]].shape)
    assert said == f"class {int(Reference(graph).run([row])[0].argmax())}\n"
