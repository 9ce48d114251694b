"""Windows as a stream has them, for training: whole digits, parts of one or two, gaps, each changed at random."""

from __future__ import annotations

import numpy as np
from features import RATE, SILENCE, WINDOW, noisy, paced

GAPS = (0.3, 1.5)  # s between two digits
FRESH = (0.08, 0.42)  # s since a digit ended: so long it is the answer
BORDER = 0.07  # s before and after, which teach nothing
OTHERS = 1.2  # windows anywhere, for each whose answer is a digit

Span = tuple[int, int, int]  # begin, end (samples), digit


def spoken(clips: list[tuple[np.ndarray, int]], rng: np.random.Generator) -> tuple[np.ndarray, list[Span]]:
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
    """What the window that begins at `first` says: a digit that has just ended, SILENCE, or None at the borders."""
    label: int | None = SILENCE
    for begin, end, digit in spans:
        ago, inside = (first + WINDOW - end) / RATE, first + WINDOW > begin
        if FRESH[0] <= ago <= FRESH[1]:
            label = digit
        elif inside and FRESH[0] - BORDER < ago < FRESH[1] + BORDER:
            return None
    return label


def windows(clips: list[tuple[np.ndarray, int]], copies: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """x [n, FRAMES, BANDS, 1], y [n] of `copies` streams of all clips: each digit whole, and windows anywhere."""
    rng, x, y = np.random.default_rng(seed), [], []
    for _ in range(copies):
        samples, spans = spoken(clips, rng)
        for i, (begin, end, _) in enumerate(spans):
            near = spans[max(0, i - 1) : i + 2]
            places = [end - WINDOW + RATE * rng.uniform(*FRESH)]
            places += list(rng.uniform(begin - 1.2 * WINDOW, end, int(OTHERS + rng.random())))
            for place in places:
                first = int(np.clip(place, 0, len(samples) - WINDOW))
                label = heard(near, first)
                if label is not None:
                    warp = np.exp(rng.uniform(-0.18, 0.18))
                    x.append(noisy(samples[first : first + WINDOW].copy(), rng, warp))
                    y.append(label)
    return np.stack(x).astype(np.float32), np.array(y)
