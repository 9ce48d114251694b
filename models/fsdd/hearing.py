"""Windows as a stream has them, for training: whole digits, parts of one or two, gaps, each changed at random."""

from __future__ import annotations

import numpy as np
from features import RATE, SILENCE, WINDOW, noisy, paced

GAPS = (0.3, 1.5)  # s between two digits
WHOLE, PART = 0.8, 0.55  # shares of a digit inside a window: from here on it is heard, up to here it is not
OTHERS = 0.8  # windows anywhere, for each that holds a digit

Span = tuple[int, int, int]  # begin, end (samples), digit


def spoken(
    clips: list[tuple[np.ndarray, int]], rng: np.random.Generator
) -> tuple[np.ndarray, list[Span]]:
    """All clips in random order with gaps, each at another pace and loudness: samples, and where each digit is."""
    parts, spans, length = [np.zeros(WINDOW)], [], WINDOW
    for i in rng.permutation(len(clips)):
        samples, digit = clips[i]
        sound = paced(samples, np.exp(rng.uniform(-0.25, 0.25))) * 10 ** rng.uniform(-0.6, 0.4)
        gap = np.zeros(int(rng.uniform(*GAPS) * RATE))
        spans.append((length, length + len(sound), digit))
        parts += [sound, gap]
        length += len(sound) + len(gap)
    return np.concatenate([*parts, np.zeros(WINDOW)]), spans


def heard(spans: list[Span], first: int) -> int | None:
    """What the window that begins at `first` holds: a digit, SILENCE, or None where people might disagree."""
    most, label = 0.0, SILENCE
    for begin, end, digit in spans:
        inside = min(end, first + WINDOW) - max(begin, first)
        share = inside / min(end - begin, WINDOW)
        if share > most:
            most, label = share, digit
    return label if most >= WHOLE else SILENCE if most <= PART else None


def windows(clips: list[tuple[np.ndarray, int]], copies: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """x [n, FRAMES, BANDS, 1], y [n] of `copies` streams of all clips: each digit whole, and windows anywhere."""
    rng, x, y = np.random.default_rng(seed), [], []
    for _ in range(copies):
        samples, spans = spoken(clips, rng)
        for i, (begin, end, _) in enumerate(spans):
            near, slack = spans[max(0, i - 1) : i + 2], (1 - WHOLE) * (end - begin)
            places = [rng.uniform(*sorted((end - WINDOW - slack, begin + slack)))]
            if rng.random() < OTHERS:
                places.append(rng.uniform(begin - 1.2 * WINDOW, end))
            for place in places:
                first = int(np.clip(place, 0, len(samples) - WINDOW))
                label = heard(near, first)
                if label is not None:
                    warp = np.exp(rng.uniform(-0.18, 0.18))
                    x.append(noisy(samples[first : first + WINDOW].copy(), rng, warp))
                    y.append(label)
    return np.stack(x).astype(np.float32), np.array(y)
