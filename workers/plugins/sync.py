"""Brings the plugin rows in line with the files on disk: what counts is a file's content."""

from __future__ import annotations

from pathlib import Path

from acc.plugins.checker import Answer, Checker
from acc.plugins.scan import Finder
from accsite.apps.registry import services
from accsite.apps.registry.services import FileReport, SyncResult


class PluginSync:
    """Looks at the plugin folders, has changed files checked, and writes what comes of it.

    ``scan`` and ``collect`` never wait for a file; what the database does not take is kept for the next call.
    """

    def __init__(self, root: Path, checker: Checker) -> None:
        self.checker = checker
        self.asked = 0  # files that the last scan found new or changed
        self._finder = Finder(root)
        self._asked: dict[str, str] = {}  # path -> sha256 that is being looked at, or was
        self._unwritten: dict[str, FileReport] = {}
        self._clashing: dict[str, FileReport] = {}  # wait for another file to give a name up
        self._written: set[str] = set()  # paths of files that have rows
        self._built_in: list[str] = []

    def begin(self) -> None:
        """Take in the architectures that come with ACC; the check server must be ready."""
        reports = [FileReport(**file, built_in=True) for file in self.checker.built_in]
        self._built_in = [report.path for report in reports]
        self._unwritten |= {report.path: report for report in reports}

    @property
    def is_waiting(self) -> bool:
        """Whether a file is still being looked at, or not yet written."""
        return bool(self._unwritten) or self.checker.is_waiting

    def scan(self) -> SyncResult:
        """Ask about files that are new or have changed, and write those that are gone."""
        files = self._finder.find()
        self.asked = 0
        for path, file in files.items():
            if self._asked.get(path) != file.sha256:
                self.asked += 1
                self._asked[path] = file.sha256
                self._unwritten.pop(path, None)
                self.checker.submit(file)
        for path in self._asked.keys() - files.keys():
            del self._asked[path]
            self._unwritten.pop(path, None)
        return self._write()

    def collect(self) -> SyncResult:
        """Take in the answers that are there, and write them."""
        for answer in self.checker.receive():
            if self._asked.get(answer.file.path) == answer.file.sha256:
                self._unwritten[answer.file.path] = _report(answer)
        return self._write()

    def _write(self) -> SyncResult:
        gone = self._written - self._asked.keys()
        if not self._unwritten and not gone:
            return SyncResult()
        # Whatever changes may resolve a clash of names.
        again = {path: report for path, report in self._clashing.items() if path in self._asked}
        reports = {**again, **self._unwritten}
        result = services.sync(list(reports.values()), present=[*self._asked, *self._built_in])
        self._written = (self._written | reports.keys()) & self._asked.keys()
        self._unwritten.clear()
        self._clashing = {
            path: reports[path] for path in result.broken if path in reports and not reports[path].error
        }
        return result


def _report(answer: Answer) -> FileReport:
    file = answer.file
    return FileReport(path=file.path, sha256=file.sha256, text=file.text, **answer.report)
