"""`offramp mlperf`: data, the modes against other oracles, result folders, refusals."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from offramp import boards, cli
from offramp.blob import read
from offramp.build.mlperf import BENCHMARKS
from offramp.errors import UserError
from offramp_host import mlperf_modes as modes
from offramp_host.emulator import Emulator
from offramp_host.mlperf import TextDevice
from offramp_host.mlperf_data import Sample, read_samples
from tests.mlperf.app import MODELS, Line, blob_of, image_of
from tests.oracle import micro

KWS, IC, VWW, AD = BENCHMARKS


def rows_of(name: str, n: int) -> np.ndarray:
    """Inputs as the benchmark sends them."""
    benchmark, rng = next(b for b in BENCHMARKS if b.name == name), np.random.default_rng(5)
    if benchmark.wire == "float32":
        return rng.normal(0, 20, (n, benchmark.elements)).astype(np.float32)
    limits = np.iinfo(benchmark.wire)
    return rng.integers(limits.min, limits.max + 1, (n, benchmark.elements), benchmark.wire)


def as_model_takes(name: str, x: np.ndarray, scale: float, zero_point: int) -> np.ndarray:
    if name == "ad01":
        steps = x.astype(np.float64) / scale
        return np.clip(np.sign(steps) * np.floor(np.abs(steps) + 0.5) + zero_point, -128, 127).astype(np.int8)
    return (x.astype(np.int16) - 128).astype(np.int8) if x.dtype == np.uint8 else x


@pytest.mark.parametrize("name", MODELS)
def test_results_of_every_benchmark(name: str, tmp_path: Path) -> None:
    """As printed, against TensorFlow Lite Micro's outputs."""
    model, x = MODELS[name](), rows_of(name, 3)
    blob = blob_of(model, "posix", tmp_path)
    [source], [sink] = read(blob.read_bytes(), blob).inputs, read(blob.read_bytes(), blob).outputs
    image = image_of(blob, "posix")
    with (
        Emulator(boards.load("posix"), image.elf, timeout_s=120) as emulator,
        TextDevice(emulator.url, timeout_s=60) as device,
    ):
        assert device.identify().model == name
        for row in x:
            [y] = micro.run(
                model, [as_model_takes(name, row, source.scale, source.zero_point).reshape(source.shape)]
            )
            values = sink.scale * (y.ravel().astype(np.float64) - sink.zero_point)
            expected = [np.mean((values - row) ** 2)] if name == "ad01" else values
            device.load(row.tobytes())
            found = device.infer(2, 1).results
            assert len(found) == len(expected)
            assert np.abs(np.array(found) - expected).max() <= (0.001 if name == "ad01" else 0.0005)


def test_pixels_are_printed_as_they_came(tmp_path: Path) -> None:
    image = image_of(blob_of(MODELS["ic01"](), "posix", tmp_path), "posix")
    with Emulator(boards.load("posix"), image.elf, timeout_s=60) as emulator, Line(emulator.url) as line:
        line.hear(b"posix\r\n")
        line.ask(b"db load 3")
        line.ask(b"db 00ff7f")
        assert line.ask(b"db print") == b"m-buffer-00-ff-7f\r\nm-ready\r\n"


def test_help_is_text(tmp_path: Path) -> None:
    image = image_of(blob_of(MODELS["kws01"](), "posix", tmp_path), "posix")
    with Emulator(boards.load("posix"), image.elf, timeout_s=60) as emulator, Line(emulator.url) as line:
        line.hear(b"posix\r\n")
        said = line.ask(b"help").decode("ascii").splitlines()
    assert said[-1] == "m-ready" and not any(text.startswith(("m-", "e-")) for text in said[:-1])
    for command in ("name", "profile", "timestamp", "db load", "db print", "infer", "results"):
        assert any(command in text for text in said[:-1]), command


@pytest.mark.parametrize("seed", range(5))
def test_auc(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, 60)
    scores = np.round(rng.normal(labels, 1.5), 1)  # with ties
    assert modes.auc(scores.tolist(), labels.tolist()) == pytest.approx(roc_auc_score(labels, scores))
    shares = rng.dirichlet(np.ones(4), 80)
    classes = np.concatenate([np.arange(4), rng.integers(0, 4, 76)])
    answers = [modes.Answer("", int(k), tuple(s), 1) for k, s in zip(classes, shares.tolist(), strict=True)]
    assert modes.mean_auc(answers) == pytest.approx(roc_auc_score(classes, shares, multi_class="ovr"))


def test_auc_of_one_class_is_unknown() -> None:
    assert modes.auc([0.1, 0.2], [1, 1]) is None
    assert modes.mean_auc([modes.Answer("", 0, (0.5, 0.5), 1)]) is None


def test_folder_as_the_runner_reads_it(tmp_path: Path) -> None:
    """Also one level up, with spaces behind commas; windows of a recording by their stride."""
    folder = tmp_path / "ad01"
    folder.mkdir()
    recording = np.arange(640 + 2 * 128, dtype=np.float32)
    (folder / "a.bin").write_bytes(recording.tobytes())
    (folder / "y_labels.csv").write_text("a.bin, 2, 1, 2560, 512\na.bin, 2, 0, 2560, 512\n")
    for where in (tmp_path, folder):
        first, second = read_samples(where, None, AD)
        assert (first.label, second.label) == (1, 0)
        assert [np.frombuffer(part, np.float32)[0] for part in first.parts] == [0, 128, 256]
        assert all(len(part) == AD.input_bytes for part in first.parts)
    assert len(read_samples(folder, None, AD, limit=1)) == 1


def test_rows_are_sent_little_endian(tmp_path: Path) -> None:
    x = rows_of("ad01", 2)
    np.save(tmp_path / "x.npy", x.astype(">f4").reshape(2, 5, 128))
    np.save(tmp_path / "y.npy", np.array([0, 1]))
    found = read_samples(tmp_path / "x.npy", tmp_path / "y.npy", AD)
    assert found == [Sample("row 0", 0, (x[0].tobytes(),)), Sample("row 1", 1, (x[1].tobytes(),))]


BAD_ROWS = [
    (np.zeros((2, 490), np.uint8), None, "uint8"),
    (np.zeros((2, 489), np.int8), None, "489"),
    (np.zeros((0, 490), np.int8), None, r"\[0, 490\]"),
    (np.zeros(490, np.int8), None, "490"),
    (np.int8(3), None, r"\[\]"),
    (np.zeros((2, 490), np.int8), np.zeros(3, np.int64), "labels"),
    (np.zeros((2, 490), np.int8), np.zeros(2, np.float32), "labels"),
]


@pytest.mark.parametrize(("x", "y", "named"), BAD_ROWS)
def test_wrong_rows(x: np.ndarray, y: np.ndarray | None, named: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", x=x, **({} if y is None else {"y": y}))
    with pytest.raises(UserError, match=named):
        read_samples(tmp_path / "x.npz", None, KWS)


BAD_LABELS = [
    ("a.bin,12,7\n", b"\0" * 489, "489 bytes"),
    ("a.bin,12,7\n", b"\0" * 491, "491 bytes"),
    ("a.bin,12,seven\n", b"\0" * 490, "'seven'"),
    ("a.bin,12,7,491\n", b"\0" * 490, "491"),
    ("a.bin,12,7,490,0\n", b"\0" * 490, "stride of 0"),
    ("b.bin,12,7\n", b"", "b.bin"),
]


@pytest.mark.parametrize(("truth", "content", "named"), BAD_LABELS)
def test_wrong_folder(truth: str, content: bytes, named: str, tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(content)
    (tmp_path / "y_labels.csv").write_text(truth)
    with pytest.raises(UserError, match=named):
        read_samples(tmp_path, None, KWS)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    np.savez(tmp_path / "x.npz", x=rows_of("kws01", 6), y=np.arange(6))
    return tmp_path / "x.npz"


@pytest.mark.emulator
def test_both_modes(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On a board that counts: folders, their figures, and that no more is counted than the runs take."""
    blob = blob_of(MODELS["kws01"](), "mps2_an386", tmp_path)
    common = ["mlperf", str(blob), "--board", "mps2_an386", "--data", str(data), "--json"]
    assert cli.call([*common, "-o", str(tmp_path / "a"), "--limit", "4"]) == 0
    accuracy = json.loads(capsys.readouterr().out)
    assert accuracy == json.loads((tmp_path / "a" / "results.json").read_text())
    x = rows_of("kws01", 4)
    found = [int(np.argmax(micro.run(MODELS["kws01"](), [row.reshape(1, 490)])[0])) for row in x]
    assert [int(np.argmax(answer["results"])) for answer in accuracy["answers"]] == found
    assert accuracy["top1_percent"] == 25 * sum(a == i for i, a in enumerate(found))
    assert "top-1: " in (tmp_path / "a" / "results.txt").read_text()
    log = (tmp_path / "a" / "log.txt").read_text().splitlines()
    assert log.count("> db load 490%") == log.count("< m-load-done") == log.count("> infer 1 0%") == 4

    assert cli.call([*common, "-o", str(tmp_path / "p"), "--mode", "performance", "--seconds", "0.05"]) == 0
    performance = json.loads(capsys.readouterr().out)
    assert performance["estimated"] and not performance["valid_for_rules"]
    assert "valid: no: the rules want windows of 10 s" in (tmp_path / "p" / "results.txt").read_text()
    assert len(performance["windows"]) == 5
    assert all(w["elapsed_us"] >= 50_000 for w in performance["windows"])

    assert cli.call(["bench", str(blob), "--board", "mps2_an386", "--json"]) == 0
    [row] = json.loads(capsys.readouterr().out)
    of_runs = 25e6 / performance["median_inferences_per_second"]
    assert row["instructions_per_inference"] < of_runs < row["instructions_per_inference"] + 2500
    assert math.isclose(of_runs, 25 * accuracy["answers"][0]["elapsed_us"], rel_tol=0.02)


REFUSALS = [
    (["--mode", "energy"], "energy"),
    (["--port", "x"], "--board and --port are given"),
    (["--data", "nothing.npy"], "nothing.npy"),
    (["--labels", "nothing.npy"], "nothing.npy"),
    (["--mode", "performance", "--seconds", "0.01"], "counts no time"),
    (["--seconds", "5"], "accuracy mode has no windows"),
]


@pytest.mark.parametrize(("more", "named"), REFUSALS)
def test_refusals(
    more: list[str], named: str, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    blob = blob_of(MODELS["kws01"](), "posix", tmp_path)
    arguments = ["mlperf", str(blob), "--board", "posix", "--data", str(data), "-o", str(tmp_path / "out")]
    assert cli.call([*arguments, *more]) == 1
    said = capsys.readouterr().err
    assert named in said and "hint:" in said


@pytest.mark.emulator
def test_a_window_longer_than_the_time_limit(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    blob = blob_of(MODELS["kws01"](), "mps2_an386", tmp_path)
    common = ["mlperf", str(blob), "--board", "mps2_an386", "--data", str(data), "-o", str(tmp_path / "o")]
    assert cli.call([*common, "--mode", "performance", "--seconds", "100000", "--time-limit", "1"]) == 1
    said = capsys.readouterr().err
    assert "no answer to 'infer " in said and "hint: raise the time limit" in said


def test_models_of_other_sizes_are_refused(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from tests.mlperf.app import dense

    blob = blob_of(dense(20, 4), "posix", tmp_path)
    for command in (["mlperf", "--data", str(data), "-o", str(tmp_path / "out")], ["build", "--mlperf"]):
        assert cli.call([command[0], str(blob), "--board", "posix", *command[1:]]) == 1
        said = capsys.readouterr().err
        assert "20 int8 to 4 int8" in said and "kws01 490 to 12" in said


@pytest.mark.soak
@pytest.mark.emulator
def test_keywords_in_full(shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = shared_data / "mlperf_tiny"
    arguments = ["mlperf", str(folder / "kws_ref_model.tflite"), "--board", "mps2_an386", "--json"]
    arguments += ["--data", str(folder / "kws01_first500.npz"), "-o", str(tmp_path)]
    assert cli.call(arguments) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["inputs"], round(found["top1_percent"], 1)) == (500, 89.8)


REAL = [("pretrainedResnet_quant", "ic01"), ("vww_96_int8", "vww01"), ("ad01_int8", "ad01")]


@pytest.mark.soak
@pytest.mark.emulator
@pytest.mark.parametrize(("model", "name"), REAL)
def test_reference_models(model: str, name: str, shared_data: Path, tmp_path: Path) -> None:
    """One input of each, against TensorFlow Lite Micro."""
    file, x = shared_data / "mlperf_tiny" / f"{model}.tflite", rows_of(name, 1)
    np.savez(tmp_path / "x.npz", x=x, y=[0])
    arguments = ["mlperf", str(file), "--board", "mps2_an386", "--data", str(tmp_path / "x.npz")]
    assert cli.call([*arguments, "-o", str(tmp_path / "out")]) == 0
    [answer] = json.loads((tmp_path / "out" / "results.json").read_text())["answers"]
    blob = blob_of(file.read_bytes(), "posix", tmp_path)
    [source], [sink] = read(blob.read_bytes(), blob).inputs, read(blob.read_bytes(), blob).outputs
    taken = as_model_takes(name, x[0], source.scale, source.zero_point).reshape(source.shape)
    [y] = micro.run(file.read_bytes(), [taken])
    values = sink.scale * (y.ravel().astype(np.float64) - sink.zero_point)
    expected = [np.mean((values - x[0]) ** 2)] if name == "ad01" else values
    assert np.abs(np.array(answer["results"]) - expected).max() <= 0.001
