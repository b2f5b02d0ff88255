"""manage.py up: the whole platform on this machine until Ctrl-C."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import Any

from django.contrib.auth import get_user_model
from django.core.checks import Tags
from django.core.checks.registry import registry
from django.core.management.base import BaseCommand, CommandParser

from accsite.supervisor.console import Console
from accsite.supervisor.platform import platform
from accsite.supervisor.processes import LOOPBACK, WEB_PORT
from accsite.supervisor.supervisor import Stopping
from accsite.supervisor.words import in_words


def add_platform_arguments(parser: CommandParser) -> None:
    """Add the options of every command that starts the platform."""
    parser.add_argument(
        "--host", default=LOOPBACK, help="address of the site; loopback only (default: %(default)s)"
    )
    parser.add_argument(
        "--port",
        type=int,
        default=WEB_PORT,
        help="port of the site, or the next free one (default: %(default)s)",
    )
    parser.add_argument(
        "--device",
        default="auto",
        help="where the train worker computes: auto, cpu, cuda:0 (default: %(default)s)",
    )


CHECKS = sorted(registry.tags_available() - {Tags.urls, Tags.admin})
"""Not those of addresses and of the admin: they would read every page into this process, for as long as it runs."""
NOBODY = "Nobody can sign in yet: `.venv/bin/python manage.py createsuperuser` makes an administrator."


def console_for(options: dict[str, Any]) -> Console:
    """Return the console of a command that starts the platform: quiet, logs included, unless -v 2 asks for them."""
    quiet = options.get("verbosity", 1) < 2
    if quiet:
        logging.getLogger("accsite").setLevel(logging.WARNING)
    return Console(quiet=quiet)


def nobody_yet() -> bool:
    """Return whether the site has no user who could sign in."""
    return not get_user_model().objects.filter(is_active=True).exists()


class Command(BaseCommand):
    """Run Redis, web, workers, sweeper and watcher under one supervisor."""

    help = (
        "Runs the whole platform on this machine; Ctrl-C saves and requeues the jobs in progress. What its "
        "processes log goes to logs/platform.log in ACC_HOME; -v 2 shows it here instead."
    )

    requires_system_checks = CHECKS

    def add_arguments(self, parser: CommandParser) -> None:
        add_platform_arguments(parser)

    def handle(self, *_args: Any, **options: Any) -> None:
        """Run until a signal; a sentence and status 1 if the platform cannot run."""
        console = console_for(options)
        with (
            suppress(Stopping),
            in_words(),
            platform(
                host=options["host"], port=options["port"], device=options["device"], console=console
            ) as running,
        ):
            running.wait_until_ready()
            running.wait_for_plugins()
            running.tell(*[NOBODY] * nobody_yet(), f"ACC runs at {running.url}/  (Ctrl-C stops it)")
            running.supervisor.run()
