"""The command line: one row of a table and one handler a command; errors and exit codes in one place."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any

import typer

from offramp import __version__
from offramp.cli import bench, boards, build, doctor, inspect, pack, profile, run
from offramp.cli.output import say_error
from offramp.errors import UserError

COMMANDS: dict[str, Callable[..., Any]] = {
    "pack": pack.pack,
    "inspect": inspect.inspect,
    "build": build.build,
    "run": run.run,
    "bench": bench.bench,
    "profile": profile.profile,
    "boards": boards.boards,
    "doctor": doctor.doctor,
}

# What a wrong command line raises. Typer exports it under no name that all its releases share.
CommandLineError: Any = typer.BadParameter.__mro__[2]


def app() -> typer.Typer:
    found = typer.Typer(
        name="offramp",
        help="Neural networks on microcontrollers: pack a model, build firmware, run and measure it.",
        add_completion=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    found.callback(invoke_without_command=True)(options)
    for name, handler in COMMANDS.items():
        found.command(name)(handler)
    return found


def options(
    context: typer.Context, version: bool = typer.Option(False, "--version", help="Print the version.")
) -> None:
    if version:
        print(f"offramp {__version__}")
    elif context.invoked_subcommand is None:
        print(context.get_help())


def call(arguments: Sequence[str]) -> int:
    """Runs one command line; the exit code: 0 done, 1 the user's to mend, 2 ours, with a traceback."""
    try:
        return int(app()(list(arguments), standalone_mode=False) or 0)
    except UserError as error:
        say_error(error.message, error.hint)
        return 1
    except CommandLineError as error:
        say_error(error.format_message(), "`offramp COMMAND --help` shows what a command takes")
        return 1
    except (typer.Abort, KeyboardInterrupt):
        say_error("interrupted", "nothing was written")
        return 1
    except BrokenPipeError:
        # The reader of stdout, such as `head`, has seen enough; Python must not complain of it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception:
        traceback.print_exc()
        return 2


def main() -> None:
    sys.exit(call(sys.argv[1:]))
