"""Keeps the plugin rows in line with the files on disk: ``python -m workers.watcher [--once]``.

An event of the file system is only a hint to look; what counts is a file's content. A full rescan every two
seconds catches what no event told of. Plugin code runs in throw-away processes, never in this one, and a file
that hangs there keeps no other waiting. This process needs no torch.
"""

from __future__ import annotations

import argparse
import json
import os
import selectors
import signal
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from acc.plugins.checker import Checker

if TYPE_CHECKING:
    from accsite.apps.registry.services import SyncResult

NICENESS = 3  # training comes first


def sync_once(root: Path, *, as_json: bool = False) -> int:
    """Sync once, print what came of it, and return the exit status: 1 if a file is broken."""
    from workers.plugins.sync import PluginSync

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
        return sync_once(root, as_json=options.json)
    with suppress(OSError):
        os.nice(NICENESS)
    from workers.plugins.watch import Watcher

    checker = Checker()
    watcher = Watcher(root, checker)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, watcher.stop)
    try:
        watcher.run()
    finally:
        checker.close()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
