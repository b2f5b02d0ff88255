"""``make test ARGS=changed`` runs the tests that are nearest to a change."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from scripts import changed

IMPORTERS = {
    "acc.text": {"acc.tests.test_text", "accsite.apps.jobs.models"},
    "accsite.apps.jobs.models": {"accsite.apps.jobs.tests.test_rows", "acc.text"},  # a circle ends, too
}
TESTS = {
    "acc/tests/test_text.py": "",
    "accsite/apps/jobs/tests/test_rows.py": "opens queue.html",
    "accsite/apps/jobs/tests/test_pages.py": "",
    "tests/docs/test_links.py": "",
}


@pytest.mark.parametrize(
    ("path", "near"),
    [
        ("acc/text.py", {"acc/tests/test_text.py": 1, "accsite/apps/jobs/tests/test_rows.py": 2}),
        ("acc/tests/test_text.py", {"acc/tests/test_text.py": 0}),
        (
            "accsite/apps/jobs/templates/jobs/queue.html",
            {
                "accsite/apps/jobs/tests/test_rows.py": changed.NAMED,
                "accsite/apps/jobs/tests/test_pages.py": changed.SAME_ROOM,
            },
        ),
        ("docs/metrics.md", {"tests/docs/test_links.py": changed.SAME_ROOM}),
        ("LICENSE", {}),
    ],
)
def test_near_is_what_imports_or_names_a_file_or_stands_beside_it(path: str, near: dict[str, int]):
    assert changed.distances([path], IMPORTERS, TESTS) == near


def test_the_tests_of_a_module_come_first_and_what_a_minute_does_not_hold_is_counted():
    choice = changed.choose(["acc/text.py"], seconds=10, took={})
    assert "acc/tests/test_text.py" in choice.files
    assert choice.left > 20
    assert len(choice.files) < 30


def test_a_test_that_was_itself_edited_is_run_however_long_it_takes():
    assert changed.choose(["acc/tests/test_text.py"], seconds=0).files == ["acc/tests/test_text.py"]


def test_what_is_not_committed_has_changed_and_otherwise_the_newest_commit(tmp_path: Path):
    def git(*words: str) -> None:
        told = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c", *words]
        subprocess.run(told, cwd=tmp_path, check=True, capture_output=True)

    git("init", "--quiet")
    for name in ("one.py", "two.py"):
        (tmp_path / name).write_text("")
        git("add", ".")
        git("commit", "--quiet", "--message", name)
    assert changed.files_changed(root=tmp_path) == ["two.py"]
    (tmp_path / "three.py").write_text("")
    assert changed.files_changed(root=tmp_path) == ["three.py"]
    assert changed.files_changed("HEAD~1", root=tmp_path) == ["three.py", "two.py"]
