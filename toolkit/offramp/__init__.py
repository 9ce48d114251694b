"""Offramp: turns a trained neural network into a blob that a small C runtime executes on microcontrollers."""

__version__ = "0.2.0"
