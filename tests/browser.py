"""A headless Chromium with one page, driven over its DevTools socket."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import subprocess
import time
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any

from websockets.sync.client import ClientConnection, connect

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
_WAIT_S = 120.0


class Browser:
    """A context manager; `folder` takes the profile. Evaluates JavaScript, and takes pictures."""

    def __init__(self, folder: Path, width: int = 1200, height: int = 1300) -> None:
        assert CHROMIUM is not None
        self._profile = folder / "chromium"
        options = ["--headless=new", "--disable-gpu", "--hide-scrollbars", "--no-first-run"]
        options += ["--remote-debugging-port=0", f"--user-data-dir={self._profile}"]
        options += [f"--window-size={width},{height}", *(["--no-sandbox"] if os.getuid() == 0 else [])]
        self._command = [CHROMIUM, *options, "about:blank"]
        self._number = 0
        self._open = contextlib.ExitStack()

    def __enter__(self) -> Browser:
        quiet = subprocess.DEVNULL
        self._process = subprocess.Popen(self._command, stdout=quiet, stderr=quiet)
        try:
            port = self._port()
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/json") as found:
                [page] = [one for one in json.load(found) if one["type"] == "page"]
            socket = connect(page["webSocketDebuggerUrl"], max_size=None)
            self._socket: ClientConnection = self._open.enter_context(socket)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def open(self, url: str) -> None:
        self._call("Page.navigate", url=url)

    def evaluate(self, script: str) -> Any:
        """What an expression gives; its errors fail the test."""
        found = self._call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def wait(self, script: str) -> Any:
        """The first value of an expression that is true."""
        limit = time.monotonic() + _WAIT_S
        while time.monotonic() < limit:
            if value := self.evaluate(script):
                return value
            time.sleep(0.05)
        raise AssertionError(
            f"never true: {script}; the page says {self.evaluate('document.body.innerText')}"
        )

    def picture(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self._call("Page.captureScreenshot", format="png")["data"]))

    def _port(self) -> int:
        said = self._profile / "DevToolsActivePort"
        limit = time.monotonic() + _WAIT_S
        while time.monotonic() < limit and self._process.poll() is None:
            if said.exists() and (lines := said.read_text().splitlines()):
                return int(lines[0])
            time.sleep(0.05)
        raise AssertionError("Chromium did not start")

    def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": parameters}))
        while True:
            answer = json.loads(self._socket.recv(timeout=_WAIT_S))
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return dict(answer["result"])

    def _end(self) -> None:
        self._open.close()
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
