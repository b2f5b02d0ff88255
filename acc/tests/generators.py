"""The generators of ``plugins/generators``, loaded as the platform loads them."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from acc.data import AccDataset, DatasetGenerator
from acc.plugins.load import load_source

FOLDER = Path(__file__).parents[2] / "plugins" / "generators"


@functools.cache
def generator(file: str, name: str) -> type[DatasetGenerator]:
    """Return a generator's class by the stem of its file and its own name."""
    classes = {each.name: each.cls for each in load_source((FOLDER / f"{file}.py").read_text(), f"{file}.py")}
    assert issubclass(classes[name], DatasetGenerator)
    return classes[name]


@functools.cache
def made(file: str, name: str, n: int | None, seed: int = 0, **params: Any) -> AccDataset:
    """Return what a generator makes; made once, so never write to it."""
    return generator(file, name)(**params).generate(n=n, seed=seed)
