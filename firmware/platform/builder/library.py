"""Adds runtime, kernels and the model to a project that depends on the library: `extraScript` of library.json."""

import os
import sys

from SCons.Script import DefaultEnvironment

Import("pio_lib_builder")  # noqa: F821
sys.path.insert(0, os.path.join(pio_lib_builder.path, "platform", "builder"))  # noqa: F821
import offramp_build  # noqa: E402

project = DefaultEnvironment()
found = offramp_build.listing(project, "library", kernels="model")
project.Append(PIOBUILDFILES=offramp_build.objects(project, found))
