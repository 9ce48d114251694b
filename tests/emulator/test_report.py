"""`offramp report`: its tables hold the JSON's numbers, its page stands on a phone, and it says what it cannot read."""

from __future__ import annotations

import html
import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from offramp import boards, cli, ofg
from offramp.cli.card import card_rows
from offramp.cli.exits import as_plain, exits_report
from offramp.compress.data import Rows
from offramp.plan import Options
from offramp.report import svg
from offramp.report.page import cell
from tests.browser import CHROMIUM
from tests.digits_exits import N_FITTED, classifier, digits

BOARD = "mps2_an386"
PARTS = ["pack", "inspect", "bench", "profile", "compress", "advise"]
pytestmark = pytest.mark.emulator


@dataclass
class ParsedTable:
    columns: list[str] = field(default_factory=list)
    rows: list[list[tuple[str, float | None]]] = field(default_factory=list)
    """Each cell as it is shown, and its number."""

    def column(self, name: str) -> list[float | None]:
        return [row[self.columns.index(name)][1] for row in self.rows]

    def texts(self, name: str) -> list[str]:
        return [row[self.columns.index(name)][0] for row in self.rows]


class Page(HTMLParser):
    """Tables by the heading above them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tables: dict[str, list[ParsedTable]] = {}
        self.heading, self.inside, self.number = "", "", None
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag in ("h2", "th", "td"):
            self.inside, self.text, self.number = tag, "", None
        elif tag == "table":
            self.tables.setdefault(self.heading, []).append(ParsedTable())
        elif tag == "tr":
            self.row: list[tuple[str, float | None]] = []
        elif tag == "data":
            self.number = float(dict(attrs)["value"] or "nan")

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.text += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "h2":
            self.heading = self.text
        elif tag == "th":
            self.tables[self.heading][-1].columns.append(self.text)
        elif tag == "td":
            self.row.append((self.text, self.number))
        elif tag == "tr" and self.row:
            self.tables[self.heading][-1].rows.append(self.row)
        if tag == self.inside:
            self.inside = ""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The JSON of every command, on a classifier with exits."""
    path = tmp_path_factory.mktemp("report")
    graph = classifier()
    model = path / "digits.ofg"
    model.write_bytes(ofg.dump(graph))
    board = boards.load(BOARD)
    x, y = digits()
    rows = Rows(x[N_FITTED:].reshape(-1, 8, 8, 1), y[N_FITTED:])
    family = [[t, t] for t in (0, 30, 60, 90, 120)]
    exits = as_plain(exits_report(graph, rows, board, family))
    card = [asdict(row) for row in card_rows("digits", graph, rows, [board], Options(), 5)]
    other = [card[0] | {"variant": "small & <odd>", "accuracy": 0.5, "exits": None, "blob_bytes": 1000}]
    compress = {"variants": [{"variant": "digits", "exits": exits}], "card": card + other}
    (path / "compress.json").write_text(json.dumps(compress))
    blob = str(path / "digits.ofr")
    commands = {
        "pack": ["pack", str(model), "-b", BOARD, "-o", blob, "--explain"],
        "inspect": ["inspect", blob],
        "bench": ["bench", blob, "-b", BOARD],
        "profile": ["profile", blob, "-b", BOARD],
        "advise": ["advise", str(model), "--latency-ms", "20", "--period-ms", "1000", "--battery-mah", "220"],
    }
    for name, words in commands.items():
        (path / f"{name}.json").write_text(printed(words))
    yield path


def printed(words: list[str]) -> str:
    from contextlib import redirect_stdout
    from io import StringIO

    with redirect_stdout(StringIO()) as out:
        assert cli.call([*words, "--json"]) == 0
    return out.getvalue()


@pytest.fixture(scope="module")
def page(folder: Path) -> Path:
    files = [str(folder / f"{name}.json") for name in PARTS]
    assert cli.call(["report", *files, "-o", str(folder / "report.html")]) == 0
    return folder / "report.html"


def read(folder: Path, name: str) -> Any:
    return json.loads((folder / f"{name}.json").read_text())


def test_every_part_is_there(page: Path) -> None:
    assert list(Page(page.read_text()).tables) == [
        "Arena over time",
        f"Flash on {BOARD}",
        f"Layers on {BOARD}",
        f"Cycles on {BOARD}, estimated",
        "Accuracy over blob",
        "Accuracy over instructions",
        "Variants with exits",
        "Exits of digits",
        f"Stages on {BOARD}",
        "Boards",
        "Predicted time and energy",
    ]


def test_shown_numbers_are_those_of_the_tables(page: Path) -> None:
    """What stands there is the number beside it, rounded as its column says."""
    numbers = 0
    for tables in Page(page.read_text()).tables.values():
        for table in tables:
            for row in table.rows:
                for name, (shown, value) in zip(table.columns, row, strict=True):
                    if value is not None:
                        numbers += 1
                        whole = "," in shown or "." not in shown
                        exact = int(value) if value == int(value) and whole else value
                        assert shown in (cell(exact, name), cell(float(value), name)), (name, shown, value)
    assert numbers > 300


def test_memory_and_layers(page: Path, folder: Path) -> None:
    tables = Page(page.read_text()).tables
    blob, [bench], profile = read(folder, "inspect"), read(folder, "bench"), read(folder, "profile")
    occupied, where = tables["Arena over time"]
    by_time = sorted(blob["arena"], key=lambda e: (e["first"], e["offset"]))
    for key, name in (
        ("offset", "offset"),
        ("bytes", "bytes"),
        ("first", "first step"),
        ("last", "last step"),
    ):
        assert where.column(name) == [e[key] for e in by_time]
    n = len(blob["steps"])
    for step, (live, highest) in enumerate(
        zip(occupied.column("bytes that live"), occupied.column("highest byte in use"), strict=True)
    ):
        now = [
            range(e["offset"], e["offset"] + e["bytes"])
            for e in blob["arena"]
            if e["first"] <= step <= e["last"]
        ]
        covered = set().union(*now)
        assert (live, highest) == (len(covered), max(covered) + 1)
    assert len(occupied.rows) == n + 1
    assert max(occupied.column("highest byte in use")) <= blob["arena_bytes"]  # type: ignore[type-var]

    flash, memory = tables[f"Flash on {BOARD}"]
    assert dict(zip(flash.texts("part"), flash.column("bytes"), strict=True)) == bench["flash_bytes"]
    assert memory.column("bytes") == [
        bench[k] for k in ("arena_bytes", "state_bytes", "static_ram_bytes", "stack_bytes")
    ]
    [layers] = tables[f"Layers on {BOARD}"]
    for key, name in (("instructions", "instructions"), ("macs", "MACs")):
        assert layers.column(name) == [s[key] for s in bench["steps"]]
    for key, name in (("params_bytes", "bytes"), ("scratch_bytes", "scratch")):
        assert layers.column(name) == [s[key] for s in blob["steps"]]
    functions, steps = tables[f"Cycles on {BOARD}, estimated"]
    assert steps.column("cycles, est.") == [s["cost"]["cycles_estimate"] for s in profile["steps"]]
    assert functions.column("instructions") == [f["cost"]["instructions"] for f in profile["functions"][:10]]


def test_choices(page: Path, folder: Path) -> None:
    tables = Page(page.read_text()).tables
    found, advice = read(folder, "compress"), read(folder, "advise")
    [card] = tables["Accuracy over blob"]
    assert card.texts("variant") == ["digits", "small & <odd>"]
    assert card.column("accuracy, %") == [100 * row["accuracy"] for row in found["card"]]
    assert card.column("blob, bytes") == [row["blob_bytes"] for row in found["card"]]
    assert card.column(f"instructions, {BOARD}") == [row["instructions"][BOARD] for row in found["card"]]
    exits = found["variants"][0]["exits"]
    [costs] = tables["Accuracy over instructions"]
    mean = found["card"][0]["exits"]["mean_instructions"]
    assert costs.column(f"instructions, {BOARD}") == [mean, found["card"][1]["instructions"][BOARD]]
    leaving, curve = tables["Exits of digits"]
    assert leaving.column("rows, %") == [100 * share for share in exits["judged"]["shares"]]
    assert leaving.column("instructions, est.") == exits["costs"]
    by_cost = sorted(exits["curve"], key=lambda p: p["cost"])
    assert curve.column("mean, est.") == [p["cost"] for p in by_cost]
    assert curve.column("lost, points") == [100 * p["lost"] for p in by_cost]
    [boards_] = tables["Boards"]
    assert boards_.texts("board") == [a["board"] for a in advice["answers"]]
    assert boards_.column("flash, est.") == [a["flash_bytes"] for a in advice["answers"]]
    [predicted] = tables["Predicted time and energy"]
    timed = [a for a in advice["answers"] if a["latency_ms"] is not None]
    assert predicted.column("ms, est.") == [a["latency_ms"] for a in timed]
    assert predicted.column("battery days, est.") == [a["battery_days"] for a in timed]
    assert all(
        "published results" in a["latency_error"] and a["latency_error"] in page.read_text() for a in timed
    )


def test_one_file_without_scripts_and_sound_pictures(page: Path) -> None:
    text = page.read_text()
    tags = Page(text).tags
    assert not {"script", "link", "img", "iframe", "object"} & {tag for tag, _ in tags}
    assert not [
        value for _, attrs in tags for name, value in attrs.items() if name in ("src", "href", "onload")
    ]
    assert "http" not in text.replace("http-equiv", "")
    pictures = re.findall(r"<svg.*?</svg>", text, re.S)
    assert len(pictures) == 9
    for picture in pictures:
        root = ElementTree.fromstring(picture)
        assert root.get("aria-label") and not re.search(r"[\" ,-](nan|inf)[\",]", picture)
        _, _, width, height = map(float, (root.get("viewBox") or "").split())
        for box in root.iter("rect"):
            x, y, w, h = (float(box.get(key) or "nan") for key in ("x", "y", "width", "height"))
            assert x >= -0.7 and x + w <= width + 0.7 and y >= -0.7 and y + h <= height + 0.7


def test_markdown_has_the_same_tables(page: Path, folder: Path) -> None:
    files = [str(folder / f"{name}.json") for name in PARTS]
    assert cli.call(["report", *files, "--md", "-o", str(folder / "report.md")]) == 0
    text = (folder / "report.md").read_text()
    for heading, tables in Page(page.read_text()).tables.items():
        assert f"### {heading}\n" in text
        for table in tables:
            for row in table.rows:
                assert "| " + " | ".join(shown for shown, _ in row) + " |" in text
    assert "<svg" not in text and "<details><summary>" in text


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium")
@pytest.mark.parametrize("width", [390, pytest.param(1200, marks=pytest.mark.soak)])
def test_in_a_browser(page: Path, tmp_path: Path, width: int) -> None:
    """No sideways scrolling, pictures drawn, and something on the screenshot besides paper."""
    wrap = tmp_path / "wrap.html"
    inner = html.escape(page.read_text(), quote=True)
    wrap.write_text(
        f'<body style="margin:0"><iframe style="border:0;width:{width}px;height:2000px" srcdoc="{inner}"></iframe>'
        "<script>onload = () => { const d = document.querySelector('iframe').contentDocument;"
        "const of = [...d.querySelectorAll('svg')].map(s => s.getBoundingClientRect());"
        "const e = d.documentElement, sideways = e.scrollWidth - e.clientWidth;"
        "document.title = JSON.stringify([sideways, Math.min(...of.map(r => r.height)),"
        "Math.max(...of.map(r => r.right)), d.querySelectorAll('section').length]); }</script>"
    )
    flags = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}/profile"]
    shot = [f"--window-size={width},2000", f"--screenshot={tmp_path}/page.png"]
    run = [str(CHROMIUM), *flags, "--dump-dom", wrap.as_uri()]
    dom = subprocess.run(run, capture_output=True, text=True, timeout=120, check=True).stdout
    match = re.search(r"<title>(.*?)</title>", dom)
    assert match
    sideways, least, right, sections = json.loads(match[1])
    assert sideways == 0 and least > 20 and right <= width and sections == 11
    subprocess.run(
        [str(CHROMIUM), *flags, *shot, wrap.as_uri()], capture_output=True, timeout=120, check=True
    )
    assert (tmp_path / "page.png").stat().st_size > 20_000


def test_made_from_a_model(folder: Path, tmp_path: Path) -> None:
    """The same figures as the commands print."""
    out = tmp_path / "made.html"
    assert cli.call(["report", str(folder / "digits.ofg"), "-b", BOARD, "-o", str(out)]) == 0
    [bench] = read(folder, "bench")
    tables = Page(out.read_text()).tables
    assert tables[f"Layers on {BOARD}"][0].column("instructions") == [
        s["instructions"] for s in bench["steps"]
    ]
    assert BOARD in tables["Boards"][0].texts("board")


def test_several_models_are_told_apart(folder: Path, tmp_path: Path) -> None:
    [bench] = read(folder, "bench")
    (tmp_path / "other.json").write_text(json.dumps([bench | {"model": "some/other.ofr"}]))
    out = tmp_path / "two.md"
    given = [str(folder / "bench.json"), str(tmp_path / "other.json")]
    assert cli.call(["report", *given, "-o", str(out)]) == 0
    heads = [line for line in out.read_text().splitlines() if line.startswith("### ")]
    assert len({*heads}) == len(heads), "Markdown by its name, each heading once"
    for name in (Path(bench["model"]).stem, "other"):
        assert f"### Flash of {name} on {BOARD}" in heads and f"### Layers of {name} on {BOARD}" in heads


def test_no_label_hides_another() -> None:
    dots = [svg.Dot(100, 0.5, "2"), svg.Dot(101, 0.501, "3"), svg.Dot(900, 0.9, "4")]
    shown = re.findall(r"<text[^>]*>([^<]+)</text>", svg.scatter(dots, "bytes", "accuracy"))
    assert "2, 3" in shown and "4" in shown and "3" not in shown


def test_long_names_of_bars_stay_apart() -> None:
    names = [f"ofr_dsp_lines_linear_{end}" for end in ("s1", "s2")]
    shown = {svg.shortened(name) for name in names}
    assert len(shown) == 2 and all(len(name) <= svg.LABEL for name in shown)


def test_planned_layers_where_nothing_was_measured(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "planned.html"
    assert cli.call(["report", str(folder / "pack.json"), "-o", str(out)]) == 0
    ways = [way for op in read(folder, "pack")["ops"] for way in op["ways"] if way["taken"]]
    [table] = Page(out.read_text()).tables[f"Layers on {BOARD}, estimated"]
    assert table.column("instructions, est.") == [way["instructions_estimate"] for way in ways]


@pytest.mark.parametrize(
    ("content", "words", "message"),
    [
        ("{", [], "is no JSON"),
        ('{"a": 1}', [], "is not the JSON of a command that a report knows"),
        ("[]", [], "is not the JSON of a command that a report knows"),
        ('[{"variant": 1, "accuracy": 1}]', ["-b", BOARD], "--board is for a model file"),
        ('[{"variant": 1, "accuracy": 1}]', [], "a.json: what a report needs is missing or odd: KeyError"),
        ('{"answers": 3, "assumptions": []}', [], "a.json: what a report needs is missing or odd"),
        ("[]", ["-o", "m.tflite"], "m.tflite: a report is .html or .md"),
        ("[]", ["--md", "-o", "r.html"], "--md, and r.html is named as a page"),
        (None, [], "no such file"),
    ],
)
def test_refusals(
    content: str | None, words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "a.json"
    if content is not None:
        source.write_text(content)
    assert cli.call(["report", str(source), "-o", str(tmp_path / "r.html"), *words]) == 1
    assert message.lower() in capsys.readouterr().err.lower()
    assert not (tmp_path / "r.html").exists()


@pytest.mark.parametrize("name", ["pack", "inspect", "profile", "advise"])
def test_a_second_of_a_kind_is_refused(
    name: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [str(folder / f"{name}.json")] * 2
    assert cli.call(["report", *files, "-o", str(tmp_path / "r.html")]) == 1
    assert f"{name}.json is a second {name}; a report has one" in capsys.readouterr().err


def test_a_model_needs_a_board(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.call(["report", str(folder / "digits.ofg"), "-o", str(tmp_path / "r.html")]) == 1
    assert "needs a board" in capsys.readouterr().err
