"""What is on disk becomes rows; what goes wrong leaves the last good version in its place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from acc.errors import InvalidInput
from accsite.apps.live.selectors import versions
from accsite.apps.registry import selectors
from accsite.apps.registry.models import Plugin, PluginFile, PluginSource
from accsite.apps.registry.tests.reports import bad, good, look

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]


def names(**where: Any) -> set[str]:
    """Return the names of the classes that can be chosen."""
    return set(Plugin.objects.filter(available=True, **where).values_list("name", flat=True))


def version() -> int:
    return versions(["registry"])["registry"]


def test_a_new_file_brings_its_classes_its_source_and_a_signal() -> None:
    before = version()
    report = good("tasks/a.py", "One", "Two", text="source")
    assert look(report).loaded == ["tasks/a.py"]
    assert names() == {"One", "Two"}
    assert PluginSource.objects.get(pk=report.sha256).text == "source"
    assert PluginFile.objects.get(path="tasks/a.py").error == ""
    assert version() == before + 1


def test_a_look_that_finds_nothing_new_signals_nothing() -> None:
    look(good("tasks/a.py", "One"))
    before = version()
    look(present=["tasks/a.py"])
    assert version() == before


def test_a_broken_file_keeps_its_classes_and_shows_its_error() -> None:
    first = good("tasks/a.py", "One")
    look(first)
    result = look(bad("tasks/a.py"))
    assert result.broken == {"tasks/a.py": "cannot import 'nowhere'"}
    assert names() == {"One"}
    assert Plugin.objects.get(name="One").source_id == first.sha256
    file = PluginFile.objects.get(path="tasks/a.py")
    assert (file.error, file.error_line, "> " in file.error_context) == ("cannot import 'nowhere'", 2, True)


def test_a_repaired_file_loses_its_error() -> None:
    look(bad("tasks/a.py"))
    assert names() == set()
    look(good("tasks/a.py", "One"))
    assert PluginFile.objects.get(path="tasks/a.py").error == ""
    assert names() == {"One"}


def test_a_deleted_file_takes_its_classes_out_of_the_choices_and_keeps_the_source() -> None:
    report = good("tasks/a.py", "One")
    look(report)
    assert look(present=[]).removed == ["tasks/a.py"]
    assert names() == set()
    assert not PluginFile.objects.exists()
    assert Plugin.objects.get(name="One").source_id == report.sha256


def test_a_class_renamed_inside_its_file_changes_its_name_in_the_choices() -> None:
    look(good("tasks/a.py", "Old"))
    look(good("tasks/a.py", "New"))
    assert names() == {"New"}
    assert Plugin.objects.filter(name="Old", available=False).exists()


def test_a_file_put_back_as_it_was_serves_its_old_source_again() -> None:
    old, new = good("tasks/a.py", "One", text="old"), good("tasks/a.py", "One", text="new")
    for report in (old, new, old):
        look(report)
        assert Plugin.objects.get(name="One").source_id == report.sha256
    assert PluginSource.objects.count() == 2


def test_the_second_file_with_a_name_is_refused_and_names_the_first() -> None:
    look(good("tasks/z.py", "Same"))
    result = look(good("tasks/a.py", "Same"), present=["tasks/z.py", "tasks/a.py"])
    assert result.broken == {
        "tasks/a.py": "class Same is already defined in tasks/z.py; give one of them another name"
    }
    assert Plugin.objects.get(name="Same").path == "tasks/z.py"


def test_a_refused_name_is_free_once_the_other_file_is_gone() -> None:
    look(good("tasks/z.py", "Same"))
    look(good("tasks/a.py", "Same"), present=["tasks/z.py", "tasks/a.py"])
    assert look(good("tasks/a.py", "Same")).loaded == ["tasks/a.py"]
    assert Plugin.objects.get(name="Same").path == "tasks/a.py"


@pytest.mark.parametrize(("source", "target"), [("tasks/a.py", "tasks/b.py"), ("tasks/b.py", "tasks/a.py")])
def test_a_class_that_moves_to_another_file_in_one_look_is_not_refused(source: str, target: str) -> None:
    look(good(source, "Mover", "Stays"), good(target, "Other"))
    result = look(good(source, "Stays"), good(target, "Other", "Mover"))
    assert result.broken == {}
    assert Plugin.objects.get(name="Mover").path == target
    assert names() == {"Mover", "Stays", "Other"}


def test_two_kinds_may_share_a_name() -> None:
    look(good("tasks/a.py", "Same"), good("recipes/a.py", "Same", kind="recipe"))
    assert Plugin.objects.filter(name="Same", available=True).count() == 2


def test_a_file_that_was_renamed_keeps_its_classes() -> None:
    look(good("tasks/a.py", "One"))
    look(good("tasks/b.py", "One", text="moved"))
    assert Plugin.objects.get(name="One", available=True).path == "tasks/b.py"


def test_what_is_written_already_changes_and_signals_nothing() -> None:
    reports = [good("tasks/a.py", "One"), bad("tasks/b.py")]
    look(*reports)
    before = version()
    rows = list(Plugin.objects.values()) + list(PluginFile.objects.values())
    again = look(*reports)
    assert (again.loaded, again.removed) == ([], [])
    assert again.broken == {"tasks/b.py": "cannot import 'nowhere'"}
    assert version() == before
    assert list(Plugin.objects.values()) + list(PluginFile.objects.values()) == rows


def test_what_is_still_to_be_read_is_told_to_who_asks_for_it(settings: Any, tmp_path: Path) -> None:
    settings.PLUGINS_ROOT = tmp_path
    (tmp_path / "recipes").mkdir()
    for name in ("new.py", "_helper.py", "README.md"):
        (tmp_path / "recipes" / name).touch()
    assert selectors.unread() == ["recipes/new.py"]
    with pytest.raises(InvalidInput, match="plugin files are still to be read, so try again in a moment"):
        selectors.get("recipe", "New")
    look(bad("recipes/new.py"))
    assert selectors.unread() == []
    with pytest.raises(InvalidInput, match="known: none$"):
        selectors.get("recipe", "New")
