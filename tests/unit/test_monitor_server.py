"""The page's server: who may read and command, what readers are sent, a busy port."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest

from offramp import cli
from offramp.errors import UserError
from offramp_host.monitor.feed import Feed, picture
from offramp_host.monitor.server import Page
from tests import readings, small_models


@contextmanager
def served(feed: Feed | None = None, **options: Any) -> Iterator[tuple[Page, list[str]]]:
    asked: list[str] = []
    page = Page(feed or Feed(), port=0, **options)
    page.ask = asked.append
    with page:
        yield page, asked
        page.feed.close("the test is over")


def answer(
    page: Page, path: str, method: str = "GET", body: str | None = None, **headers: str
) -> tuple[int, bytes]:
    line = http.client.HTTPConnection("127.0.0.1", urlsplit(page.url).port or 0, timeout=10)
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    line.request(method, path, body, given)
    found = line.getresponse()
    content = found.read()
    line.close()
    return found.status, content


def messages(page: Page, n_results: int) -> list[dict[str, Any]]:
    """What a reader is sent until it has so many results."""
    line = http.client.HTTPConnection("127.0.0.1", urlsplit(page.url).port or 0, timeout=10)
    line.request("GET", "/events?" + urlsplit(page.url).query)
    stream = line.getresponse()
    assert stream.status == 200 and stream.getheader("Content-Type") == "text/event-stream"
    found: list[dict[str, Any]] = []
    while sum(len(message["results"]) for message in found) < n_results:
        text = stream.readline()
        if text.startswith(b"data: "):
            found.append(json.loads(text[6:]))
    line.close()
    return found


def test_page_is_one_file_without_references() -> None:
    with served() as (page, _):
        status, text = answer(page, "/")
    assert status == 200
    for reference in (b"http://", b"https://", b"src=", b"@import", b"url("):
        assert reference not in text
    assert b"EventSource" in text


def test_results_reach_readers_as_json_prints_them() -> None:
    feed = Feed()
    feed.take(readings.state())
    for row in range(50):
        feed.take(readings.reading(row))

    def more() -> None:
        for row in range(50, 400):
            feed.take(readings.reading(row))
        feed.take(readings.statistics())

    with served(feed) as (page, _):
        threading.Timer(0.2, more).start()
        sent = messages(page, 400)
    assert [r for message in sent for r in message["results"]] == [
        readings.reading(row).as_json() for row in range(400)
    ]
    last = sent[-1]["seen"]
    assert (last["rows"], last["exits"], last["model"]) == (400, {"early": 200, "end": 200}, "pets")
    assert last["status"] == "running" and last["thresholds"] == [["early", 60]]


def test_a_reader_that_is_late_is_told_what_it_missed() -> None:
    feed = Feed()
    for row in range(5000):
        feed.take(readings.reading(row))
    end, message = feed.message(0, 0.0)
    assert end == 5000 and message["dropped"] == 3000
    assert [r["row"] for r in message["results"]] == list(range(3000, 5000))
    assert feed.start() == 5000 - 240
    feed.close("no more rows")
    assert feed.message(end, 10.0)[1]["seen"]["status"] == "ended: no more rows"


@pytest.mark.parametrize("name", ["evil.example", "evil.example:8765", "", "192.168.1.5"])
def test_other_names_for_this_machine_are_refused(name: str) -> None:
    """A site whose name is made to lead to 127.0.0.1 (DNS rebinding) must not read."""
    with served() as (page, asked):
        for path in ("/", "/events"):
            assert answer(page, path, Host=name)[0] == 403
        assert answer(page, "/ask", "POST", "pause", Host=name, X_Offramp="monitor")[0] == 403
    assert asked == []


def test_commands_need_the_header_and_a_known_word() -> None:
    with served() as (page, asked):
        for body, headers, status in (
            ("pause", {"X_Offramp": "monitor"}, 200),
            ("threshold+", {"X_Offramp": "monitor"}, 200),
            ("pause", {}, 403),
            ("quit", {"X_Offramp": "monitor"}, 400),
            ("rm -rf", {"X_Offramp": "monitor"}, 400),
            ("x" * 10_000, {"X_Offramp": "monitor"}, 400),
        ):
            assert answer(page, "/ask", "POST", body, **headers)[0] == status
        assert answer(page, "/other", "POST", "pause", X_Offramp="monitor")[0] == 404
        assert answer(page, "/../secret")[0] == 404
    assert asked == ["pause", "threshold+"]


def test_beyond_this_machine_readers_need_the_token() -> None:
    with served(host="0.0.0.0") as (page, asked):
        assert len(page.token) >= 16 and page.url.endswith(f"/?token={page.token}")
        for path in ("/", "/events", f"/?token={page.token[:-1]}", "/?token=", "/?token=%FF"):
            assert answer(page, path)[0] == 403
        good = f"?token={page.token}"
        assert answer(page, "/" + good)[0] == 200
        assert answer(page, "/ask" + good, "POST", "pause", X_Offramp="monitor")[0] == 200
        assert answer(page, "/ask", "POST", "pause", X_Offramp="monitor")[0] == 403
    assert asked == ["pause"]
    with served(token="of my own") as (page, _):
        assert answer(page, "/")[0] == 403 and answer(page, "/?token=of%20my%20own")[0] == 200


def test_too_many_readers_are_turned_away() -> None:
    with served() as (page, _):
        lines = []
        for _ in range(16):
            line = http.client.HTTPConnection("127.0.0.1", urlsplit(page.url).port or 0, timeout=10)
            line.request("GET", "/events")
            assert line.getresponse().status == 200
            lines.append(line)
        assert answer(page, "/events")[0] == 503
        for line in lines:
            line.close()


def test_ports_and_hosts_that_cannot_be() -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        with pytest.raises(UserError, match=f"--web-port {port} of 127.0.0.1 is in use") as caught:
            Page(Feed(), port=port)
    assert "another port" in caught.value.hint
    with pytest.raises(UserError, match=r"--host 203\.0\.113\.7: this machine has no such address"):
        Page(Feed(), "203.0.113.7", 0)
    with pytest.raises(UserError, match="--web-port 70000: it is 0 to 65535"):
        Page(Feed(), port=70_000)


def test_busy_port_is_said_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.tflite").write_bytes(small_models.classifier())
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = str(busy.getsockname()[1])
        code = cli.call(["monitor", "m.tflite", "--board", "mps2_an386", "--web", "--web-port", port])
    said = capsys.readouterr().err.splitlines()
    assert code == 1 and len(said) == 2 and "is in use by another program" in said[0]


@pytest.mark.parametrize(
    ("shape", "kind", "size"),
    [((1, 28, 20, 1), "image", 560), ((1, 200, 150, 3), "image", 96 * 72 * 3), ((1, 4000), "wave", 0)],
)
def test_pictures_are_small(shape: tuple[int, ...], kind: str, size: int) -> None:
    values = np.random.default_rng(1).integers(-128, 128, shape).astype(np.int8)
    found = picture(readings.reading(0, inputs=(values,)))
    assert found["kind"] == kind and found["shape"] == list(shape)
    if kind == "image":
        assert len(found["pixels"]) == (size + 2) // 3 * 4
    else:
        [[least, most]] = found["waves"]
        assert len(least) == 256 and min(least) == values.min() and max(most) == values.max()
