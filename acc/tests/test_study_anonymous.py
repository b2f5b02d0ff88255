"""A page of a study that is asked to be anonymous names no path, nobody and no machine, and is the same otherwise."""

from __future__ import annotations

import re

import pytest

from acc.studies import Measured, Result, Study
from acc.studies import report as reports

HOST = "lab7.example.org"
REASONS = (
    "OSError: no space left on /scratch/ada/run-7/weights.bin, line 12",
    "FileNotFoundError: '/home/ada lovelace/my data/x.npz' is not there",
    "ConnectionError: s3://adas-bucket/x and http://lab7:8000/ do not answer",
    "lab7 went down while Ada was away; see ~/notes/today.txt",
    r"C:\Users\ada\x.npz: wrong kind",
)
NAMES = ("ada", "lab7", "lovelace", "scratch", "bucket", "notes", "npz", "weights.bin")


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine and its user have names that are known."""
    monkeypatch.setattr("socket.gethostname", lambda: HOST)
    monkeypatch.setenv("LOGNAME", "ada")
    monkeypatch.setenv("HOME", "/home/ada")


def page(*, anonymous: bool) -> str:
    study = Study(
        name="ada's study",
        settings={
            "train": {"lr": 0.001},
            "model": {"params": {"file": "/data/ada/model.json", "ratio": "1/2"}},
        },
        arms=[{"name": "a"}, {"name": "b & ada"}],
        seeds=len(REASONS) + 1,
        outcomes=[{"name": "loss"}],
        claims=["b & ada < a on loss"],
    )
    found = [
        Result(
            arm=arm,
            seed=0,
            status="succeeded",
            values={"loss": Measured(value=value)},
            facts={"torch": "2.9"},
        )
        for arm, value in (("a", 5.0), ("b & ada", 4.0))
    ]
    found += [Result(arm="a", seed=at, status="failed", reason=why) for at, why in enumerate(REASONS, 1)]
    return reports.html(study, found, anonymous=anonymous)


def test_neither_paths_nor_names_are_left() -> None:
    for name in NAMES:
        word = re.compile(rf"(?<!\w){re.escape(name)}", re.IGNORECASE)
        assert word.search(page(anonymous=False)), name
        assert not word.search(page(anonymous=True)), name


def test_all_else_stays_as_it_was() -> None:
    told, hidden = page(anonymous=False), page(anonymous=True)
    assert re.findall(r"<[a-z]+", hidden) == re.findall(r"<[a-z]+", told), "the same elements"
    assert re.findall(r"\d+\.\d+", reports.STYLE) == re.findall(r"\d+\.\d+", hidden.split("</style>")[0])
    for said in (
        "no space left on (path), line 12",
        "(host) went down while (user) was away; see (path)",
        "1/2",
    ):
        assert said in hidden
    assert "b &amp; (user)" in hidden
    assert "&quot;file&quot;: &quot;(path)&quot;" in hidden
    assert "loss by arm" in hidden
    assert "root" in reports.without_names("the root of this seed failed")
