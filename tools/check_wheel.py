"""Resolves the runtime dependencies to wheels for each supported system and Python; `make soak` runs it.

Prints a table; exit code 1 if a dependency has no wheel somewhere, and its name. Asks the package index.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PYTHONS = ("3.11", "3.12", "3.13")
# The oldest C library and macOS that count: Ubuntu 22.04's and macOS 14.
GLIBC_MINORS = range(17, 36)


@dataclass(frozen=True)
class System:
    """`platforms` are pip's tags; the rest is what dependencies' environment markers see."""

    name: str
    platforms: tuple[str, ...]
    markers: dict[str, str]


def linux(machine: str) -> System:
    tags = [f"manylinux_2_{minor}_{machine}" for minor in GLIBC_MINORS] + [f"manylinux2014_{machine}"]
    return System(f"Linux {machine}", tuple(tags), markers("linux", "Linux", "posix", machine))


def macos(machine: str) -> System:
    return System(
        f"macOS {machine}", (f"macosx_14_0_{machine}",), markers("darwin", "Darwin", "posix", machine)
    )


def markers(sys_platform: str, platform_system: str, os_name: str, machine: str) -> dict[str, str]:
    return {
        "sys_platform": sys_platform,
        "platform_system": platform_system,
        "os_name": os_name,
        "platform_machine": machine,
    }


SYSTEMS = (
    linux("x86_64"),
    linux("aarch64"),
    macos("x86_64"),
    macos("arm64"),
    System("Windows AMD64", ("win_amd64",), markers("win32", "Windows", "nt", "AMD64")),
)


class NoWheelError(Exception):
    """Names the requirement that pip found no wheel for."""


def resolve(dependencies: list[str], system: System, python: str) -> dict[str, str]:
    """The file of each distribution that an install would bring, keyed by its name.

    pip judges markers by the machine that it runs on, so what only the target needs is added and asked again.
    """
    environment = {
        **system.markers,
        "python_version": python,
        "python_full_version": f"{python}.0",
        "extra": "",
    }
    wanted = wanted_there(dependencies, environment)
    while True:
        items = install_report(wanted, system, python)
        found = {canonicalize_name(item["metadata"]["name"]): file_name(item) for item in items}
        needed = [need for item in items for need in item["metadata"].get("requires_dist", [])]
        lacking = [
            need
            for need in wanted_there(needed, environment)
            if canonicalize_name(Requirement(need).name) not in found
        ]
        if not lacking:
            return found
        wanted += lacking


def wanted_there(requirements: list[str], environment: dict[str, str]) -> list[str]:
    """Those whose marker holds in `environment`, without their marker."""
    held = []
    for requirement in map(Requirement, requirements):
        if requirement.marker is None or requirement.marker.evaluate(environment):
            requirement.marker = None
            held.append(str(requirement))
    return held


def file_name(item: dict[str, Any]) -> str:
    return str(item["download_info"]["url"]).rpartition("/")[2]


def install_report(requirements: list[str], system: System, python: str) -> list[dict[str, Any]]:
    command = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--quiet"]
    command += ["--dry-run", "--ignore-installed", "--only-binary=:all:", "--python-version", python]
    command += [word for tag in system.platforms for word in ("--platform", tag)]
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command += ["--target", folder, "--report", str(report), *requirements]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            culprit = re.search(r"No matching distribution found for (.*)", done.stderr)
            raise NoWheelError(culprit[1] if culprit else done.stderr.strip())
        found: list[dict[str, Any]] = json.loads(report.read_text())["install"]
    return found


def main() -> int:
    """Takes other requirements than pyproject.toml's as arguments."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    dependencies = sys.argv[1:] or project["dependencies"]
    failed = 0
    print(f"{'system':<14} {'Python':<7} {'wheels':>6}  those for one system only")
    for system in SYSTEMS:
        for python in PYTHONS:
            start = f"{system.name:<14} {python:<7}"
            try:
                found = resolve(dependencies, system, python)
            except NoWheelError as error:
                failed += 1
                print(f"{start} {'none':>6}  {error} has no wheel")
                continue
            native = sorted(
                "-".join(f.split("-")[:2]) for f in found.values() if not f.endswith("-none-any.whl")
            )
            print(f"{start} {len(found):>6}  {' '.join(native)}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
