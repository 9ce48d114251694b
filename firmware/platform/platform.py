"""The development platform of the emulated boards: what PlatformIO loads; all else is in builder/."""

from platformio.public import PlatformBase


class OfframpPlatform(PlatformBase):
    """Has no packages: compilers and emulators are the system's."""
