"""The walks through the house name files that are there, and methods that are in them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "architecture.md").read_text()
STEPS = re.findall(r"^\d+\. (`[^:]+`.*)$", TEXT, re.MULTILINE)


def test_there_are_four_walks() -> None:
    assert len(re.findall(r"^\*\*A .+\*\*$", TEXT, re.MULTILINE)) == 4
    assert STEPS


@pytest.mark.parametrize("step", STEPS)
def test_a_step_names_files_that_are_there_and_what_is_in_them(step: str) -> None:
    names = re.findall(r"`([\w/.]+)`", step)
    files = [name for name in names if "/" in name]
    assert files
    beside = (ROOT / files[0]).parent.parent
    there = [
        path for path in ((ROOT / name, beside / name) for name in files) if any(p.is_file() for p in path)
    ]
    assert len(there) == len(files), files
    text = "".join(p.read_text() for path in there for p in path if p.is_file())
    assert not [name for name in names if "/" not in name and name not in text]
