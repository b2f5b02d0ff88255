"""Helpers beside a plugin are part of it: imported, hashed into its version, kept with it, and reloaded."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from acc.errors import PluginError
from acc.plugins import PluginRegistry, load_source, scan
from acc.plugins.helpers import composed, split
from acc.plugins.scan import Finder
from acc.tests import helpers
from acc.training.plugin_set import PluginSet

PLUGIN = """
from acc.api import Task
{imports}

class Uses(Task):
    def compute_loss(self, output, batch, head):
        return output.latent.square().mean() * {value}
"""
NETS = "from plugins.models._deeper import SCALE\n\nTWICE = 2 * SCALE\n"
DEEPER = "SCALE = {}\n"
WAYS = {
    "from plugins.models._nets import TWICE": "TWICE",
    "from plugins.models import _nets": "_nets.TWICE",
    "from plugins.models import _nets as n": "n.TWICE",
    "import plugins.models._nets as n": "n.TWICE",
    "from ..models._nets import TWICE as T": "T",
    "from ..models import _nets": "_nets.TWICE",
    "def f():\n    from plugins.models._nets import TWICE\n    return TWICE\n": "f()",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for folder in ("tasks", "models"):
        (tmp_path / folder).mkdir()
    (tmp_path / "models" / "_nets.py").write_text(NETS)
    (tmp_path / "models" / "_deeper.py").write_text(DEEPER.format(3))
    return tmp_path


def write(root: Path, imports: str, value: str = "1") -> None:
    (root / "tasks" / "uses.py").write_text(PLUGIN.format(imports=imports, value=value))


def loss_of(text: str) -> float:
    (plugin,) = load_source(text, "tasks/uses.py")
    classes = PluginSet(plugin)
    classes.include(helpers.shipped_tasks())
    datasets = {"data": helpers.blobs(40)}
    task = helpers.task("reconstruction", key="uses").model_copy(update={"task_class": "Uses"})
    _, sink = helpers.run(helpers.job(datasets, [task], steps=1), datasets, classes)
    return float(sink.history()["raw/uses"][0])


@pytest.mark.parametrize("imports", WAYS)
def test_helpers_and_their_helpers_are_found_and_kept_however_they_are_imported(
    root: Path, imports: str
) -> None:
    write(root, imports, WAYS[imports])
    found = Finder(root).find()["tasks/uses.py"]
    own, parts = split(found.text)
    assert own == (root / "tasks" / "uses.py").read_text()
    assert parts == {"models/_deeper.py": DEEPER.format(3), "models/_nets.py": NETS}
    for file in root.rglob("*.py"):
        file.unlink()  # what is kept is enough
    write(root, "", "6")
    assert loss_of(found.text) == pytest.approx(loss_of((root / "tasks" / "uses.py").read_text()))
    assert not any(name.startswith("plugins.") for name in sys.modules)


def test_a_changed_helper_is_a_new_version_and_the_old_one_still_works(root: Path) -> None:
    write(root, "from plugins.models._nets import TWICE", "TWICE")
    finder = Finder(root)
    old = finder.find()["tasks/uses.py"]
    (root / "models" / "_deeper.py").write_text(DEEPER.format(5))
    new = finder.find()["tasks/uses.py"]
    assert old.sha256 != new.sha256
    assert loss_of(new.text) == pytest.approx(loss_of(old.text) * 5 / 3)
    assert finder.find()["tasks/uses.py"] == new


def test_what_has_not_changed_is_not_put_together_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "CLOCK_GRAIN_NS", 0)
    write(root, "from plugins.models._nets import TWICE", "TWICE")
    (root / "tasks" / "alone.py").write_text(PLUGIN.format(imports="", value="1"))
    finder = Finder(root)
    made: list[str] = []

    def noted(path: str, text: str, read: Callable[[str], str | None]) -> str:
        made.append(path)
        return composed(path, text, read)

    monkeypatch.setattr(scan, "composed", noted)
    first = finder.find()
    assert made == ["tasks/alone.py", "tasks/uses.py"]
    assert finder.find() == first
    assert made[2:] == []
    (root / "models" / "_deeper.py").write_text(DEEPER.format(50))
    second = finder.find()
    assert made[2:] == ["tasks/uses.py"]
    assert second["tasks/uses.py"] != first["tasks/uses.py"]
    (root / "models" / "_deeper.py").unlink()
    gone = finder.find()["tasks/uses.py"]
    assert split(gone.text)[1] == {"models/_nets.py": NETS}
    (root / "models" / "_deeper.py").write_text(DEEPER.format(3))  # one that was not there is looked for, too
    assert finder.find() == first


@pytest.mark.parametrize("ending", ["\n", ""])
def test_a_helper_with_a_line_that_marks_helpers_is_refused_and_not_cut_in_two(
    root: Path, ending: str
) -> None:
    write(root, "from plugins.models._nets import TWICE", "TWICE")
    registry = PluginRegistry(root)
    registry.scan()
    (root / "models" / "_deeper.py").write_text(f"SCALE = 3\n# acc: helper models/_other.py{ending}")
    assert [(change.path, change.what) for change in registry.scan()] == [("tasks/uses.py", "broken")]
    message = registry.errors["tasks/uses.py"].message
    assert message.startswith("a line of its helper models/_deeper.py begins with '# acc: helper '")
    (root / "models" / "_deeper.py").write_text(DEEPER.format(3))
    assert [(change.path, change.what) for change in registry.scan()] == [("tasks/uses.py", "loaded")]


def test_the_registry_loads_a_plugin_again_when_its_helper_is_saved(root: Path) -> None:
    write(root, "from plugins.models._nets import TWICE", "TWICE")
    registry = PluginRegistry(root)
    assert [(change.path, change.what) for change in registry.scan()] == [("tasks/uses.py", "loaded")]
    assert registry.scan() == []
    (root / "models" / "_nets.py").write_text(NETS + "more = (\n")
    assert [(change.path, change.what) for change in registry.scan()] == [("tasks/uses.py", "broken")]
    error = registry.errors["tasks/uses.py"]
    assert "its helper models/_nets.py cannot be imported: syntax error" in error.message
    assert "line 4" in error.message
    assert error.line == 3
    (root / "models" / "_nets.py").write_text(NETS)
    assert [(change.path, change.what) for change in registry.scan()] == [("tasks/uses.py", "loaded")]


def test_a_checkpoint_carries_the_helpers_of_what_made_it(root: Path, tmp_path: Path) -> None:
    write(root, "from plugins.models._nets import TWICE", "TWICE")
    registry = PluginRegistry(root)
    registry.scan()
    classes = PluginSet(*registry.classes("task").values())
    datasets = {"data": helpers.blobs(40)}
    task = helpers.task("reconstruction", key="uses").model_copy(update={"task_class": "Uses"})
    _, sink = helpers.run(helpers.job(datasets, [task], steps=1), datasets, classes)
    kept: Any = sink.last.header.plugins["Uses"]
    assert split(kept["source"])[1].keys() == {"models/_nets.py", "models/_deeper.py"}
    assert load_source(kept["source"], kept["path"], kept["sha256"])


@pytest.mark.parametrize(
    ("imports", "what"),
    [
        (
            "from plugins.models._gone import x",
            r"imports plugins\.models\._gone\.x, and there is neither plugins/models/_gone\.py nor",
        ),
        ("from ._gone import x", r"imports plugins\.tasks\._gone\.x, and there is neither"),
        *(
            (way, rf"'{re.escape(way)}' names no file; name the file: from plugins\.models\._nets import mlp")
            for way in (
                "import plugins",
                "import plugins as p",
                "from plugins import *",
                "from plugins.models import *",
                "from .. import *",
            )
        ),
        ("from ... import x", r"imports from above the plugins folder"),
        ("import plugins.models._nets", r"'import plugins\.models\._nets' cannot be kept; write 'from"),
        (
            "import importlib; importlib.import_module('plugins.models._nets')",
            r"imports plugins\.models.* in a way that",
        ),
        ("from plugins.models._loop import x", r"models/_loop\.py imports itself"),
        ("from plugins.models._django import x", r"its helper models/_django\.py, line 1: imports 'django'"),
    ],
)
def test_what_cannot_be_kept_is_refused_with_a_sentence_and_a_line(
    root: Path, imports: str, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "models" / "_loop.py").write_text("from plugins.models._loop import x\n")
    (root / "models" / "_django.py").write_text("import django\n")
    write(root, imports)
    (root.parent / f"{root.name}-path").mkdir()
    (root.parent / f"{root.name}-path" / "plugins").symlink_to(root)
    monkeypatch.syspath_prepend(root.parent / f"{root.name}-path")
    for name in [name for name in sys.modules if name.split(".")[0] == "plugins"]:
        monkeypatch.delitem(sys.modules, name)
    found = Finder(root).find()["tasks/uses.py"]
    with pytest.raises(PluginError, match=what):
        load_source(found.text, found.path, found.sha256)


def test_helpers_that_import_each_other_are_refused(root: Path) -> None:
    (root / "models" / "_deeper.py").write_text("from plugins.models._nets import TWICE\n")
    write(root, "from plugins.models._nets import TWICE")
    found = Finder(root).find()["tasks/uses.py"]
    with pytest.raises(PluginError, match=r"_nets\.py and models/_deeper\.py import each other") as caught:
        load_source(found.text, found.path, found.sha256)
    assert caught.value.line == 3


def test_a_plugin_without_helpers_is_its_file() -> None:
    text = "import torch\n\nx = 1"
    assert (
        composed("tasks/a.py", text, lambda _: None) is text
        or composed("tasks/a.py", text, lambda _: None) == text
    )
    assert split(text) == (text, {})
