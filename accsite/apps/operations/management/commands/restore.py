"""``manage.py restore FILE``: a backup into an empty installation."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from accsite.apps.operations.backup import restore
from accsite.cli import ServiceCommand


class Command(ServiceCommand):
    """Restore, all or nothing."""

    help = "Restore a backup into an installation that is migrated and empty. Exit status 2 if it is refused."

    def add_options(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path, help="a file that `backup` wrote")

    def run(self, **options: Any) -> None:
        """Check the file, restore it, and say what it held."""
        manifest = restore(options["file"])
        rows = sum(member.rows or 0 for member in manifest.members.values())
        files = sum(member.rows is None for member in manifest.members.values())
        self.tell(
            {"rows": rows, "files": files, "made_at": manifest.made_at},
            f"restored {rows} rows and {files} files of {manifest.made_at}",
        )
