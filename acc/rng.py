"""Randomness that belongs to somebody: seeds made from words, isolated sections, states that can be saved."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor


def seed_for(*parts: str | int) -> int:
    """Return a seed in 0..2^63-1 that depends on the parts alone: ``seed_for(0, "head", "digit")``."""
    digest = hashlib.sha256("\x1f".join(str(part) for part in parts).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


@contextmanager
def preserved() -> Iterator[None]:
    """Give the random states of torch (CPU and CUDA), numpy and Python back as they were."""
    state = capture()
    try:
        yield
    finally:
        restore(state)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Run a section with every random state seeded, and leave those of the caller untouched."""
    with preserved():
        seed_all(seed)
        yield


def seed_all(seed: int) -> None:
    """Seed torch (CPU and CUDA), numpy's and Python's global generators."""
    if torch.backends.cuda.is_built() or torch.backends.mps.is_built():
        torch.manual_seed(seed)
    else:  # the same, without the tracebacks that torch keeps of each call for devices it was built without
        torch.default_generator.manual_seed(seed)
    np.random.seed(seed % 2**32)  # plugins may use the global generator
    random.seed(seed)


def capture(device: torch.device | None = None) -> dict[str, Tensor]:
    """Return all global random states as tensors; see ``restore``.

    device: of all CUDA devices this one's alone, under a name that says not which it was.
    """
    kind, keys, position, has_gauss, gauss = np.random.get_state(legacy=True)
    assert kind == "MT19937"
    version, words, spare = random.getstate()
    assert version == 3
    state = {
        "torch": torch.get_rng_state(),
        "numpy": torch.from_numpy(np.asarray(keys, dtype=np.int64).copy()),
        "numpy_rest": torch.tensor([float(position), float(has_gauss), float(gauss)], dtype=torch.float64),
        "python": torch.tensor(words, dtype=torch.int64),
        "python_rest": torch.tensor([] if spare is None else [spare], dtype=torch.float64),
    }
    if device is not None:
        if device.type == "cuda":
            state["cuda"] = torch.cuda.get_rng_state(device)
    elif torch.cuda.is_initialized():
        for index in range(torch.cuda.device_count()):
            state[f"cuda.{index}"] = torch.cuda.get_rng_state(index)
    return state


def restore(state: Mapping[str, Tensor], device: torch.device | None = None) -> None:
    """Put back what ``capture`` returned; states of CUDA devices that are not there are left out.

    device: what a state of one CUDA device is put on, whichever it was of.
    """
    torch.set_rng_state(state["torch"])
    position, has_gauss, gauss = state["numpy_rest"].tolist()
    keys = state["numpy"].numpy().astype(np.uint32)
    np.random.set_state(("MT19937", keys, int(position), int(has_gauss), gauss))
    spare: list[Any] = state["python_rest"].tolist()
    random.setstate((3, tuple(state["python"].tolist()), spare[0] if spare else None))
    for name, value in state.items():
        kind, _, index = name.partition(".")
        if name == "cuda":
            if device is not None and device.type == "cuda":
                torch.cuda.set_rng_state(value, device)
        elif kind == "cuda" and torch.cuda.is_available() and int(index) < torch.cuda.device_count():
            torch.cuda.set_rng_state(value, int(index))
