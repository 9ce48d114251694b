"""Runs PlatformIO with what its registry would be asked for at hand: `python firmware/pio.py run -e BOARD`.

PlatformIO wants SCons as a package of its registry; here it is the one that pip installed beside PlatformIO. With
OFFRAMP_OFFLINE=1 nothing is ever fetched: what is missing is said at once, without it a network that is down costs a
minute.
"""

import json
import os
import sys

QUIET = {
    "PLATFORMIO_SETTING_ENABLE_TELEMETRY": "no",
    "PLATFORMIO_DISABLE_UPGRADE_CHECK": "true",
    "PLATFORMIO_DISABLE_PROGRESSBAR": "true",
}
OFFLINE = "offline mode (OFFRAMP_OFFLINE): PlatformIO would have to fetch something for this"


def provide_scons():
    """Makes the package tool-scons of the SCons that is installed, if PlatformIO asks for just that version."""
    try:
        import SCons
        from platformio.dependencies import get_core_dependencies
        from platformio.project.config import ProjectConfig
    except ImportError:
        return
    major, minor, patch = (*SCons.__version__.split("."), "0")[:3]
    version = f"4.{major}{int(minor):02d}{int(patch):02d}.0"
    if get_core_dependencies()["tool-scons"] != "~" + version:
        return
    folder = os.path.join(ProjectConfig.get_instance().get("platformio", "packages_dir"), "tool-scons")
    if os.path.exists(folder):
        return
    spec = {"owner": "platformio", "id": None, "name": "tool-scons", "requirements": None, "uri": None}
    files = {
        "package.json": json.dumps({"name": "tool-scons", "version": version, "system": "*"}),
        ".piopm": json.dumps({"type": "tool", "name": "tool-scons", "version": version, "spec": spec}),
        ".piokeep": "",
        "scons.py": "import SCons.Script\n\nSCons.Script.main()\n",
    }
    beside = f"{folder}.{os.getpid()}"
    os.makedirs(beside)
    for name, text in files.items():
        with open(os.path.join(beside, name), "w", encoding="utf-8") as file:
            file.write(text)
    try:
        os.rename(beside, folder)
    except OSError:  # another call was first
        for name in files:
            os.remove(os.path.join(beside, name))
        os.rmdir(beside)


def stay_offline():
    """Every request of PlatformIO ends at once, and git clones from this machine only."""
    from platformio import http

    class OfflineError(http.InternetConnectionError):
        MESSAGE = OFFLINE

    def refuse(*_, **__):
        raise OfflineError

    http.HTTPClient.send_request = refuse
    http.HTTPSession.request = refuse
    http.ensure_internet_on = refuse
    os.environ["GIT_ALLOW_PROTOCOL"] = "file"


def main():
    os.environ.update(QUIET)
    try:
        import platformio.__main__ as platformio
    except ImportError:
        sys.stderr.write(f"error: {sys.executable} has no PlatformIO\nhint: pip install 'offramp[flash]'\n")
        return 1
    provide_scons()
    if os.environ.get("OFFRAMP_OFFLINE") == "1":
        stay_offline()
    return platformio.main(["platformio", *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
