"""The command line: one row of a table and one handler a command; errors and exit codes in one place."""

from __future__ import annotations

import errno
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from functools import wraps
from types import FrameType
from typing import Any

import typer

from offramp import __version__
from offramp.cli import (
    advise,
    bench,
    boards,
    build,
    compare,
    compress,
    doctor,
    export,
    flash,
    init,
    inspect,
    mlperf,
    monitor,
    pack,
    profile,
    record,
    report,
    run,
    test,
)
from offramp.cli.options import MOST
from offramp.cli.output import replace_what_cannot_be_encoded, say_error
from offramp.errors import UserError

COMMANDS: dict[str, Callable[..., Any]] = {
    "compress": compress.compress,
    "pack": pack.pack,
    "inspect": inspect.inspect,
    "build": build.build,
    "flash": flash.flash,
    "export": export.export,
    "run": run.run,
    "advise": advise.advise,
    "report": report.report,
    "monitor": monitor.monitor,
    "record": record.record,
    "bench": bench.bench,
    "profile": profile.profile,
    "compare": compare.compare,
    "init": init.init,
    "test": test.test,
    "mlperf": mlperf.mlperf,
    "boards": boards.boards,
    "doctor": doctor.doctor,
}

# What a wrong command line raises. Typer exports it under no name that all its releases share.
CommandLineError: Any = typer.BadParameter.__mro__[2]


class Stopped(BaseException):
    """A signal asks for an end: all that is open is closed on the way out."""

    received: signal.Signals | None = None


def app() -> typer.Typer:
    found = typer.Typer(
        name="offramp",
        help="Neural networks on microcontrollers: pack a model, build firmware, run and measure it.",
        add_completion=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    found.callback(invoke_without_command=True)(options)
    for name, handler in COMMANDS.items():
        found.command(name)(bounded(handler))
    return found


def bounded(handler: Callable[..., None]) -> Callable[..., None]:
    """The same command with every number of its command line checked against MOST."""

    @wraps(handler)
    def checked(**given: Any) -> None:
        for name, value in given.items():
            if isinstance(value, float) and abs(value) > MOST:
                option = "--" + name.replace("_", "-")
                raise UserError(f"{option} {value:g}: numbers up to {MOST:g} are taken", "give a smaller one")
        handler(**given)

    return checked


def options(
    context: typer.Context, version: bool = typer.Option(False, "--version", help="Print the version.")
) -> None:
    if version:
        print(f"offramp {__version__}")
    elif context.invoked_subcommand is None:
        print(context.get_help())


def call(arguments: Sequence[str]) -> int:
    """Runs one command line; the exit code: 0 done, 1 the user's to mend, 2 ours, with a traceback.

    128 and the signal's number where one stopped it: then nothing else is to blame.
    """
    try:
        code = int(app()(list(arguments), standalone_mode=False) or 0)
        sys.stdout.flush()
        return code
    except UserError as error:
        if Stopped.received:
            return stopped()
        say_error(error.message, error.hint)
        return 1
    except CommandLineError as error:
        say_error(error.format_message(), "`offramp COMMAND --help` shows what a command takes")
        return 1
    except (typer.Abort, KeyboardInterrupt, Stopped):
        return stopped()
    except SystemExit:  # Typer's answer to a pipe that nobody reads any more
        return cannot_print(errno.EPIPE)
    except Exception as error:
        if isinstance(error, OSError) and error.errno in (errno.EPIPE, errno.ENOSPC):
            return cannot_print(error.errno)
        traceback.print_exc()
        return 2


def stopped() -> int:
    say_error("interrupted", "run the command again")
    return 128 + (Stopped.received or signal.SIGINT)


def cannot_print(number: int) -> int:
    """What is still to be printed is dropped, so that Python does not complain of it at exit.

    A reader that has seen enough, `| head`, is no error to be told: only the exit code says it.
    """
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if number == errno.EPIPE:
        return 128 + 13  # SIGPIPE, which Windows has not
    say_error(
        f"the output cannot be written: {os.strerror(number)}",
        "check what stdout goes to, and that the disk has room",
    )
    return 1


def stop(number: int, _: FrameType | None) -> None:
    Stopped.received = signal.Signals(number)
    raise Stopped


def main() -> None:
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):  # Windows lacks the last
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, stop)
    replace_what_cannot_be_encoded()
    sys.exit(call(sys.argv[1:]))
