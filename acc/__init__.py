"""ACC's engine: train, branch and measure autoencoders with named factors. Knows nothing of the web site.

Importing ``acc`` is cheap and torch-free; ``acc.api`` is the one import for notebooks and plugin authors, and
``acc.load(path)`` opens a trained model, ``acc.study`` compares arms over seeds, and ``acc.sweep`` draws them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from acc.version import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import Any

    from acc.data import AccDataset
    from acc.opening import Opened
    from acc.studies.run import StudyRun
    from acc.studies.run_sweep import SweepRun

__all__ = ["__version__", "load", "study", "sweep"]


def load(path: str | Path, *, trust_code: bool = False) -> Opened:
    """Return ``model`` and ``header`` of a checkpoint's file, plain or exported; see ``acc.opening``.

    Plugin code in the file runs only with ``trust_code=True``, or if it is that of an installed plugin. Raises
    CheckpointError.
    """
    from acc.opening import open_checkpoint

    return open_checkpoint(path, trust_code=trust_code)


def study(
    data: AccDataset | Mapping[str, AccDataset], arms: Mapping[str, Mapping[str, Any]], **options: Any
) -> StudyRun:
    """Train arms with several seeds each and return what may be said of them; see ``acc.studies.run.study``.

    Raises InvalidInput.
    """
    from acc.studies.run import study as run_study

    return run_study(data, arms, **options)


def sweep(
    data: AccDataset | Mapping[str, AccDataset], space: str | Mapping[str, Any], **options: Any
) -> SweepRun:
    """Train trials drawn from a space, each with the same seeds, and rank them; see ``acc.studies.run_sweep.sweep``.

    Raises InvalidInput.
    """
    from acc.studies.run_sweep import sweep as run_sweep

    return run_sweep(data, space, **options)
