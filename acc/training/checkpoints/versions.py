"""What a result depends on besides its specification: the versions of what computed it."""

from __future__ import annotations

import platform

import numpy as np
import torch

from acc.version import __version__


def versions() -> dict[str, str]:
    """Return library -> version, as a checkpoint's header keeps them."""
    return {
        "acc": __version__,
        "torch": torch.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }
