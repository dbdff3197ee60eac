"""Every error this package raises on purpose.

One base, :class:`HwsiError`; each leaf also inherits the builtin that a caller
who does not know this package would catch. A message says what is wrong, in
which file, and what to do about it.
"""

from __future__ import annotations


class HwsiError(Exception):
    """Base of all errors of napari-hwsi."""


class SlideError(HwsiError, OSError):
    """A slide cannot be opened or read."""


class SlideUnavailableError(SlideError):
    """A slide file that was opened does not answer now; it may again."""


class ResolutionError(HwsiError, ValueError):
    """A size on the ground is needed and the slide's µm per pixel is unknown or senseless."""


class InputError(HwsiError, ValueError):
    """An argument is out of range, of the wrong kind, or names something unknown."""


class TissueError(HwsiError, ValueError):
    """There is no tissue where some is needed."""


class StoreError(HwsiError, OSError):
    """A result on disk cannot be written, read, or belongs to something else."""


class DamagedError(StoreError):
    """Something of a result on disk is not as it was written; analysing again makes that anew."""


class StoreBusyError(StoreError):
    """A result is being written by another process; it may be free soon."""


class WeightsError(HwsiError, ValueError):
    """A checkpoint cannot be read, or is not of the network it was given for."""


class EndpointError(HwsiError, ConnectionError):
    """A language-model server did not give a usable answer; ``partial`` is what it had sent by then."""

    def __init__(self, message: str, partial: str = "") -> None:
        super().__init__(message)
        self.partial = partial


class EndpointRefused(EndpointError):
    """The server took the question and refused it: it is there, and this is not for it."""


class MissingDependencyError(HwsiError, ImportError):
    """An optional package or weight file is not there; the message says how to get it."""


class Cancelled(HwsiError):
    """The work was stopped on request; what was finished is kept."""
