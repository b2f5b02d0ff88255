"""The web process as a fork of the supervisor; by itself it is ``python -m daphne ... accsite.asgi:application``."""

from __future__ import annotations

import os

from accsite.supervisor import family


def main() -> None:
    """Serve until SIGTERM, as Daphne does by the arguments of this process."""
    family.settle(os.environ)
    from daphne.cli import CommandLineInterface

    CommandLineInterface.entrypoint()
