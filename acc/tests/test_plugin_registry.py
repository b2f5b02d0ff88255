"""A process's own registry swaps in what is good, keeps the last good version, and tells what is not."""

from __future__ import annotations

import dataclasses
import inspect
import os
import pickle
from pathlib import Path

import pytest

from acc.plugins import PluginRegistry, load_source
from acc.plugins.registry import Change

TASK = """
import dataclasses
from acc.api import Task

@dataclasses.dataclass
class Note:
    text: str = "{note}"

class {name}(Task):
    def compute_loss(self, output, batch, head):
        return output.mean.square().mean()
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "tasks").mkdir()
    return tmp_path


def write(root: Path, file: str, name: str = "Dummy", note: str = "a") -> None:
    (root / "tasks" / file).write_text(TASK.format(name=name, note=note))


def test_a_saved_file_is_loaded_once_and_again_only_when_its_content_changes(root: Path) -> None:
    registry = PluginRegistry(root)
    write(root, "a.py")
    assert registry.scan() == [Change("tasks/a.py", "loaded")]
    first = registry.classes("task")["Dummy"]
    os.utime(root / "tasks" / "a.py", ns=(1, 1))
    assert registry.scan() == []
    write(root, "a.py", note="b")
    os.utime(root / "tasks" / "a.py", ns=(1, 1))
    assert registry.scan() == [Change("tasks/a.py", "loaded")]
    second = registry.classes("task")["Dummy"]
    assert second.cls is not first.cls
    assert (first.sha256 != second.sha256, second.source.count('"b"')) == (True, 1)


def test_a_broken_file_keeps_its_last_good_classes(root: Path) -> None:
    registry = PluginRegistry(root)
    write(root, "a.py")
    registry.scan()
    good = registry.classes("task")["Dummy"]
    (root / "tasks" / "a.py").write_text("x = 1\nraise ValueError('no')\n")
    assert registry.scan() == [Change("tasks/a.py", "broken")]
    assert registry.classes("task")["Dummy"] is good
    assert (registry.errors["tasks/a.py"].message, registry.errors["tasks/a.py"].line) == (
        "raises ValueError at import: no",
        2,
    )
    write(root, "a.py")
    assert registry.scan() == [Change("tasks/a.py", "loaded")]
    assert registry.errors == {}


def test_a_deleted_file_takes_its_classes_along(root: Path) -> None:
    registry = PluginRegistry(root)
    write(root, "a.py")
    registry.scan()
    (root / "tasks" / "a.py").unlink()
    assert registry.scan() == [Change("tasks/a.py", "removed")]
    assert registry.classes("task") == {}


def test_two_classes_of_one_name_are_refused_until_one_is_gone(root: Path) -> None:
    registry = PluginRegistry(root)
    write(root, "b.py")
    registry.scan()
    write(root, "a.py", note="other")
    assert registry.scan() == [Change("tasks/a.py", "broken")]
    assert "class Dummy is already defined in tasks/b.py" in registry.errors["tasks/a.py"].message
    (root / "tasks" / "b.py").unlink()
    assert Change("tasks/a.py", "loaded") in registry.scan()
    assert registry.classes("task")["Dummy"].path == "tasks/a.py"


@pytest.mark.parametrize(("source", "target"), [("a.py", "b.py"), ("b.py", "a.py")])
def test_a_class_that_moves_to_another_file_is_not_refused(root: Path, source: str, target: str) -> None:
    registry = PluginRegistry(root)
    write(root, source, "Mover")
    write(root, target, "Other")
    registry.scan()
    write(root, source, "Stays")
    write(root, target, "Mover")
    registry.scan()
    assert registry.errors == {}
    assert {name: found.path for name, found in registry.classes("task").items()} == {
        "Mover": f"tasks/{target}",
        "Stays": f"tasks/{source}",
    }


def test_the_name_of_a_built_in_model_is_taken(root: Path) -> None:
    (root / "models").mkdir()
    text = "from acc.api import Model\nclass ConvVAE(Model):\n"
    text += "    def posterior(self, x): ...\n    def decode_logits(self, z): ...\n"
    (root / "models" / "mine.py").write_text(text)
    registry = PluginRegistry(root)
    registry.scan()
    assert "class ConvVAE is already defined in acc/models/autoencoder.py" in (
        registry.errors["models/mine.py"].message
    )


def test_two_versions_of_a_file_live_side_by_side_each_with_its_own_source() -> None:
    old, new = (load_source(TASK.format(name="Dummy", note=note), "tasks/a.py")[0] for note in "ab")
    old_note, new_note = (inspect.getmodule(each.cls).Note() for each in (old, new))  # type: ignore[union-attr]
    assert (old_note.text, new_note.text) == ("a", "b")
    assert '"a"' in inspect.getsource(type(old_note))
    assert '"b"' in inspect.getsource(type(new_note))
    assert pickle.loads(pickle.dumps(old_note)) == old_note
    assert dataclasses.replace(new_note, text="c").text == "c"


def test_what_a_task_needs_is_told() -> None:
    text = "from acc.api import Param, TargetTask\nclass ReadSlantTask(TargetTask):\n"
    text += "    '''Reads the slant.\n\n    And more.\n    '''\n    target = 'real'\n    metrics = {'mae': False}\n"
    text += "    power = Param(2, min=1, max=3)\n    def compute_loss(self, output, batch, head): ...\n"
    (found,) = load_source(text, "tasks/read.py")
    described = found.describe()
    assert described["label"] == "Read slant"
    assert described["description"] == "Reads the slant.\n\nAnd more."
    assert described["requires"]["target"] == "real"
    assert described["requires"]["metrics"] == {"mae": False}
    assert [param["name"] for param in described["params"]] == ["target_name", "head", "hidden", "power"]


def test_the_shipped_plugins_all_load() -> None:
    registry = PluginRegistry(Path(__file__).parents[2] / "plugins")
    registry.scan()
    assert registry.errors == {}
    assert {"ReconstructionTask", "KLDivergenceTask", "ClassificationTask", "RegressionTask"} <= set(
        registry.classes("task")
    )
    assert "HandwrittenDigits" in registry.classes("generator")
    assert {"Autoencoder", "ConvVAE", "FactorSlotAutoencoder"} <= set(registry.classes("model"))
