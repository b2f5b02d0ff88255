"""What came with a checkpoint is kept only if it could be a file of text with a name that hides nothing."""

from __future__ import annotations

import hashlib

import pytest

from acc.errors import InvalidInput
from accsite.apps.registry import approval
from accsite.apps.registry.models import PluginSource

pytestmark = pytest.mark.django_db


def keep(text: str = "x = 1\n", path: str = "tasks/mine.py") -> PluginSource:
    sha256 = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    return approval.keep(sha256=sha256, path=path, text=text, origin="came with a checkpoint")


@pytest.mark.parametrize("text", ["x = 1\0", "x = '\ud800'"])
def test_a_source_that_no_file_can_hold_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="is not text"):
        keep(text)


@pytest.mark.parametrize("path", ["\x1b[2J.py", "a\nb.py", "\ud800.py", "a\u202e.py", "x" * 300])
def test_a_path_that_would_hide_something_or_is_too_long_is_refused(path: str) -> None:
    with pytest.raises(InvalidInput, match="is not the path of a plugin"):
        keep(path=path)
    assert not PluginSource.objects.exists()


def test_another_is_kept_and_may_not_run() -> None:
    kept = keep(path="tasks/Größe und mehr.py")
    assert (kept.path, kept.may_run) == ("tasks/Größe und mehr.py", False)
