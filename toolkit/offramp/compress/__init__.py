"""Compression: from a float graph to smaller ones that compute nearly the same."""
