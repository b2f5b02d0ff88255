"""``manage.py watch_plugins``: the process that loads plugins when they are saved."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from typing import Any, NoReturn

from django.core.management.base import BaseCommand
from typing_extensions import override

from accsite.supervisor.management.commands.worker import add_log_argument, become


class Command(BaseCommand):
    """Become the watcher: this process is replaced by it."""

    help = (
        "Load plugins when they are saved, and tell of broken ones, until SIGTERM. `manage.py up` and the compose "
        "stack run one; `manage.py plugins sync` looks once."
    )
    requires_system_checks: list[str] = []

    @override
    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--once", action="store_true", help="look once and end; exit status 1 if a file is broken"
        )
        add_log_argument(parser)

    @override
    def handle(self, *_: Any, **options: Any) -> NoReturn:
        """Replace this process by the watcher, so that signals and the exit status are its own."""
        sys.stdout.flush()
        command = [sys.executable, "-m", "workers.watcher"]
        if options["once"]:
            command += ["--once", *(["--json"] if options["json"] else [])]
        become(command, as_json=options["json"])
