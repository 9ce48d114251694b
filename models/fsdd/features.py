"""Spoken digits as the network sees them: log-mel windows of clips, of changed clips for training, of silence."""

from __future__ import annotations

import io
import wave
import zipfile
from pathlib import Path

import numpy as np

SPEAKERS = ("george", "jackson", "lucas", "nicolas")
LABELS = (*map(str, range(10)), "silence")
SILENCE = 10
RATE = 8000  # Hz
FRAME, STEP = 256, 160  # samples: 32 ms every 20 ms
FRAMES, BANDS = 48, 16  # of a window, 0.97 s
WINDOW = FRAME + (FRAMES - 1) * STEP  # samples
LOW, HIGH = 80.0, 3800.0  # Hz, edges of the outer bands
FLOOR = 1e-5  # of a band's energy, full scale being 1
NOISE = (1e-4, 3e-3)  # standard deviation of the noise that training and silence get, full scale being 1


def clips(archive: Path) -> dict[str, list[tuple[np.ndarray, int]]]:
    """By speaker: (samples float64 in -1..1, digit) of each {digit}_{speaker}_{n}.wav of the archive."""
    found: dict[str, list[tuple[np.ndarray, int]]] = {speaker: [] for speaker in SPEAKERS}
    with zipfile.ZipFile(archive) as files:
        for name in sorted(n for n in files.namelist() if n.endswith(".wav")):
            digit, speaker, _ = Path(name).stem.split("_")
            with wave.open(io.BytesIO(files.read(name))) as sound:
                samples = np.frombuffer(sound.readframes(sound.getnframes()), "<i2")
            found[speaker].append((samples / 32768, int(digit)))
    return found


def mel(hz: np.ndarray | float) -> np.ndarray:
    return 2595 * np.log10(1 + np.asarray(hz) / 700)


def bands(warp: float = 1.0) -> np.ndarray:
    """[BANDS, FRAME // 2 + 1] triangles over a spectrum whose frequencies count `warp` times."""
    edges = np.linspace(mel(LOW), mel(HIGH), BANDS + 2)
    at = mel(np.fft.rfftfreq(FRAME, 1 / RATE) * warp)[None]
    rising = (at - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - at) / (edges[2:] - edges[1:-1])[:, None]
    return np.clip(np.minimum(rising, falling), 0, None)


def log_mel(samples: np.ndarray, warp: float = 1.0) -> np.ndarray:
    """float32 [frames, BANDS], about -1..1: logarithm of each band's energy."""
    frames = np.lib.stride_tricks.sliding_window_view(samples, FRAME)[::STEP] * np.hanning(FRAME)
    energy = np.abs(np.fft.rfft(frames)) ** 2 @ bands(warp).T / FRAME
    return ((np.log(energy + FLOOR) + 5) / 6).astype(np.float32)


def placed(samples: np.ndarray, start: int) -> np.ndarray:
    """A window of samples in which the clip begins at `start`; what does not fit is lost."""
    window = np.zeros(WINDOW)
    kept = samples[max(0, -start) : WINDOW - start]
    window[max(0, start) : max(0, start) + len(kept)] = kept
    return window


def centred(frames: np.ndarray) -> np.ndarray:
    """[FRAMES, BANDS, 1]: each band less its mean over the window, which takes microphone and room away."""
    return (frames - frames.mean(axis=0))[..., None]


def judged(found: list[tuple[np.ndarray, int]], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """x [n, FRAMES, BANDS, 1] and y [n] of whole clips in the middle of their windows, with faint noise."""
    rng, x = np.random.default_rng(seed), []
    for samples, _ in found:
        window = placed(samples, (WINDOW - len(samples)) // 2)
        x.append(centred(log_mel(window + NOISE[0] * rng.standard_normal(WINDOW))))
    return np.stack(x), np.array([digit for _, digit in found])


def changed(found: list[tuple[np.ndarray, int]], copies: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """x, y of `copies` windows a clip: other pace, voice, loudness, place and noise; a tenth more are silence.

    Silence is noise alone, or a clip of which less than a fifth is inside the window.
    """
    rng, x, y = np.random.default_rng(seed), [], []
    for samples, digit in found * copies:
        sound = paced(samples, np.exp(rng.uniform(-0.22, 0.22))) * 10 ** rng.uniform(-0.6, 0.4)
        spare = WINDOW - len(sound)
        start = int(rng.uniform(min(0, spare) * 0.5, max(0, spare)))
        x.append(noisy(placed(sound, start), rng, np.exp(rng.uniform(-0.16, 0.16))))
        y.append(digit)
        if rng.random() < 0.1:
            inside = int(max(0.0, rng.uniform(-0.2, 0.2)) * len(sound))
            start = WINDOW - inside if rng.random() < 0.5 else inside - len(sound)
            x.append(noisy(placed(sound, start), rng, 1.0))
            y.append(SILENCE)
    return np.stack(x), np.array(y)


def noisy(window: np.ndarray, rng: np.random.Generator, warp: float) -> np.ndarray:
    """[FRAMES, BANDS, 1] with noise, some bands and some frames levelled."""
    level = np.exp(rng.uniform(*np.log(NOISE)))
    frames = log_mel(window + level * rng.standard_normal(WINDOW), warp)
    for axis, most in ((frames.T, 5), (frames, 8)):
        if rng.random() < 0.7:
            first = rng.integers(0, len(axis) - 3)
            axis[first : first + rng.integers(1, most)] = axis.mean()
    return centred(frames)


def paced(samples: np.ndarray, pace: float) -> np.ndarray:
    """Read `pace` times as fast, by linear interpolation."""
    return np.interp(np.arange(0, len(samples) - 1, pace), np.arange(len(samples)), samples)
