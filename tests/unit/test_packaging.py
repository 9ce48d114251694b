"""The wheel: what it carries and needs, that it works where it is installed, and what it imports where."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from packaging.metadata import Metadata
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from offramp import __version__

ROOT = Path(__file__).resolve().parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
MODEL = ROOT / "models" / "fashion_mnist" / "fashion_mnist_int8.tflite"
# The converter never runs a model in someone else's runtime: those are oracles of the tests.
FOREIGN_RUNTIMES = {"torch", "tensorflow", "tflite_micro", "tflite_runtime", "ai_edge_litert", "bakenn"}
# Modules that may call what only POSIX systems have. Each can be imported on Windows and does without there.
POSIX_CALLERS = {"host/offramp_host/child_process.py"}
POSIX_MODULES = {
    *("crypt", "fcntl", "grp", "posix", "pty", "pwd", "resource", "spwd", "syslog", "termios", "tty"),
}
POSIX_NAMES = {
    "os": r"(fork|forkpty|setsid|[gs]etpg.*|killpg|kill|gete?[ug]id|sete?[ug]id|getgroups|uname|mkfifo|l?chown|"
    r"chroot|nice|openpty|ptsname|sched_.*|wait|wait[34]|posix_.*|sysconf|statvfs|eventfd|memfd_create)",
    "signal": r"(pthread_.*|set_wakeup_fd|alarm|[gs]etitimer|sigwait.*|sigpending|siginterrupt|"
    r"SIG(KILL|HUP|ALRM|CHLD|PIPE|QUIT|STOP|CONT|USR[12]))",
    "socket": r"(AF_UNIX|socketpair|SO_REUSEPORT|SCM_RIGHTS)",
    "select": r"(poll|epoll|kqueue)",
    "subprocess": r"(preexec_fn|start_new_session|process_group|pass_fds)",
}


def python_files() -> list[Path]:
    return sorted([*(ROOT / "toolkit").rglob("*.py"), *(ROOT / "host").rglob("*.py")])


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_the_wheel_is_pure_and_carries_code_firmware_boards_and_licences(wheel: Path) -> None:
    assert wheel.name == f"offramp-{__version__}-py3-none-any.whl"
    info = f"offramp-{__version__}.dist-info"
    wanted = {f"{info}/licenses/LICENSE", f"{info}/licenses/NOTICE", f"{info}/entry_points.txt"}
    wanted |= {"offramp/_data/LICENSE", "offramp/_data/NOTICE"}  # for trees that `offramp export` writes
    wanted |= {f"{info}/METADATA", f"{info}/WHEEL", f"{info}/RECORD"}
    for source, target in (
        ("toolkit/offramp", "offramp"),
        ("host/offramp_host", "offramp_host"),
        ("firmware", "offramp/_data/firmware"),
        ("boards", "offramp/_data/boards"),
        ("host/micropython", "offramp/_data/host/micropython"),
    ):
        for path in (ROOT / source).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                wanted.add(f"{target}/{path.relative_to(ROOT / source).as_posix()}")
    assert set(zipfile.ZipFile(wheel).namelist()) == wanted


def test_the_base_install_needs_no_other_runtime(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        text = archive.read(f"offramp-{__version__}.dist-info/METADATA").decode()
    found = Metadata.from_email(text, validate=False)
    base = [need for need in found.requires_dist or [] if "extra" not in str(need.marker or "")]
    assert {str(need) for need in base} == {str(Requirement(need)) for need in PROJECT["dependencies"]}
    assert not {canonicalize_name(need.name).replace("-", "_") for need in base} & FOREIGN_RUNTIMES
    assert found.requires_python == SpecifierSet(PROJECT["requires-python"])


def test_no_source_file_is_hidden_from_git() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    command = [
        "git",
        "ls-files",
        "--others",
        "--ignored",
        "--exclude-standard",
        "toolkit",
        "host",
        "firmware",
    ]
    ignored = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert [name for name in ignored if "__pycache__" not in name] == []


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
def test_pins_lie_in_the_ranges_of_the_distribution(python: str) -> None:
    pins = {}
    for line in (ROOT / "requirements.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            pin = Requirement(line)
            if pin.marker is None or pin.marker.evaluate(
                {"python_version": python, "platform_machine": "x86_64"}
            ):
                assert canonicalize_name(pin.name) not in pins, line
                (specifier,) = pin.specifier
                assert specifier.operator == "==", line
                pins[canonicalize_name(pin.name)] = specifier.version
    for need in map(Requirement, PROJECT["dependencies"] + PROJECT["optional-dependencies"]["dev"]):
        if need.marker is not None and not need.marker.evaluate(
            {"python_version": python, "platform_machine": "x86_64"}
        ):
            continue
        assert need.specifier.contains(pins[canonicalize_name(need.name)], prereleases=True), need


def names_used(path: Path) -> Iterator[tuple[str, str]]:
    """Modules imported, as ("fcntl", ""), and what is taken from them, as ("os", "setsid")."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((name.name.partition(".")[0], "") for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from ((node.module.partition(".")[0], name.name) for name in node.names)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            yield node.value.id, node.attr
        elif isinstance(node, ast.Call):
            yield from (("subprocess", keyword.arg) for keyword in node.keywords if keyword.arg)


def posix_only(path: Path) -> list[str]:
    return [
        f"{module}.{name}".rstrip(".")
        for module, name in names_used(path)
        if module in POSIX_MODULES or (module in POSIX_NAMES and re.fullmatch(POSIX_NAMES[module], name))
    ]


def test_posix_only_calls_stay_in_named_modules() -> None:
    callers = {relative(path): found for path in python_files() if (found := posix_only(path))}
    assert callers.keys() == POSIX_CALLERS, callers


def test_no_module_imports_another_runtime() -> None:
    """But what trains, and the adapter for accuracy sweeps: extras, which nothing else imports at its head."""
    extras = (ROOT / "toolkit/offramp/compress/train", ROOT / "toolkit/offramp/frontends")
    for path in python_files():
        found = {module for module, _ in names_used(path)} & FOREIGN_RUNTIMES
        assert not found or any(path.is_relative_to(extra) for extra in extras), path


AS_ON_WINDOWS = """
import importlib, os, pkgutil, re, signal, sys
import asyncio, textual.app  # both know Windows, this interpreter's parts for it are not here
import offramp.cli, offramp_host, ctypes
paths = {name: sys.modules[name].__path__ for name in ("offramp", "offramp_host")}
for name in [name for name in sys.modules if name.partition(".")[0] in paths]:
    del sys.modules[name]
sys.platform = "win32"
for name in MODULES:
    sys.modules[name] = None
for module, pattern in NAMES.items():
    for name in [name for name in dir(sys.modules.get(module)) if re.fullmatch(pattern, name)]:
        delattr(sys.modules[module], name)
def no_main_program(name):
    raise TypeError("LoadLibrary() argument 1 must be str, not None")
ctypes.CDLL = no_main_program
for package, path in paths.items():
    for found in pkgutil.walk_packages(path, package + ".", onerror=lambda name: None):
        if ".compress.train" not in found.name:  # PyTorch for another system is not here
            importlib.import_module(found.name)
"""


def test_every_module_can_be_imported_without_posix() -> None:
    code = AS_ON_WINDOWS.replace("MODULES", repr(POSIX_MODULES)).replace("NAMES", repr(POSIX_NAMES))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The executables of a new environment that holds the wheel and its runtime dependencies only."""
    return new_environment(sys.executable, tmp_path_factory.mktemp("environment"), [str(wheel)])


def new_environment(python: str, folder: Path, requirements: list[str]) -> Path:
    subprocess.run([python, "-m", "venv", str(folder)], check=True)
    install = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet"]
    install += ["--only-binary=:all:", "--no-binary=esptool"]
    subprocess.run([*install, *requirements], check=True)
    return folder / "bin"


@pytest.fixture
def offramp(installed: Path, tmp_path: Path) -> Any:
    """Runs the installed command outside the checkout; a `path` replaces the machine's."""

    def call(*arguments: str, path: str | None = None) -> subprocess.CompletedProcess[str]:
        environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
        environment["OFFRAMP_CACHE"] = str(tmp_path / "cache")
        if path is not None:
            environment["PATH"] = path
        return subprocess.run(
            [str(installed / "offramp"), *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
        )

    return call


@pytest.mark.soak
def test_an_installed_wheel_packs_builds_and_measures(offramp: Any, installed: Path, tmp_path: Path) -> None:
    for arguments in (
        ["--help"],
        ["boards"],
        ["inspect", str(MODEL)],
        ["pack", str(MODEL), "--board", "mps2_an386", "--kernels", "generic", "-o", "m.ofr"],
        ["inspect", "m.ofr", "--licenses"],
        ["doctor"],
        ["build", "m.ofr", "--board", "mps2_an386"],
        ["bench", "m.ofr", "--board", "mps2_an386", "--json"],
    ):
        done = offramp(*arguments)
        assert done.returncode == 0, f"{arguments}: {done.stderr}"
    assert offramp("--version").stdout == f"offramp {__version__}\n"
    assert {"m-mps2_an386.elf", "m-mps2_an386.bin"} < {path.name for path in tmp_path.iterdir()}
    listed = subprocess.run(
        [str(installed / "python"), "-m", "pip", "list", "--format=freeze"], capture_output=True, text=True
    )
    names = {line.partition("==")[0].lower().replace("-", "_") for line in listed.stdout.splitlines()}
    assert "offramp" in names and not names & FOREIGN_RUNTIMES


@pytest.mark.soak
def test_what_needs_no_emulator_works_without_one(offramp: Any, installed: Path, tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in os.listdir("/usr/bin"):
        if name.startswith("arm-none-eabi-"):
            (tools / name).symlink_to(f"/usr/bin/{name}")
    path = f"{installed}:{tools}"
    np.save(tmp_path / "x.npy", np.zeros((1, 28, 28, 1), np.int8))
    packed = offramp(
        "pack", str(MODEL), "--board", "mps2_an386", "--kernels", "generic", "-o", "m.ofr", path=path
    )
    assert packed.returncode == 0, packed.stderr
    assert offramp("inspect", "m.ofr", path=path).returncode == 0
    assert offramp("build", "m.ofr", "--board", "mps2_an386", path=path).returncode == 0
    ran = offramp("run", "m.ofr", "--board", "mps2_an386", "--inputs", "x.npy", path=path)
    assert ran.returncode == 1
    assert ran.stderr.splitlines() == [
        "error: qemu-system-arm is not installed; mps2_an386 needs it",
        "hint: sudo apt-get install qemu-system-arm",
    ]
    assert offramp("doctor", path=path).returncode == 1


@pytest.mark.soak
def test_every_dependency_is_a_wheel_on_every_system_and_python() -> None:
    done = subprocess.run([sys.executable, ROOT / "tools" / "check_wheel.py"], capture_output=True, text=True)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(done.stdout.splitlines()) == 1 + 5 * 3


def interpreter(version: str) -> str | None:
    """A Python of that version: on PATH, or one that pyenv built."""
    built = Path.home().glob(f".pyenv/versions/{version}.*/bin/python")
    for place in (shutil.which(f"python{version}"), *map(str, built)):
        if place and subprocess.run([place, "-c", "import ensurepip"], capture_output=True).returncode == 0:
            return place
    return None


@pytest.mark.soak
@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_the_unit_tests_pass_on_the_installed_wheel(version: str, wheel: Path, tmp_path: Path) -> None:
    python = interpreter(version)
    if python is None:
        pytest.skip(f"no Python {version} here")
    binaries = new_environment(python, tmp_path, [str(wheel), "-r", str(ROOT / "requirements.txt")])
    tests = ["-m", "not soak", "--deselect", "tests/unit/test_packaging.py", "tests/unit"]
    done = subprocess.run(
        [str(binaries / "python"), "-m", "pytest", *tests], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr
