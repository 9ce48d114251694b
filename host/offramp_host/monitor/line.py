"""A board that may go and come back: unplugged, reset, silent."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from offramp.errors import UserError
from offramp_host.device import Device, LineError, RefusedError
from offramp_host.monitor.events import Back

_BETWEEN_TRIES_S = 0.25
_AGAIN = "LINK_E_SESSION"


def is_loss(error: UserError) -> bool:
    """Whether a new session mends it."""
    return isinstance(error, LineError) or _has_restarted(error)


def _has_restarted(error: UserError) -> bool:
    return isinstance(error, RefusedError) and error.status.name == _AGAIN


class Line:
    """Opens the board with `open_device`; `set_up` puts model and settings on it, at first and whenever it is back."""

    def __init__(
        self, open_device: Callable[[], Device], set_up: Callable[[Device], None], wait_s: float
    ) -> None:
        self._open, self._set_up, self._wait_s = open_device, set_up, wait_s
        self._errors_before = 0
        self._least_runs = 0
        self.reconnects = 0
        self._device: Device | None = open_device()
        try:
            self._greet(self._device)
        except BaseException:
            self.close()
            raise

    @property
    def device(self) -> Device:
        assert self._device is not None
        return self._device

    @property
    def line_errors(self) -> int:
        return self._errors_before + (self._device.line_errors if self._device else 0)

    def ran(self) -> None:
        """To be told of each result: a board that later counts fewer runs has started anew."""
        self._least_runs += 1

    def restore(self, error: UserError, stop: threading.Event) -> Back | None:
        """Tries until the board is back; None once `stop` is set. UserError after the time limit, and for what a new
        session does not mend."""
        began = time.monotonic()
        while not stop.is_set():
            try:
                restarted = self._again(error)
                self.reconnects += 1
                return Back(time.monotonic() - began, restarted)
            except UserError as failed:
                if isinstance(failed, RefusedError) and not is_loss(failed):
                    raise
                error = failed
            waited = time.monotonic() - began
            if waited > self._wait_s:
                raise UserError(
                    f"{error.message}; given up {waited:.0f} s after it was lost",
                    error.hint,
                )
            stop.wait(_BETWEEN_TRIES_S)
        return None

    def close(self) -> None:
        if self._device is not None:
            self._errors_before += self._device.line_errors
            self._device.close()
            self._device = None

    def _again(self, error: UserError) -> bool:
        """A session over the line as it is where only the board restarted, else over a new one."""
        if self._device is not None and _has_restarted(error):
            self._device.reconnect()
        else:
            self.close()
            self._device = self._open()
        return self._greet(self._device)

    def _greet(self, device: Device) -> bool:
        """Whether the board has started anew since it was last spoken to."""
        runs = device.statistics().runs
        restarted = runs < self._least_runs
        self._set_up(device)
        self._least_runs = runs
        return restarted
