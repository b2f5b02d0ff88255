"""Process-wide settings of torch while a trainer runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

# Typed as Any: torch gives this module its attributes at run time.
_deterministic: Any = torch.utils.deterministic


@contextmanager
def torch_settings(device: torch.device, threads: int) -> Iterator[None]:
    """Fix the number of threads and, on the CPU, use deterministic kernels; put all back afterwards."""
    before = (
        torch.get_num_threads(),
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        _deterministic.fill_uninitialized_memory,
    )
    try:
        torch.set_num_threads(threads)
        if device.type == "cpu":
            torch.use_deterministic_algorithms(True)
            _deterministic.fill_uninitialized_memory = False  # filling would only cost time
        yield
    finally:
        torch.set_num_threads(before[0])
        torch.use_deterministic_algorithms(before[1], warn_only=before[2])
        _deterministic.fill_uninitialized_memory = before[3]
