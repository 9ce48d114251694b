"""Puts Offramp's firmware, or what its tests need of it, into a build: `extra_scripts` of firmware/platformio.ini."""

import os
import sys

from SCons.Script import COMMAND_LINE_TARGETS

Import("env")  # noqa: F821
env = globals()["env"]
sys.path.insert(0, os.path.join(env.subst("$PROJECT_DIR"), "platform", "builder"))
import offramp_build  # noqa: E402

if "__test" in COMMAND_LINE_TARGETS:
    folder = os.path.join(env.subst("$BUILD_DIR"), "offramp")
    os.makedirs(folder, exist_ok=True)
    grid = os.path.join(folder, "grid.bin")
    write = ["-m", "tests.platformio.grid_file", offramp_build.board_name(env), grid]
    offramp_build.ask([offramp_build.python(), *write], folder=offramp_build.CHECKOUT)
    found = offramp_build.listing(env, "board", data=grid, kernels="all")
    env.Append(CPPPATH=found["include_dirs"])
else:
    found = offramp_build.listing(env, "firmware")
if env.PioPlatform().name != "offramp":
    # The platforms' own flags leave the FPU out where no framework sets it.
    env.Append(**{name: found["target_flags"] for name in ("CCFLAGS", "ASFLAGS", "ASPPFLAGS", "LINKFLAGS")})
env.Append(PIOBUILDFILES=offramp_build.objects(env, found), OFFRAMP_LISTING=found)
