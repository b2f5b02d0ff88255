"""The runner's last line is a plain count, and nothing that went wrong is left out of it."""

from __future__ import annotations

import os

import pytest

from scripts import chromium
from scripts.test import Count, count_junit, postgresql, run_pytest

# A session inside the session needs none of the suite's own set-up.
BARE = ("-c", os.devnull, "--noconftest", "-p", "no:django")
JUNIT = (
    '<testsuites><testsuite name="pytest" tests="{tests}" failures="{failures}" errors="{errors}" '
    'skipped="{skipped}"/></testsuites>'
)


def test_a_count_reads_as_a_plain_sentence():
    assert str(Count(3, 0)) == "3 passed, 0 failed"
    assert str(Count(3, 1, 2) + Count(1, 0, 0)) == "4 passed, 1 failed, 2 skipped"


def test_errors_count_as_failures(tmp_path):
    path = tmp_path / "report.xml"
    path.write_text(JUNIT.format(tests=10, failures=1, errors=2, skipped=3))
    assert count_junit(path) == Count(4, 3, 3)


@pytest.mark.parametrize("text", [None, "<testsuites><tests"])
def test_a_report_that_is_missing_or_cut_off_is_a_failure(tmp_path, text):
    path = tmp_path / "report.xml"
    if text is not None:
        path.write_text(text)
    assert count_junit(path) == Count(failed=1)


def test_a_pass_that_selects_nothing_is_a_failure(tmp_path, monkeypatch):
    monkeypatch.setattr("scripts.test.RESULTS", tmp_path)
    (tmp_path / "test_empty.py").write_text("")
    assert run_pytest("empty", str(tmp_path / "test_empty.py"), *BARE) == Count(failed=1)


def test_a_pass_is_counted_from_what_pytest_wrote(tmp_path, monkeypatch):
    monkeypatch.setattr("scripts.test.RESULTS", tmp_path)
    path = tmp_path / "test_two.py"
    path.write_text("def test_a(): pass\ndef test_b(): assert 0\n")
    assert run_pytest("two", str(path), *BARE) == Count(1, 1)


def test_a_throw_away_postgresql_starts_and_leaves_nothing():
    import psycopg

    with postgresql() as url, psycopg.connect(url) as connection:
        assert connection.execute("SHOW fsync").fetchone() == ("off",)
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(url)


def test_a_named_browser_wins_and_must_exist(tmp_path, monkeypatch):
    browser = tmp_path / "browser"
    browser.touch()
    monkeypatch.setenv("ACC_CHROMIUM", str(browser))
    assert chromium.find() == browser
    monkeypatch.setenv("ACC_CHROMIUM", str(tmp_path / "gone"))
    with pytest.raises(chromium.NoChromium, match="not a file"):
        chromium.find()


def test_without_any_browser_the_sentence_says_what_to_do(monkeypatch):
    monkeypatch.delenv("ACC_CHROMIUM", raising=False)
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(chromium, "from_debian", lambda: None)
    monkeypatch.setattr(chromium, "from_playwright", lambda: None)
    with pytest.raises(chromium.NoChromium, match="ACC_CHROMIUM"):
        chromium.ensure()
