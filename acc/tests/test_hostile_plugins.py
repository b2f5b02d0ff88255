"""Whatever a plugin file does at import is told in its own words, and keeps no other file waiting."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from acc.hashes import text_sha256
from acc.plugins.checker import Checker
from acc.plugins.report import Report
from acc.plugins.scan import FoundFile

GOOD = """
from acc.api import Task

class Fine(Task):
    '''A fine task.'''
    def compute_loss(self, output, batch, head):
        return output.mean.square().mean()
"""


def file(text: str, path: str = "tasks/a.py") -> FoundFile:
    return FoundFile(path, text, text_sha256(text))


@pytest.fixture(scope="module")
def checker() -> Iterator[Checker]:
    one = Checker(limit_seconds=1.0)
    one.wait_until_ready()
    yield one
    one.close()


def report(checker: Checker, text: str) -> Report:
    return checker.check([file(text)])["tasks/a.py"]


def test_a_good_file_is_described(checker: Checker) -> None:
    found = report(checker, GOOD)
    assert found["error"] == ""
    assert [(each["kind"], each["name"], each["label"]) for each in found["classes"]] == [
        ("task", "Fine", "Fine")
    ]
    assert found["classes"][0]["description"] == "A fine task."


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("def x(:\n", 1, "syntax error: "),
        ("x = 1\nimport nowhere_at_all\n", 2, "cannot import 'nowhere_at_all': it is not installed"),
        ("from acc.api import Nothing\n", 1, "import error: cannot import name 'Nothing'"),
        (
            "x = 1\n\nraise ValueError('no\\0 good \\ud800')\n",
            3,
            "raises ValueError at import: no\ufffd good",
        ),
        ("def f():\n    return 1 / 0\nf()\n", 2, "raises ZeroDivisionError at import"),
        ("import sys\nsys.exit(3)\n", 2, "calls sys.exit at import"),
        ("raise KeyboardInterrupt\n", None, "raises KeyboardInterrupt at import"),
        ("import os\nos._exit(7)\n", None, "ended the process that imported it (exit status 7)"),
        ("import os\nos.kill(os.getpid(), 11)\n", None, "(killed by SIGSEGV)"),
        ("import os\nos.abort()\n", None, "(killed by SIGABRT)"),
        ("x = 1\nb = bytearray(1 << 36)\n", 2, "asks for more memory"),
        ("import time\ntime.sleep(30)\n", 2, "took longer than 1 s to import and was stopped"),
        ("x = 0\nwhile True: x += 1\n", 2, "took longer than 1 s"),
        (
            "import signal, time\nsignal.signal(14, signal.SIG_IGN)\ntime.sleep(30)\n",
            None,
            "took longer than 1 s",
        ),
        (
            "import time\ntry:\n    time.sleep(30)\nexcept BaseException:\n    pass\n",
            3,
            "took longer than 1 s",
        ),
        ("import accsite.urls\n", 1, "imports 'accsite.urls'; a plugin imports acc.api and libraries"),
        ("from . import other\n", 1, "imports plugins.tasks.other, and there is neither"),
        ("x = 1\n", 1, "defines no class that is a Task, DatasetGenerator, Recipe, Model"),
        ("", 1, "defines no class"),
        ("x = '\0'\n", None, "null bytes"),
    ],
)
def test_what_goes_wrong_is_told_with_its_line(
    checker: Checker, text: str, line: int | None, words: str
) -> None:
    found = report(checker, text)
    assert words in found["error"]
    assert found["classes"] == []
    if line is not None:
        assert found["line"] == line
        assert found["context"] == "" or f"> {line:4} | " in found["context"]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (
            "class Empty(Task): ...",
            "class Empty(Task) does not define compute_loss; a task must define compute_loss",
        ),
        ("class Empty(Recipe): ...", "class Empty(Recipe) does not define run"),
        ("class Empty(Model): ...", "does not define posterior and decode_logits"),
        ("class Empty(DatasetGenerator): ...", "does not define generate"),
        (
            "import abc\nclass Half(Task, abc.ABC):\n    @abc.abstractmethod\n    def compute_loss(self, o, b, h): ...",
            "class Half is abstract: it must define compute_loss",
        ),
        (
            "class Odd(Task):\n    def compute_loss(self, output): ...",
            "class Odd: compute_loss(self, output) cannot be called as compute_loss(self, output, batch, head)",
        ),
        (
            "class Odd(DatasetGenerator):\n    def generate(self, count, seed, progress=None): ...",
            "class Odd: generate(self, count, seed, progress=None) cannot be called as "
            "generate(self, n, seed, progress)",
        ),
        (
            "class Odd(Task):\n    p = Param(0, min=1)\n    def compute_loss(self, o, b, h): ...",
            "Odd: parameter 'p' has a bad default: 0 is below the least allowed, 1",
        ),
        (
            "class Odd(Task):\n    p = Param([1])\n    def compute_loss(self, o, b, h): ...",
            "parameter 'p': default [1] is a list; use int, float, bool or str",
        ),
        (
            "class Odd(Task):\n    target = Param('class')\n    def compute_loss(self, o, b, h): ...",
            "parameter 'target' has a name that Task needs itself",
        ),
        (
            "class Odd(Task):\n    target = 'colour'\n    def compute_loss(self, o, b, h): ...",
            "class Odd: target is 'colour'; use 'class', 'real' or None",
        ),
        (
            "class Odd(Task):\n    metrics = ['accuracy']\n    def compute_loss(self, o, b, h): ...",
            "use a dict of name -> whether higher is better",
        ),
        (
            "class Odd(Task):\n    def __init__(self, must): ...\n    def compute_loss(self, o, b, h): ...",
            "class Odd cannot be made with its default parameters: TypeError",
        ),
        (
            "class Same(Task):\n    def compute_loss(self, o, b, h): ...\nSave = Same\n"
            "class Same(Task):\n    def compute_loss(self, o, b, h): ...",
            "defines class Same twice",
        ),
    ],
)
def test_a_class_that_will_not_do_is_told_by_name_at_its_line(
    checker: Checker, body: str, words: str
) -> None:
    text = f"from acc.api import *\n{body}\n"
    found = report(checker, text)
    assert words in found["error"]
    assert found["line"] is not None
    assert found["line"] >= 2
    assert "> " in found["context"]


def test_a_base_that_others_build_upon_need_not_be_complete(checker: Checker) -> None:
    text = "from acc.api import Task\nclass Base(Task): ...\n"
    text += "class Whole(Base):\n    def compute_loss(self, o, b, h): ...\n"
    assert [each["name"] for each in report(checker, text)["classes"]] == ["Whole"]


def test_a_class_with_two_names_or_a_leading_underscore_is_offered_once_or_not(checker: Checker) -> None:
    text = GOOD + "\nAlias = Fine\nclass _Hidden(Fine): ...\n"
    assert [each["name"] for each in report(checker, text)["classes"]] == ["Fine"]


def test_what_a_file_prints_is_kept_and_disturbs_nothing(checker: Checker) -> None:
    found = report(checker, "import os\nprint('hello')\nos.write(1, b'{\"raw\": 1}\\n')\n" + GOOD)
    assert found["error"] == ""
    assert set(found["output"].split()) == {"hello", '{"raw":', "1}"}


def test_a_file_that_prints_without_end_is_stopped_and_its_output_cut(checker: Checker) -> None:
    found = report(checker, "while True:\n    print('x' * 1000)\n")
    assert "took longer than 1 s" in found["error"]


def test_a_byte_order_mark_does_no_harm(checker: Checker) -> None:
    assert report(checker, "\ufeff" + GOOD)["error"] == ""


def test_a_file_has_its_own_future_imports_and_not_the_loaders(checker: Checker) -> None:
    text = GOOD + "\nclass Plain:\n    x: int = 1\nassert Plain.__annotations__ == {'x': int}\n"
    assert report(checker, text)["error"] == ""


def test_processes_that_a_file_starts_end_with_its_check(checker: Checker, tmp_path: Any) -> None:
    mark = tmp_path / "pid"
    text = (
        "import os, time\npid = os.fork()\n"
        f"if not pid:\n    open({str(mark)!r}, 'w').write(str(os.getpid()))\n    time.sleep(60)\n" + GOOD
    )
    assert report(checker, text)["error"] == ""
    for _ in range(100):
        if mark.exists() and mark.read_text() and not alive(int(mark.read_text())):
            return
        time.sleep(0.02)
    if mark.exists():
        pytest.fail("the process lives on")


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in {"Z", "X"}
    except OSError:
        return False


def test_files_that_hang_keep_no_other_waiting(checker: Checker) -> None:
    for number in range(12):
        checker.submit(file("while True: pass\n", f"tasks/hangs{number}.py"))
    time.sleep(0.1)
    began = time.monotonic()
    checker.submit(file(GOOD, "tasks/good.py"))
    found: dict[str, Report] = {}
    while "tasks/good.py" not in found:
        assert time.monotonic() - began < 10
        found |= {answer.file.path: answer.report for answer in checker.receive(0.1)}
    took = time.monotonic() - began
    assert found["tasks/good.py"]["error"] == ""
    while len(found) < 13:
        assert time.monotonic() - began < 20
        found |= {answer.file.path: answer.report for answer in checker.receive(0.1)}
    assert took < 4 * checker.limit_seconds
    assert all("took longer" in found[f"tasks/hangs{number}.py"]["error"] for number in range(12))


def test_only_the_newest_version_of_a_file_is_answered(checker: Checker) -> None:
    checker.submit(file("import time\ntime.sleep(30)\n"))
    checker.submit(file("raise ValueError\n"))
    checker.submit(file(GOOD))
    began = time.monotonic()
    answers = []
    while time.monotonic() - began < checker.limit_seconds + 1.5:
        answers += checker.receive(0.1)
    assert [(answer.file.text, answer.report["error"]) for answer in answers] == [(GOOD, "")]


def test_a_check_server_that_is_killed_is_started_again_and_answers(checker: Checker) -> None:
    process = checker._process
    assert process is not None
    checker.submit(file("import time\ntime.sleep(0.5)\n" + GOOD))
    process.kill()
    found = checker.check([file(GOOD + "\n# again\n", "tasks/b.py")])
    assert found["tasks/b.py"]["error"] == ""
    assert checker._process is not process


def test_a_hundred_files_are_looked_at_together(checker: Checker) -> None:
    files = [file(GOOD.replace("Fine", f"Fine{number}"), f"tasks/t{number}.py") for number in range(100)]
    reports = checker.check(files)
    assert [reports[f"tasks/t{number}.py"]["error"] for number in range(100)] == [""] * 100


def test_versions_that_come_faster_than_they_are_looked_at_end_with_the_last(checker: Checker) -> None:
    for number in range(200):
        checker.submit(file(f"while {number % 2}: pass\n" + GOOD + f"# {number}\n"))
        time.sleep(0.002)
    last = file(GOOD + "# last\n")
    assert checker.check([last])["tasks/a.py"]["error"] == ""
