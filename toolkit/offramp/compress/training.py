"""How a training goes: its keys, their defaults, and what suits a network from scratch, trained, or of one bit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Schedule:
    """What recipes say of a training too; the defaults suit small image classifiers from random weights."""

    epochs: float = 10.0  # passes over the training rows
    optimizer: str = "sgd"  # sgd (momentum 0.9, Nesterov) or adamw
    rate: float = 0.1  # highest learning rate: rises to it and falls along half cosines
    batch: int = 128  # rows a training step
    weight_decay: float = 1e-4  # not of biases and normalization
    label_smoothing: float = 0.05  # share of a label's score that all classes get
    augment: tuple[str, ...] = ()  # random changes of rows: mirror, shift:2, erase:8, noise:0.05
    seed: int = 1  # of random numbers; equal seeds give equal bits


@dataclass(frozen=True)
class Training(Schedule):
    """All that the training loop takes."""

    steps: int = 0  # in place of epochs, where not 0
    validation: float = 0.1  # share of the rows that is held out, to watch only
    clip: float = 5.0  # of the gradient's norm
    threads: int = 2  # sums are split by thread, so the count is part of what makes a run repeatable


RETRAINING = Training(epochs=3.0, rate=0.03)  # of trained weights with batch normalization
TUNING = Training(epochs=3.0, optimizer="adamw", rate=1e-3)  # without it: quantized, sparse
# Of one bit. Signs jump: small steps that depend on no gradient's size.
BINARY_TRAINING = Training(optimizer="adamw", rate=5e-3, weight_decay=0.0)


@dataclass(frozen=True)
class Teaching:
    """How a student learns from teachers."""

    temperature: float = 4.0  # by which scores are divided before they are compared
    weight: float = 0.7  # of the teachers' scores; the labels have the rest
    # Layers to be matched, student's op name -> first teacher's op name, and the weight of that beside the other loss.
    features: Mapping[str, str] | None = None
    feature_weight: float = 1.0


@dataclass(frozen=True)
class Shares:
    """Of what the loss of a network with exits consists."""

    exits: float = 1.0  # all exits' part of the loss, beside 1 of the last answer
    temperature: float = 2.0  # by which scores that an exit learns from are divided
    taught: float = 0.5  # of an exit's loss: the last answer's scores; the labels have the rest
