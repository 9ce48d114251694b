"""tools/setup with every command that it calls replaced, and once for real on a fresh checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# What any Debian has; nothing else of this machine is on PATH.
PLAIN_TOOLS = (
    "cat",
    "cksum",
    "cp",
    "dirname",
    "env",
    "flock",
    "mkdir",
    "mv",
    "rm",
    "sed",
    "sleep",
    "tr",
)
ALL_PACKAGES = (
    *("make", "cmake", "gcc", "g++", "libc6-dev", "gcc-arm-none-eabi", "libnewlib-arm-none-eabi"),
    *("gcc-riscv64-unknown-elf", "picolibc-riscv64-unknown-elf", "clang", "libclang-rt-dev"),
    *("gcc-xtensa-lx106", "picolibc-xtensa-lx106-elf"),
    *("flatbuffers-compiler", "qemu-system-arm", "qemu-system-misc", "tmux"),
)
KNOWN = (*ALL_PACKAGES, "libclang-common-14-dev", "python3", "python3.11-venv")
OF_MICROPYTHON = [
    f"tests/micropython/{name}"
    for name in ("package.json", "package-lock.json", "stubs/esp32.txt", "stubs/rp2.txt")
]
# Serves as the machine's Python and, copied, as the environment's.
PYTHON = """#!/bin/sh
echo "python $*" >>"$LOG"
case "$*" in
    --version) echo "Python VERSION" ;;
    "-c"*) exit SERVES ;;
    "-m venv"*) mkdir -p .venv/bin && cp "$0" .venv/bin/python ;;
    *--target*) mkdir -p .venv/micropython ;;
    *) sleep 0.2 ;;
esac
"""


class Machine:
    """A checkout and the commands that tools/setup finds; `log` is what was called."""

    def __init__(self, folder: Path) -> None:
        self.checkout = folder / "checkout"
        self.bin = folder / "bin"
        self._log = folder / "log"
        (self.checkout / "tools").mkdir(parents=True)
        self.bin.mkdir()
        shutil.copy(ROOT / "tools" / "setup", self.checkout / "tools" / "setup")
        for name in ("pyproject.toml", "requirements.txt", *OF_MICROPYTHON):
            (self.checkout / name).parent.mkdir(parents=True, exist_ok=True)
            (self.checkout / name).touch()
        for tool in PLAIN_TOOLS:
            (self.bin / tool).symlink_to(shutil.which(tool) or pytest.skip(f"needs {tool}"))
        self.command("apt-get", 'echo "apt-get $*" >>"$LOG"')
        self.user(1000)
        self.packages(ALL_PACKAGES)
        self.python("python3.11")

    def command(self, name: str, body: str) -> None:
        path = self.bin / name
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)

    def user(self, number: int) -> None:
        self.command("id", f"echo {number}")

    def packages(self, installed: tuple[str, ...], known: tuple[str, ...] = KNOWN) -> None:
        lines = "\n".join(f"echo 'installed {name}'" for name in installed)
        self.command("dpkg-query", f"{lines}\necho 'config-files removed'")
        self.command("apt-cache", f'case " {" ".join(known)} " in *" $2 "*) ;; *) exit 100 ;; esac')

    def python(self, name: str, version: str = "3.11.2", serves: bool = True) -> None:
        text = PYTHON.replace("VERSION", version).replace("SERVES", "0" if serves else "1")
        (self.bin / name).write_text(text)
        (self.bin / name).chmod(0o755)

    def environment(self) -> Mapping[str, str]:
        return {"PATH": str(self.bin), "LOG": str(self._log)}

    def setup(self, code: int = 0) -> str:
        """Its stderr; it must end with `code`."""
        done = subprocess.run(
            ["/bin/sh", str(self.checkout / "tools" / "setup")],
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == code, done.stderr
        assert done.stdout == ""
        return done.stderr

    def log(self, start: str = "") -> list[str]:
        lines = self._log.read_text().splitlines() if self._log.exists() else []
        return [line for line in lines if line.startswith(start)]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def without(*names: str) -> tuple[str, ...]:
    return tuple(name for name in ALL_PACKAGES if name not in names)


INSTALL = "apt-get update && apt-get install -y --no-install-recommends"


def test_nothing_missing_makes_the_environment_once(machine: Machine) -> None:
    machine.setup()
    assert machine.log("apt-get") == []
    assert [line for line in machine.log("python") if " install " in line] == [
        "python -m pip --disable-pip-version-check -q install --only-binary=:all: --no-binary=esptool "
        "-r requirements.txt",
        "python -m pip --disable-pip-version-check -q install --no-deps --no-build-isolation -e .",
        *(
            "python -m pip --disable-pip-version-check -q install --no-deps "
            f"--target .venv/micropython/{board} -r tests/micropython/stubs/{board}.txt"
            for board in ("esp32", "rp2")
        ),
    ]
    calls = len(machine.log())
    assert machine.setup() == ""
    assert len(machine.log()) == calls


def test_a_changed_pin_is_installed(machine: Machine) -> None:
    machine.setup()
    (machine.checkout / "requirements.txt").write_text("numpy==2\n")
    machine.setup()
    assert len(machine.log("python -m venv")) == 1
    assert len([line for line in machine.log() if line.endswith("-r requirements.txt")]) == 2


def test_neither_root_nor_sudo_prints_the_command(machine: Machine) -> None:
    machine.packages(without("clang", "g++"))
    assert machine.setup(code=1).splitlines()[-1].strip() == f"{INSTALL} g++ clang"
    assert machine.log("apt-get") == [] and not (machine.checkout / ".venv").exists()


def test_a_prefix_or_a_removed_package_is_not_the_package(machine: Machine) -> None:
    machine.packages((*without("gcc", "make"), "gcc-12", "xmake"))
    assert machine.setup(code=1).splitlines()[-1].strip() == f"{INSTALL} make gcc"


@pytest.mark.parametrize("sudo", [False, True])
def test_root_or_sudo_installs(machine: Machine, sudo: bool) -> None:
    machine.packages(without("clang"))
    if sudo:
        machine.command("sudo", 'echo "sudo $*" >>"$LOG"; exec "$@"')
    else:
        machine.user(0)
    machine.setup()
    update, install = machine.log("apt-get")
    assert update == "apt-get update -q"
    assert install.endswith("install -y -q --no-install-recommends clang")
    assert len(machine.log("sudo")) == (2 if sudo else 0)
    assert (machine.checkout / ".venv" / "offramp-setup").exists()


def test_a_refusing_sudo_leaves_the_command(machine: Machine) -> None:
    machine.packages(without("clang"))
    machine.command("sudo", "exit 1")
    assert machine.setup(code=1).splitlines()[-1].strip() == f"{INSTALL} clang"
    assert not (machine.checkout / ".venv").exists()


@pytest.mark.parametrize(
    ("known", "named"),
    [
        (("libclang-rt-dev", "qemu-system-misc"), "libclang-rt-dev qemu-system-misc"),
        (("libclang-common-14-dev", "qemu-system-misc"), "libclang-common-14-dev qemu-system-misc"),
        (("libclang-rt-dev", "qemu-system-misc", "qemu-system-riscv"), "libclang-rt-dev qemu-system-riscv"),
    ],
)
def test_package_names_follow_the_release(machine: Machine, known: tuple[str, ...], named: str) -> None:
    machine.packages(without("libclang-rt-dev", "qemu-system-misc"), known)
    assert machine.setup(code=1).splitlines()[-1].strip() == f"{INSTALL} {named}"


def test_a_python_without_its_venv_module_is_a_missing_package(machine: Machine) -> None:
    machine.python("python3.11", serves=False)
    assert machine.setup(code=1).splitlines()[-1].strip() == f"{INSTALL} python3.11 python3.11-venv"


def test_before_the_first_update_any_python_is_asked_for(machine: Machine) -> None:
    (machine.bin / "python3.11").unlink()
    machine.packages(ALL_PACKAGES, known=())
    assert machine.setup(code=1).splitlines()[-1].strip() == f"{INSTALL} python3 python3-venv"


@pytest.mark.parametrize("version", ["3.10.12", "3.14.0"])
def test_another_python_is_named_where_apt_has_none_that_serves(machine: Machine, version: str) -> None:
    (machine.bin / "python3.11").unlink()
    machine.python("python3", version, serves=False)
    machine.packages(ALL_PACKAGES, known=("python3", "python3.10-venv", "python3.14-venv"))
    said = machine.setup(code=1)
    assert f"Python 3.11 to 3.13 with its venv module is needed, found: Python {version}" in said
    assert not (machine.checkout / ".venv").exists()


def test_a_broken_environment_is_made_anew(machine: Machine) -> None:
    machine.setup()
    (machine.checkout / ".venv" / "offramp-setup").unlink()
    (machine.checkout / ".venv" / "bin" / "python").write_text("#!/bin/sh\nexit 1\n")
    machine.setup()
    assert len(machine.log("python -m venv")) == 2


def test_a_failed_install_is_tried_again(machine: Machine) -> None:
    text = (machine.bin / "python3.11").read_text()
    (machine.bin / "python3.11").write_text(text.replace("*) sleep 0.2 ;;", "*) exit 7 ;;"))
    machine.setup(code=7)
    (machine.checkout / ".venv" / "bin" / "python").write_text(text)
    machine.setup()
    assert (machine.checkout / ".venv" / "offramp-setup").exists()


@pytest.mark.parametrize("code", [0, 1])
def test_npm_installs_an_interpreter_and_may_fail(machine: Machine, code: int) -> None:
    machine.command("npm", f'cat .venv/micropython/package.json; echo "npm $*" >>"$LOG"; exit {code}')
    assert ("tests that run MicroPython will be skipped" in machine.setup()) == bool(code)
    [line] = machine.log("npm")
    assert line.startswith("npm ci --prefix .venv/micropython ")
    machine.setup()
    assert len(machine.log("npm")) == 1


def test_calls_at_once_set_up_once(machine: Machine) -> None:
    command = ["/bin/sh", str(machine.checkout / "tools" / "setup")]
    calls = [
        subprocess.Popen(command, env=machine.environment(), stderr=subprocess.DEVNULL) for _ in range(4)
    ]
    assert [call.wait(60) for call in calls] == [0] * 4
    assert len(machine.log("python -m venv")) == 1
    assert len([line for line in machine.log() if " install " in line]) == 4


def test_without_apt_the_environment_is_made_all_the_same(machine: Machine) -> None:
    (machine.bin / "apt-get").unlink()
    assert "no apt-get here" in machine.setup()
    assert machine.setup() == ""


@pytest.mark.soak
def test_a_fresh_checkout_is_set_up_and_the_second_call_installs_nothing(tmp_path: Path) -> None:
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, names.split("\0")):
        if (ROOT / name).is_file():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, tmp_path / name)
    environment = {key: value for key, value in os.environ.items() if key != "VIRTUAL_ENV"}
    subprocess.run(["make", "setup"], cwd=tmp_path, env=environment, check=True)
    written = (tmp_path / ".venv" / "offramp-setup").stat().st_mtime_ns
    subprocess.run(["make", "setup"], cwd=tmp_path, env=environment, check=True)
    assert (tmp_path / ".venv" / "offramp-setup").stat().st_mtime_ns == written
    subprocess.run([tmp_path / ".venv" / "bin" / "offramp", "boards"], cwd="/", check=True)
