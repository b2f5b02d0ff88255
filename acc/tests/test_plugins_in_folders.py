"""A plugin may be a folder with helpers: what its __init__.py imports is its version and is kept with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from acc.plugins import PluginRegistry, load_source
from acc.plugins.helpers import split
from acc.plugins.scan import Finder
from acc.tests import helpers
from acc.training.plugin_set import PluginSet
from acc.training.trainer import Trainer

INIT = "from .loss import FolderTask\nfrom .scale import SCALE\n"
LOSS = """
from acc.api import Task
from .scale import SCALE

class FolderTask(Task):
    def compute_loss(self, output, batch, head):
        return output.latent.square().mean() * SCALE
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "tasks" / "mine"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text(INIT)
    (folder / "loss.py").write_text(LOSS)
    (folder / "scale.py").write_text("SCALE = 2.0\n")
    return tmp_path


def test_its_class_is_known_and_all_of_its_files_are_its_source(root: Path) -> None:
    registry = PluginRegistry(root)
    registry.scan()
    (plugin,) = registry.classes("task").values()
    assert (plugin.name, plugin.path) == ("FolderTask", "tasks/mine/__init__.py")
    own, parts = split(plugin.source)
    assert own == INIT
    assert sorted(parts) == ["tasks/mine/loss.py", "tasks/mine/scale.py"]


def test_a_change_of_any_of_its_files_is_a_new_version(root: Path) -> None:
    finder = Finder(root)
    before = finder.find()["tasks/mine/__init__.py"].sha256
    (root / "tasks" / "mine" / "scale.py").write_text("SCALE = 3.0\n")
    assert finder.find()["tasks/mine/__init__.py"].sha256 != before


def test_it_travels_with_a_checkpoint(root: Path) -> None:
    registry = PluginRegistry(root)
    registry.scan()
    classes = PluginSet(*registry.classes("task").values())
    data: dict[str, Any] = {"data": helpers.blobs(40)}
    trainer = Trainer(
        helpers.job(data, [helpers.task("FolderTask")], steps=2), data, classes=classes, device="cpu"
    )
    trainer.run()
    kept = trainer.snapshot().header.plugins["FolderTask"]
    (root / "tasks" / "mine" / "loss.py").unlink()
    (again,) = load_source(kept["source"], kept["path"], kept["sha256"])
    resumed = Trainer(
        helpers.job(data, [helpers.task("FolderTask")], steps=2),
        data,
        classes=PluginSet(again),
        device="cpu",
        start_from=trainer.snapshot().checkpoint(),
    )
    resumed.run()
    assert all(torch.isfinite(tensor).all() for tensor in resumed.model.state_dict().values())


def test_a_folder_of_helpers_alone_is_told_its_name(root: Path) -> None:
    (root / "tasks" / "mine" / "__init__.py").write_text("")
    registry = PluginRegistry(root)
    registry.scan()
    (error,) = registry.errors.values()
    assert "a folder of helpers alone is called _mine" in str(error)
    (root / "tasks" / "mine").rename(root / "tasks" / "_mine")
    registry.scan()
    assert not registry.errors
