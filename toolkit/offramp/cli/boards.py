"""`offramp boards`: what boards there are."""

from __future__ import annotations

import shutil

from offramp import boards as known
from offramp.cli.options import Json
from offramp.cli.output import print_json, print_table


def boards(json: Json = False) -> None:
    """List the boards."""
    rows = [describe(known.load(name)) for name in known.names()]
    if json:
        print_json(rows)
        return
    columns = ("board", "core", "MHz", "flash KB", "RAM KB", "kernels", "emulator")
    table = [
        (
            row["board"],
            row["core"],
            int(str(row["clock_hz"])) // 1_000_000,
            int(str(row["flash_bytes"])) // 1024,
            int(str(row["ram_bytes"])) // 1024,
            " ".join(str(row["kernels"]).split(",")),
            row["emulator"] if row["emulator_installed"] else f"{row['emulator']} (not installed)",
        )
        for row in rows
    ]
    print_table("", columns, table)
