"""ACC's engine: train, branch and measure autoencoders with named factors. Knows nothing of the web site.

Importing ``acc`` is cheap and torch-free; ``acc.api`` is the one import for notebooks and plugin authors, and
``acc.load(path)`` opens a trained model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from acc.version import __version__

if TYPE_CHECKING:
    from pathlib import Path

    from acc.opening import Opened

__all__ = ["__version__", "load"]


def load(path: str | Path, *, trust_code: bool = False) -> Opened:
    """Return ``model`` and ``header`` of a checkpoint's file, plain or exported; see ``acc.opening``.

    Plugin code in the file runs only with ``trust_code=True``, or if it is that of an installed plugin. Raises
    CheckpointError.
    """
    from acc.opening import open_checkpoint

    return open_checkpoint(path, trust_code=trust_code)
