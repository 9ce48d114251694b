"""Builds for an emulated board with the system's gcc, and starts and stops its emulator."""

import os
import sys

from SCons.Script import AlwaysBuild, Default, DefaultEnvironment

env = DefaultEnvironment()
sys.path.insert(0, os.path.join(env.PioPlatform().get_dir(), "builder"))
import offramp_build  # noqa: E402

found = env.get("OFFRAMP_LISTING")
if (
    found is None
):  # a project of its own gets start-up code and serial port here, as a framework would give them
    found = offramp_build.listing(env, "port")
    env.Append(PIOBUILDFILES=offramp_build.objects(env, found), CPPPATH=found["include_dirs"])

compiler = found["compiler"]
prefix = compiler.removesuffix("gcc")
env.Replace(
    CC=compiler,
    CXX=prefix + "g++",
    AR=prefix + "gcc-ar",
    RANLIB=prefix + "gcc-ranlib",
    LINK=compiler,
    LINKFLAGS=found["link_flags"],
    PROGSUFFIX=".elf",
)
common = [*found["target_flags"], "-g", "-Os", "-ffunction-sections", "-fdata-sections"]
env.Append(CCFLAGS=common, ASPPFLAGS=found["target_flags"])

program = env.BuildProgram()
state = os.path.join("$BUILD_DIR", "emulator")
detached = [f'"{offramp_build.python()}"', "-m", "offramp_host.detached"]
# Offramp's command says itself what is wrong: no emulator, port in use, firmware that stops.
start = [*detached, "start", found["board"], "$SOURCE", f'"{state}"', "$UPLOAD_PORT"]
env.AddPlatformTarget(
    "upload",
    program,
    [env.VerboseAction(" ".join(start), "Starting the emulator")],
    "Upload",
    "Start it in the emulator",
)
stop = [*detached, "stop", f'"{state}"']
env.AddPlatformTarget(
    "stop", None, [env.VerboseAction(" ".join(stop), "Stopping the emulator")], "Stop", "Stop the emulator"
)
AlwaysBuild("upload")
Default([program])
