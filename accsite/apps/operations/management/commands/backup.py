"""``manage.py backup FILE``: rows and stored files of this installation in one file."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from accsite.apps.operations.archive import total
from accsite.apps.operations.backup import back_up
from accsite.cli import ServiceCommand


class Command(ServiceCommand):
    """Back up, while the site works."""

    help = (
        "Write every row and stored file to one tar file; the site may go on working. It holds password hashes: "
        "keep it safe."
    )

    def add_options(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path, help="where to write; must not be there yet")

    def run(self, **options: Any) -> None:
        """Write the backup and say what it holds."""
        manifest = back_up(options["file"])
        rows = sum(member.rows or 0 for member in manifest.members.values())
        files = sum(member.rows is None for member in manifest.members.values())
        size = total(manifest.members.values())
        self.tell(
            {"file": str(options["file"]), "rows": rows, "files": files, "bytes": size},
            f"{options['file']}: {rows} rows and {files} files, {size / 2**20:.1f} MiB",
        )
