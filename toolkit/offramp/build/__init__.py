"""Compiles firmware for a board and says where every byte of the image went."""

from offramp.build.compilers import Compiler, compiler_for
from offramp.build.footprint import Footprint
from offramp.build.image import Image, build
from offramp.build.sources import Category, Source, Sources, firmware_sources

__all__ = [
    "Category",
    "Compiler",
    "Footprint",
    "Image",
    "Source",
    "Sources",
    "build",
    "compiler_for",
    "firmware_sources",
]
