"""The page about studies does what it says: its blocks run as they stand, but for fewer steps and seeds."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest

from acc.tests import helpers

PAGE = helpers.NOTEBOOK_PAGE.with_name("howto") / "study.md"


def test_the_blocks_of_the_page_run_one_after_the_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names: dict[str, Any] = {}
    with contextlib.chdir(tmp_path):
        for block in helpers.blocks(PAGE):
            quick = block.replace("seeds=7", "seeds=2").replace("steps=60", "steps=2")
            exec(compile(quick, str(PAGE), "exec"), names)
        assert (tmp_path / "kl" / "study.html").exists()
    run = names["run"]
    assert all(result.status == "succeeded" for result in run.results)
    assert all(value.value is not None for result in run.results for value in result.values.values())
    assert "is not decided yet: 2 seeds cannot decide 2 claims" in capsys.readouterr().out


def test_numbers_from_anywhere_are_judged_without_a_run() -> None:
    names: dict[str, Any] = {}
    exec(compile(helpers.blocks(PAGE)[-1], str(PAGE), "exec"), names)
    (verdict,) = names["judge"](names["plan"], names["found"])
    assert verdict.decision == "decided for"
    assert verdict.sentence.startswith("On loss, 'b' is below 'a': mean paired difference -0.9")
