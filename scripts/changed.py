"""Finds the unit tests nearest to a change, as many as a minute holds: ``make test ARGS=changed``.

Near is what imports a changed file, directly or by way of others. For a file that Python does not import (a
template, a script, a document) it is a test that names it, then the tests of its app. What the minute does not hold
is left for ``make test``.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import grimp

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("acc", "accsite", "workers", "tests", "scripts")
SECONDS = 70.0
"""How long the chosen tests took alone, one after the other; two at a time and a start make it less than a minute."""
USUAL_SECONDS = 2.0
"""What a file of tests is taken to need that was never timed here."""
NAMED, SAME_ROOM = 1, 3
"""How near a test is that names a file, or that is of the same app or folder: in steps of imports."""
OTHER_PASSES = ("tests/faults/", "tests/e2e/", "tests/demo/", "tests/containers/", "tests/gpu/")
ROOMS = {"docs": "tests/docs", "accsite": "accsite/tests", "plugins": "acc/tests", "workers": "workers/tests"}
"""Where the tests are of files that no module imports and that belong to no app, by their folder."""


@dataclass(frozen=True)
class Choice:
    """The test files to run, nearest first, and how many more a change can touch."""

    files: list[str]
    left: int


def files_changed(since: str = "", root: Path = ROOT) -> list[str]:
    """Return the paths that differ from a commit, new files with them.

    since: a revision; none given: the newest commit, or the one before it when nothing has changed since.
    """
    if since:
        return _differing(since, root)
    return _differing("HEAD", root) or _differing("HEAD~1", root)


def choose(
    changed: Iterable[str],
    seconds: float = SECONDS,
    root: Path = ROOT,
    took: Mapping[str, float] | None = None,
) -> Choice:
    """Return the test files that a change of these paths can touch, as many of the nearest as ``seconds`` hold.

    took: the seconds that each file takes; None: as in the last unit pass.
    """
    tests = _tests(root)
    near = distances(changed, _importers(), tests)
    took = _timings(root) if took is None else took
    chosen: list[str] = []
    for path in sorted(near, key=lambda path: (near[path], took.get(path, USUAL_SECONDS), path)):
        needs = took.get(path, USUAL_SECONDS)
        if near[path] == 0 or needs <= seconds:  # what was itself edited is always run
            seconds -= needs
            chosen.append(path)
    return Choice(chosen, len(near) - len(chosen))


def distances(
    changed: Iterable[str], importers: Mapping[str, Iterable[str]], tests: Mapping[str, str]
) -> dict[str, int]:
    """Return how far each test file is from a change, 0 for one that was changed; without those it cannot touch.

    importers: module -> the modules that import it. tests: path of a test file -> its text.
    """
    found: dict[str, int] = {}

    def reach(path: str, steps: int) -> None:
        if path in tests:
            found[path] = min(steps, found.get(path, steps))

    modules: set[str] = set()
    for path in changed:
        reach(path, 0)
        if path.endswith(".py") and path.split("/")[0] in PACKAGES:
            modules.add(_module(path))
            continue
        for test, text in tests.items():
            if Path(path).name in text:
                reach(test, NAMED)
            elif _room(path) and test.startswith(f"{_room(path)}/"):
                reach(test, SAME_ROOM)
    steps, seen = 0, set(modules)
    while modules:
        steps += 1
        modules = {each for module in modules for each in importers.get(module, ())} - seen
        seen |= modules
        for module in modules:
            reach(module.replace(".", "/") + ".py", steps)
    return found


def _differing(revision: str, root: Path) -> list[str]:
    commands = (
        ["git", "diff", "--name-only", revision],
        ["git", "ls-files", "--others", "--exclude-standard"],
    )
    said = [
        subprocess.run(each, cwd=root, capture_output=True, text=True, check=True).stdout for each in commands
    ]
    return sorted({line for output in said for line in output.splitlines()})


def _importers() -> dict[str, set[str]]:
    graph = grimp.build_graph(*PACKAGES, cache_dir=None)
    return {module: graph.find_modules_that_directly_import(module) for module in graph.modules}


def _tests(root: Path) -> dict[str, str]:
    """Return the files of unit tests by their paths, with their texts."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "test_*.py", "*/test_*.py"],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    return {
        path: (root / path).read_text(errors="replace")
        for path in listed
        if not path.startswith(OTHER_PASSES) and (root / path).is_file()
    }


def _timings(root: Path) -> dict[str, float]:
    """Return the seconds that each test file took in the last unit pass, if there was one."""
    took: dict[str, float] = {}
    try:
        cases = ElementTree.parse(root / "test-results" / "unit-sqlite.xml").iter("testcase")  # noqa: S314
        for case in cases:
            names = (case.get("classname") or "").split(".")
            last = max((at for at, name in enumerate(names) if name.startswith("test_")), default=len(names))
            path = "/".join(names[: last + 1]) + ".py"
            took[path] = took.get(path, 0.0) + float(case.get("time") or 0)
    except (OSError, ElementTree.ParseError):
        return {}
    return took


def _module(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _room(path: str) -> str:
    """Return the folder in which a file's tests are: its app, or what ``ROOMS`` says; empty if there is none."""
    parts = path.split("/")
    return "/".join(parts[:3]) if parts[:2] == ["accsite", "apps"] else ROOMS.get(parts[0], "")
