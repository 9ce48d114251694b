"""What PlatformIO's scripts share: asks Offramp for its list of sources and flags, and makes SCons objects of it.

Runs in PlatformIO's own Python, which need not have Offramp: `offramp.build.listing` is asked as a program.
"""

import glob
import importlib.util
import json
import os
import shutil
import subprocess
import sys

CHECKOUT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..", ".."))


def python():
    """The Python that has Offramp: OFFRAMP_PYTHON, this one, the checkout's .venv, or the one beside `offramp`."""
    if os.environ.get("OFFRAMP_PYTHON"):
        return os.environ["OFFRAMP_PYTHON"]
    if importlib.util.find_spec("offramp") is not None:
        return sys.executable
    command = shutil.which("offramp")
    places = [os.path.join(CHECKOUT, ".venv", "bin"), os.path.join(CHECKOUT, ".venv", "Scripts")]
    places += [os.path.dirname(os.path.realpath(command))] if command else []
    for place in places:
        for name in ("python", "python.exe"):
            if os.path.isfile(os.path.join(place, name)):
                return os.path.join(place, name)
    return fail("Offramp is not installed", "pip install offramp, or name its Python in OFFRAMP_PYTHON")


def fail(message, hint):
    """Ends the build as Offramp's own commands end."""
    sys.stderr.write(f"error: {message}\nhint: {hint}\n")
    return sys.exit(1)


def option(env, name, default=""):
    """Option custom_offramp_NAME of the environment; the variable OFFRAMP_NAME comes first."""
    given = os.environ.get(f"OFFRAMP_{name.upper()}")
    return given or env.GetProjectOption(f"custom_offramp_{name}", default) or default


def board_name(env):
    """The board as Offramp knows it; of emulated boards it is PlatformIO's name too."""
    return option(env, "board") or env.subst("$BOARD")


def ask(command, folder=None):
    """What a command prints, run in a folder; its error ends the build."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or ["it said nothing"]
        if done.returncode == 1 and len(lines) == 2:
            return fail(*lines)
        return fail(f"{' '.join(command[1:4])} failed:\n{done.stderr.strip()}", " ".join(command))
    return done.stdout


def listing(env, part, data=None, kernels="universal"):
    """Offramp's list for a part of the firmware, as offramp/build/listing.py describes it."""
    folder = os.path.join(env.subst("$BUILD_DIR"), "offramp")
    command = [python(), "-m", "offramp.build.listing", board_name(env), part, folder]
    command += ["--kernels", option(env, "kernels", kernels)]
    model = option(env, "model")
    if data is not None:
        command += ["--data", data]
    elif model:
        command += ["--model", os.path.join(env.subst("$PROJECT_DIR"), model)]
    command += ["--mlperf"] if option(env, "mlperf") == "1" else []
    command += ["--source", option(env, "source")] if option(env, "source") else []
    if env.PioPlatform().name != "offramp":
        command += ["--compiler", *own_compiler(env), "--cpu", env.BoardConfig().get("build.cpu", "")]
        name_libraries(env)
    return json.loads(ask(command))


def own_compiler(env):
    """Path and version of the compiler that a real board's platform brings."""
    for folder in package_folders(env, "toolchain"):
        for path in sorted(glob.glob(os.path.join(folder, "bin", "*-gcc*"))):
            if os.path.basename(path).endswith(("-gcc", "-gcc.exe")):
                return path, ask([path, "-dumpfullversion", "-dumpversion"]).strip()
    return fail(f"{env.PioPlatform().name} brings no gcc", "compare platform and packages with boards/")


def name_libraries(env):
    """Tells Offramp of CMSIS-NN among the environment's libraries, and of CMSIS-Core in its framework."""
    library = os.path.join(env.subst("$PROJECT_LIBDEPS_DIR"), env["PIOENV"], "CMSIS-NN")
    if os.path.isdir(library):
        os.environ.setdefault("OFFRAMP_CMSIS_NN", library)
    for folder in package_folders(env, "framework"):
        for header in sorted(glob.glob(os.path.join(folder, "**", "cmsis_compiler.h"), recursive=True)):
            os.environ.setdefault("OFFRAMP_CMSIS_CORE", os.path.dirname(header))


def package_folders(env, kind):
    """Folders of the platform's installed packages of a type."""
    platform = env.PioPlatform()
    names = [name for name, options in platform.packages.items() if options.get("type") == kind]
    return [folder for folder in map(platform.get_package_dir, names) if folder]


def objects(env, found):
    """SCons nodes of the listed files. Their flags are all there are, or come behind a real board's platform's own."""
    whole = (
        {key: [] for key in ("CFLAGS", "CCFLAGS", "ASPPFLAGS")} if env.PioPlatform().name == "offramp" else {}
    )
    patterns = [
        os.path.join(folder, *deep, "*.h") for folder in found["include_dirs"] for deep in ([], ["*"])
    ]
    nodes = []
    for i, file in enumerate(found["files"]):
        name = os.path.basename(file["path"])
        target = os.path.join("$BUILD_DIR", "offramp", found["part"], f"{i:03d}-{name}.o")
        nodes += env.Object(
            target,
            file["path"],
            **whole,
            OFFRAMP_FLAGS=[env.Literal(flag) for flag in file["flags"]],
            CCCOM="$CC -o $TARGET -c $CFLAGS $CCFLAGS $_CCCOMCOM $OFFRAMP_FLAGS $SOURCES",
            CXXCOM="$CXX -o $TARGET -c $CXXFLAGS $CCFLAGS $_CCCOMCOM $OFFRAMP_FLAGS $SOURCES",
            ASPPCOM="$CC -o $TARGET -c $ASPPFLAGS $CPPFLAGS $_CPPDEFFLAGS $_CPPINCFLAGS $OFFRAMP_FLAGS $SOURCES",
        )
    env.Depends(nodes, sorted({path for pattern in patterns for path in glob.glob(pattern)}))
    return nodes
