"""Watches the plugin folders: syncs at every hint, looks at all of it every two seconds, and serves previews."""

from __future__ import annotations

import selectors
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import structlog
from watchdog.observers import Observer

from acc.plugin_paths import FOLDERS
from acc.plugins.checker import Checker
from accsite.apps.registry.services import SyncResult
from accsite.supervisor.health import say_alive
from workers.job.durable import disconnect
from workers.plugins.hints import Doorbell, Pace
from workers.plugins.previews import PreviewDesk
from workers.plugins.sync import PluginSync

QUIET_SECONDS = 0.02  # an editor's dance of events is over after that
RESCAN_SECONDS = 2.0
RETRY_SECONDS = 1.0
STOP_CHECK_SECONDS = 0.2
JOIN_SECONDS = 5.0

log = structlog.get_logger(__name__)


class Watcher:
    """Syncs at every hint and every RESCAN_SECONDS until ``stop``. The checker is its caller's to close."""

    def __init__(self, root: Path, checker: Checker) -> None:
        self.root = root
        self.doorbell = Doorbell()
        self.sync = PluginSync(root, checker)
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
                disconnect()
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
