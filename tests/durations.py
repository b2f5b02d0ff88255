"""A pytest plugin: says which tests take so long that ``make test`` should leave them to ``make test-all``.

A test that does carries ``@pytest.mark.long(seconds)``, about the seconds that it took on two cores; so does one that
is shorter and does in another setting what a test beside it does. There is no list of them: a mark moves with its test.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import pytest

LONG_SECONDS = 15.0
"""An unmarked test that takes more is told of, and fails nothing: on a busy machine everything takes longer."""
DIVIDING = ("long", "slow")


def pytest_configure(config: pytest.Config) -> None:
    """Begin to measure."""
    config.pluginmanager.register(Durations(), "durations")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse a mark that does not say how long."""
    for item in items:
        for mark in item.iter_markers("long"):
            if len(mark.args) != 1 or mark.kwargs or not isinstance(mark.args[0], int | float):
                raise pytest.UsageError(f"{item.nodeid}: long takes the seconds that were measured, long(20)")


class Durations:
    """Tells of tests that took long and are not marked; what others share, a fixture of a session, is not theirs."""

    def __init__(self) -> None:
        self.took: dict[str, float] = defaultdict(float)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep how long a test took."""
        if report.when == "call" and not any(mark in report.keywords for mark in DIVIDING):
            self.took[report.nodeid] += report.duration

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Say which are over the limit."""
        over = {name: seconds for name, seconds in self.took.items() if seconds > LONG_SECONDS}
        if over:
            terminalreporter.section(f"took more than {LONG_SECONDS:g} s and are not marked long")
            for name, seconds in sorted(over.items(), key=lambda each: -each[1]):
                terminalreporter.line(f"{seconds:.0f} s  {name}")
