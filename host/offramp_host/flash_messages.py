"""What flashing tools say when they fail, and what a person can do about it: one table for all tools.

The tools are PlatformIO, pyOCD, OpenOCD, esptool, the linker and our own scripts; tests hold recorded texts.
"""

from __future__ import annotations

import importlib.util
import re
from dataclasses import dataclass
from pathlib import Path

from offramp.errors import UserError


@dataclass(frozen=True)
class Known:
    """`message` and `hint` may name the pattern's groups, and {board} and {rules}."""

    kind: str
    pattern: str
    message: str
    hint: str


PLUG_IN = "plug the board in with a cable that carries data, and look at its power light; then flash again"
DIALOUT = "sudo usermod -aG dialout $USER, then log in again"
CLOSE = "close the serial monitor, debugger or IDE that uses it; then flash again"

# The first that matches; what is told apart by a number stands before what both share.
TABLE = (
    Known(
        "offline",
        r"offline mode \(OFFRAMP_OFFLINE\)",
        "{board}: PlatformIO lacks a package for this board, and offline mode fetches none",
        "flash once without --offline and OFFRAMP_OFFLINE while there is a network; packages are kept",
    ),
    Known(
        "network",
        r"not connected to the Internet|HTTPClientError|Max retries exceeded",
        "{board}: PlatformIO lacks a package for this board and reaches no network",
        "flash again with a network; with --offline this is said at once",
    ),
    Known(
        "full flash",
        r"region `(?P<region>\w+)' overflowed by (?P<bytes>\d+) bytes",
        "the image does not fit {board}: region {region} is {bytes} bytes too small",
        "choose a smaller model, compress it further, or a board with more memory; nothing was written",
    ),
    Known(
        "full flash",
        r"[Tt]he (?:program|data) size \((?P<bytes>\d+) bytes\) is greater than maximum allowed "
        r"\((?P<room>\d+) bytes\)",
        "the image does not fit {board}: {bytes} bytes, {room} bytes are there",
        "choose a smaller model, compress it further, or a board with more memory; nothing was written",
    ),
    Known(
        "full flash",
        r"\(length (?P<bytes>\d+)\) at offset (?P<at>0x[0-9a-f]+)\s+will not fit in (?P<room>\d+) bytes of flash",
        "the image does not fit the flash of this {board}: {bytes} bytes at {at}, the flash has {room} bytes",
        "choose a smaller model, or a board with more flash; nothing was written",
    ),
    Known(
        "full flash",
        r"[Ww]rite (?:error - )?past (?:the )?end of (?:bank|flash)|write past beyond of flash size",
        "the image does not fit the flash of this {board}",
        "the board on the cable has less flash than boards/{board}.toml says; name the right one with --board",
    ),
    Known(
        "wrong chip",
        r"This chip is (?P<found>[\w-]+),? not (?P<wanted>[\w-]+)\.",
        "the board on the cable is no {board}: its chip is {found}, not {wanted}",
        "name the right board with --board (`offramp boards`), or another --port; nothing was written",
    ),
    Known(
        "wrong chip",
        r"UNEXPECTED idcode: (?P<found>0x[0-9a-f]+)",
        "the board on the cable is no {board}: its debug port says {found}",
        "name the right board with --board (`offramp boards`), or unplug the other one; nothing was written",
    ),
    Known(
        "permission denied",
        r"\[Errno 13\][^\n]*?'?(?P<port>/dev/[\w/.-]+)|Permission denied: '(?P<device>/dev/[\w/.-]+)'",
        "permission denied on the serial port of {board}",
        DIALOUT,
    ),
    Known(
        "permission denied",
        r"LIBUSB_ERROR_ACCESS|check (?:device connections|connection) and permissions|\[Errno 13\]",
        "permission denied on the debug probe of {board}",
        "sudo cp {rules} /etc/udev/rules.d/ && sudo udevadm control --reload && sudo udevadm trigger, "
        "then plug the board in again",
    ),
    Known(
        "port held",
        r"[Cc]ould not exclusively lock port (?P<port>[^\s:]+)|PermissionError\(13, 'Access is denied",
        "the serial port of {board} is held by another program",
        CLOSE,
    ),
    Known(
        "port held",
        r"port (?P<port>\d+) of this machine is in use",
        "port {port} of this machine is in use by another program",
        "close that program, or give another --port such as socket://127.0.0.1:5699",
    ),
    Known(
        "port held",
        r"LIBUSB_ERROR_BUSY|[Dd]evice or resource busy|\[Errno 16\]|USB device is being used",
        "the debug probe or port of {board} is held by another program",
        CLOSE,
    ),
    Known(
        "two probes",
        r"Enter the number of the debug probe|Multiple devices found, specify the desired device",
        "more than one debug probe is connected",
        "unplug all but that of {board}; then flash again",
    ),
    Known(
        "no probe",
        r"No (?:connected|available) debug probes|No J-Link device found|unable to find a matching CMSIS-DAP device|"
        r"Error: (?:open failed|no device found)|Please specify `upload_port`|No accessible RP2\w+ devices?|"
        r"\[Errno 2\] could not open port|\[Errno 111\] Connection refused",
        "no board is connected: no debug probe and no serial port of a {board} was found",
        PLUG_IN,
    ),
    Known(
        "board busy",
        r"Failed to connect to (?P<chip>[\w-]+): (?:No serial data received|Wrong boot mode detected)",
        "{board} does not listen: its {chip} is not in the boot loader",
        "hold BOOT, press RESET, let BOOT go, and flash again; or name another --port",
    ),
    Known(
        "damaged",
        r"MD5 of file does not match data in flash|the written flash region is empty|Verification failed|"
        r"\*\* Verify Failed \*\*|verify failed",
        "what {board} now holds is not what was written",
        "flash again; if it stays, the flash of this board is worn: take another",
    ),
    Known(
        "line broken",
        r"Checksum error|No more data to read from the serial port|[Tt]he chip stopped responding|"
        r"[Ss]erial noise or corruption|Packet content transfer stopped",
        "bytes on the line to {board} were lost or damaged",
        "plug a short cable into the computer itself; then flash again, it writes everything anew",
    ),
    Known(
        "board busy",
        r"target not halted|unable to connect to the target|timed out while waiting for target halted",
        "{board} does not answer its debug probe: it is asleep, or its firmware holds it",
        "hold RESET while flashing starts, or switch the power off and on; then flash again",
    ),
    Known(
        "emulator",
        r"error: (?P<said>[^\n]+)\nhint: (?P<hint>[^\n]+)",
        "{said}",
        "{hint}",
    ),
)


def explain(output: str, board: str) -> UserError:
    """What the output of a failed run means; where the table knows nothing of it, its last lines."""
    for known in TABLE:
        if found := re.search(known.pattern, output):
            words = {key: value or "" for key, value in found.groupdict().items()}
            words |= {"board": board, "rules": udev_rules()}
            return UserError(known.message.format(**words), known.hint.format(**words))
    lines = [line for line in output.strip().splitlines() if line.strip()]
    return UserError(
        f"flashing {board} failed; what was said last:\n" + "\n".join(lines[-12:]),
        "look at these lines; flashing again is safe, it writes everything anew",
    )


def udev_rules() -> str:
    """The rules file that PlatformIO brings."""
    name = "99-platformio-udev.rules"
    spec = importlib.util.find_spec("platformio")
    if spec is None or spec.origin is None:
        return name
    return str(Path(spec.origin).parent / "assets" / "system" / name)
