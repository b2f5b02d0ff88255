"""Keeps the plugin rows in line with the files on disk: ``python -m workers.watcher [--once]``.

An event of the file system is only a hint to look; what counts is a file's content. A full rescan every two
seconds catches what no event told of. Plugin code runs in throw-away processes, never in this one, and a file
that hangs there keeps no other waiting. This process imports no torch.
"""

from __future__ import annotations

import argparse
import json
import os
import selectors
import signal
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog
from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer

from acc.plugins.checker import Answer, Checker
from acc.plugins.scan import FOLDERS, Finder
from accsite.supervisor.health import say_alive

if TYPE_CHECKING:
    from accsite.apps.registry.services import FileReport, SyncResult

QUIET_SECONDS = 0.02  # an editor's dance of events is over after that
RESCAN_SECONDS = 2.0
RETRY_SECONDS = 1.0
BURST = (
    12  # files looked at without a thought; beyond it as many as PER_SECOND, so that training keeps its pace
)
PER_SECOND = 2.5
MOST_OWED = 3  # files: however many are saved at once, the next look is not far
NICENESS = 3  # training comes first
STOP_CHECK_SECONDS = 0.2
JOIN_SECONDS = 5.0
CHANGES = {"created", "modified", "moved", "deleted", "closed"}  # a mere read makes events of other kinds

log = structlog.get_logger(__name__)


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
        from accsite.apps.registry.services import FileReport

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
        from accsite.apps.registry import services

        gone = self._written - self._asked.keys()
        if not self._unwritten and not gone:
            return services.SyncResult()
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


class Doorbell(FileSystemEventHandler):
    """Wakes the watcher when something below a plugin folder was written, moved or removed."""

    def __init__(self) -> None:
        self.reader, self._writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Ring, if it may concern a plugin."""
        paths = (os.fsdecode(event.src_path), os.fsdecode(event.dest_path))
        if event.event_type in CHANGES and (
            event.is_directory or any(path.endswith(".py") for path in paths)
        ):
            self.ring()

    def ring(self, *_: object) -> None:
        """Wake the watcher; also from a signal handler."""
        with suppress(BlockingIOError):  # it has been rung enough
            os.write(self._writer, b"!")

    def answer(self) -> None:
        """Stop the ringing."""
        with suppress(BlockingIOError):
            while os.read(self.reader, 4096):
                pass


class Pace:
    """Says when the next look may be: at once for a while, then so that few files a second are looked at.

    What is saved while it waits is seen by that one look.
    """

    def __init__(self, burst: int = BURST, per_second: float = PER_SECOND) -> None:
        self._burst, self._per_second = burst, per_second
        self._left, self._since = float(burst), time.monotonic()

    def spend(self, files: int) -> None:
        """Count files that were looked at."""
        self._left = max(self._now() - files, -float(MOST_OWED))

    def next(self) -> float:
        """Return when the next look may be, on the monotonic clock."""
        return time.monotonic() + max(0.0, 1 - self._now()) / self._per_second

    def _now(self) -> float:
        now = time.monotonic()
        self._left = min(float(self._burst), self._left + (now - self._since) * self._per_second)
        self._since = now
        return self._left


class Watcher:
    """Syncs at every hint and every RESCAN_SECONDS until ``stop``. The checker is its caller's to close."""

    def __init__(self, root: Path, checker: Checker) -> None:
        self.root = root
        self.doorbell = Doorbell()
        self.sync = PluginSync(root, checker)
        from workers.previews import PreviewDesk  # reads models, which are there once Django is set up

        self.desk = PreviewDesk(checker)
        self._pace = Pace()
        self._stopping = False

    def stop(self, *_: object) -> None:
        """End ``run`` soon; also a signal handler."""
        self._stopping = True
        self.doorbell.ring()

    def run(self) -> None:
        """Watch until ``stop``."""
        self.sync.checker.start()  # before there are threads
        observer = self._observe()
        try:
            while not self._stopping and not self.sync.checker.wait_until_ready(STOP_CHECK_SECONDS):
                pass
            self.sync.begin()
            self.desk.start()
            log.info("watching_plugins", root=str(self.root))
            self._loop()
        finally:
            self.desk.stop()
            if observer is not None:
                observer.stop()
                observer.join(JOIN_SECONDS)

    def _loop(self) -> None:
        next_scan, hinted = 0.0, False
        while not self._stopping:
            try:
                if time.monotonic() >= next_scan:
                    next_scan = time.monotonic() + RESCAN_SECONDS
                    hinted = False
                    tell(self.sync.scan())
                    self._pace.spend(self.sync.asked)
                rung = self._wait(max(0.0, next_scan - time.monotonic()), doorbell=not hinted)
                tell(self.sync.collect())
                self.desk.serve()
                say_alive()
                if rung and not self._stopping:
                    next_scan = min(next_scan, self._pace.next())
                    hinted = True  # it will look anyway; what rings meanwhile tells nothing new
            except Exception:
                # What was found is kept, and written as soon as there is a database to take it.
                log.exception("plugins_not_synced", hint=f"tried again in {RETRY_SECONDS:g} s")
                _close_connection()
                time.sleep(RETRY_SECONDS)

    def _wait(self, seconds: float, *, doorbell: bool) -> bool:
        """Wait for an answer, a hint or the time; return whether there was a hint, and quiet after it."""
        with selectors.DefaultSelector() as selector:
            if doorbell:
                selector.register(self.doorbell.reader, selectors.EVENT_READ)
            selector.register(self.sync.checker, selectors.EVENT_READ)
            selector.register(self.desk.reader, selectors.EVENT_READ)
            ready = {key.fd for key, _ in selector.select(seconds)}
        if self.doorbell.reader not in ready:
            return False
        if not self._stopping:
            time.sleep(QUIET_SECONDS)
        self.doorbell.answer()
        return True

    def _observe(self) -> Any:
        for folder in FOLDERS:
            with suppress(OSError):  # a read-only folder is watched as it is
                (self.root / folder).mkdir(parents=True, exist_ok=True)
        observer = Observer()
        try:
            observer.schedule(self.doorbell, str(self.root), recursive=True)
            observer.start()
        except OSError as error:
            log.warning(
                "no_file_events", error=str(error), hint=f"looking every {RESCAN_SECONDS:g} s instead"
            )
            return None
        return observer


def tell(result: SyncResult) -> None:
    """Log what a sync changed."""
    for path in result.loaded:
        log.info("plugin_loaded", path=path)
    for path, error in result.broken.items():
        log.warning("plugin_broken", path=path, error=error, hint="its last good version stays")
    for path in result.removed:
        log.info("plugin_removed", path=path)


def once(root: Path, *, as_json: bool = False) -> int:
    """Sync once, print what came of it, and return the exit status: 1 if a file is broken."""
    checker = Checker()
    sync = PluginSync(root, checker)
    try:
        if not checker.wait_until_ready():
            sys.stderr.write("the process that looks at plugin files did not become ready\n")
            return 1
        sync.begin()
        results = [sync.scan()]
        while sync.is_waiting:
            with selectors.DefaultSelector() as selector:
                selector.register(checker, selectors.EVENT_READ)
                selector.select(1.0)
            results.append(sync.collect())
    finally:
        checker.close()
    return summarise(results, as_json=as_json)


def summarise(results: Iterable[SyncResult], *, as_json: bool = False) -> int:
    """Print what syncs changed, and return the exit status."""
    loaded: set[str] = set()
    removed: set[str] = set()
    broken: dict[str, str] = {}
    for result in results:
        broken |= result.broken
        for path in result.loaded:
            broken.pop(path, None)
        loaded |= set(result.loaded)
        removed |= set(result.removed)
    if as_json:
        found = [{"path": path, "state": "loaded"} for path in sorted(loaded - broken.keys())]
        found += [{"path": path, "state": "removed"} for path in sorted(removed)]
        found += [{"path": path, "state": "broken", "error": broken[path]} for path in sorted(broken)]
        sys.stdout.writelines(f"{json.dumps(each)}\n" for each in found)
        return 1 if broken else 0
    for path in sorted(loaded - broken.keys()):
        sys.stdout.write(f"loaded   {path}\n")
    for path in sorted(removed):
        sys.stdout.write(f"removed  {path}\n")
    for path, error in sorted(broken.items()):
        sys.stderr.write(f"broken   {path}: {error}\n")
    sys.stdout.write(f"{len(loaded - broken.keys())} loaded, {len(broken)} broken, {len(removed)} removed\n")
    return 1 if broken else 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the watcher; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m workers.watcher", description=__doc__)
    parser.add_argument("--once", action="store_true", help="sync once, print a summary and end")
    parser.add_argument(
        "--json", action="store_true", help="with --once: an object for each file, one a line"
    )
    options = parser.parse_args(arguments)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "accsite.settings.embedded")
    import django
    from django.conf import settings

    django.setup()
    root = Path(settings.PLUGINS_ROOT)
    if options.once:
        return once(root, as_json=options.json)
    with suppress(OSError):
        os.nice(NICENESS)
    checker = Checker()
    watcher = Watcher(root, checker)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, watcher.stop)
    try:
        watcher.run()
    finally:
        checker.close()
    return 0


def _report(answer: Answer) -> FileReport:
    from accsite.apps.registry.services import FileReport

    file = answer.file
    return FileReport(path=file.path, sha256=file.sha256, text=file.text, **answer.report)


def _close_connection() -> None:
    from django.db import connection

    with suppress(Exception):
        connection.close()


if __name__ == "__main__":
    raise SystemExit(main())
