"""What the engine's tests share: small datasets, the shipped tasks, and one torch thread."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from acc.data import AccDataset
from acc.tests import helpers
from acc.training.plugin_set import PluginSet


@pytest.fixture(autouse=True)
def one_torch_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def dataset() -> AccDataset:
    return helpers.blobs(120)


@pytest.fixture(scope="session")
def classes() -> PluginSet:
    return helpers.shipped_tasks()


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)
