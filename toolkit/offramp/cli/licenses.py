"""Under which licences the parts of a firmware with a model stand."""

from __future__ import annotations

from typing import Any


def licenses_of(found: dict[str, Any]) -> list[dict[str, str]]:
    """One row a part; `found` is what `offramp inspect` tells of a blob or a model file.

    For a model file the kernels are not chosen yet, so all that a board may choose are listed.
    """
    used = {step["kernel"].split("/")[0] for step in found["steps"] if "kernel" in step}
    rows = [
        ("the model", "its author's, not stated in the file", "yes"),
        ("Offramp runtime, kernels and application", "Apache-2.0", "yes"),
    ]
    for name, part, where in (
        ("cmsis_nn", "CMSIS-NN, CMSIS-Core headers (Arm Limited)", "Arm"),
        ("esp_nn", "ESP-NN (Espressif Systems)", "RISC-V"),
    ):
        if name in used or "core" not in found:
            linked = "yes" if "core" in found else f"with --kernels {name} or auto on {where}"
            rows.append((part, "Apache-2.0", linked))
    rows += [
        ("memcpy, memset of newlib", "BSD-style (several notices)", "on Arm"),
        ("memcpy, memset of picolibc", "BSD-style (several notices)", "on RISC-V"),
        ("arithmetic of libgcc", "GPL-3.0 with GCC runtime exception", "where the core lacks it"),
        ("glibc (dynamic)", "LGPL-2.1-or-later", "on posix"),
    ]
    return [{"part": part, "license": license_, "linked": linked} for part, license_, linked in rows]
