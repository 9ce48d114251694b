"""The blob .ofr: what the device runs. Its layout is explained in firmware/BLOB.md."""

from offramp.blob.read import Blob, read
from offramp.blob.write import write

__all__ = ["Blob", "read", "write"]
