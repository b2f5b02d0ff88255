"""Keeps the plugin rows in line with the files on disk: ``python -m workers.watcher [--once]``.

An event of the file system is only a hint to look; what counts is a file's content. A full rescan every two
seconds catches what no event told of. Plugin code runs in throw-away processes, never in this one.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import structlog
from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer

DEBOUNCE_SECONDS = 0.02
RESCAN_SECONDS = 2.0
RETRY_SECONDS = 1.0

log = structlog.get_logger(__name__)


class PluginSync:
    """One look after another at the plugin folders; each writes what has changed since the last."""

    def __init__(self, root: Path) -> None:
        from acc.plugins.checker import Checker

        self.root = root
        self.checker = Checker()
        self._seen: dict[str, str] = {}  # path -> sha256 of what was last looked at
        self._broken: set[str] = set()
        self._built_in: list[Any] = []

    def start(self) -> None:
        """Start the process that looks at files; it imports torch while this one goes on."""
        self.checker.start()

    def close(self) -> None:
        """End it."""
        self.checker.close()

    def run(self) -> Any:
        """Look once; return the SyncResult. A database that is away leaves everything to the next look."""
        from acc.plugins.scan import find
        from accsite.apps.registry import services

        files = find(self.root)
        stale = {path for path, file in files.items() if self._seen.get(path) != file.sha256}
        if stale or self._seen.keys() - files.keys():
            stale |= self._broken & files.keys()  # the change may have resolved a clash of names
        elif self._built_in:
            return services.SyncResult()
        first = not self._built_in
        built_in = self._built_in or built_in_reports()
        changed = [files[path] for path in sorted(stale)]
        reports = self.checker.check(changed)
        found = [
            services.FileReport(path=file.path, sha256=file.sha256, text=file.text, **reports[file.path])
            for file in changed
        ]
        present = [*files, *(report.path for report in built_in)]
        result = services.sync([*built_in, *found] if first else found, present=present)
        self._built_in = built_in
        self._seen = {path: file.sha256 for path, file in files.items()}
        self._broken = (self._broken - stale) & files.keys() | result.broken.keys()
        return result


def built_in_reports() -> list[Any]:
    """Return what the architectures that come with ACC are, as if they were plugin files."""
    from acc.plugins.load import built_in_models
    from accsite.apps.registry.services import FileReport

    by_path: dict[str, list[Any]] = {}
    for plugin in built_in_models():
        by_path.setdefault(plugin.path, []).append(plugin)
    return [
        FileReport(
            path=path,
            sha256=plugins[0].sha256,
            text=plugins[0].source,
            classes=[plugin.describe() for plugin in plugins],
            built_in=True,
        )
        for path, plugins in by_path.items()
    ]


class Doorbell(FileSystemEventHandler):
    """Rings when something below a plugin folder was written, moved or removed."""

    def __init__(self) -> None:
        self.rung = threading.Event()

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Ring, except for what a mere read causes."""
        if event.event_type not in {"opened", "closed_no_write"} and _concerns_plugins(event):
            self.rung.set()


def watch(root: Path, stop: threading.Event) -> None:
    """Sync until ``stop`` is set."""
    for folder in ("tasks", "generators", "recipes", "models"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    doorbell, sync = Doorbell(), PluginSync(root)
    sync.start()  # before the observer's threads exist
    observer = Observer()
    observer.schedule(doorbell, str(root), recursive=True)
    observer.start()
    log.info("watching plugins", root=str(root))
    try:
        while not stop.is_set():
            doorbell.rung.clear()
            pause = RESCAN_SECONDS
            try:
                tell(sync.run())
            except Exception:
                log.exception("the plugins could not be synced; trying again")
                _close_connection()
                pause = RETRY_SECONDS
            if doorbell.rung.wait(pause) and not stop.is_set():
                time.sleep(DEBOUNCE_SECONDS)  # an editor's dance of events is over by then
    finally:
        observer.stop()
        observer.join()
        sync.close()


def tell(result: Any) -> None:
    """Log what a sync changed."""
    for path in result.loaded:
        log.info("plugin loaded", path=path)
    for path, error in result.broken.items():
        log.warning("plugin broken; its last good version stays", path=path, error=error)
    for path in result.removed:
        log.info("plugin removed", path=path)


def once(root: Path) -> int:
    """Sync once, print a summary, and return the exit status: 1 if a file is broken."""
    sync = PluginSync(root)
    try:
        result = sync.run()
    finally:
        sync.close()
    write = sys.stdout.write
    for path in result.loaded:
        write(f"loaded   {path}\n")
    for path in result.removed:
        write(f"removed  {path}\n")
    for path, error in sorted(result.broken.items()):
        sys.stderr.write(f"broken   {path}: {error}\n")
    write(f"{len(result.loaded)} loaded, {len(result.broken)} broken, {len(result.removed)} removed\n")
    return 1 if result.broken else 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the watcher; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m workers.watcher", description=__doc__)
    parser.add_argument("--once", action="store_true", help="sync once, print a summary and end")
    options = parser.parse_args(arguments)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "accsite.settings.embedded")
    import django
    from django.conf import settings

    django.setup()
    root = Path(settings.PLUGINS_ROOT)
    if options.once:
        return once(root)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    watch(root, stop)
    return 0


def _concerns_plugins(event: FileSystemEvent) -> bool:
    paths = (str(event.src_path), str(event.dest_path))
    return event.is_directory or any(path.endswith(".py") for path in paths)


def _close_connection() -> None:
    from django.db import connection

    connection.close()


if __name__ == "__main__":
    raise SystemExit(main())
