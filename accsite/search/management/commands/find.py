"""manage.py find: whatever has a name, by a few letters of it."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from acc.errors import InvalidInput
from accsite.cli import SUCCEEDED, ServiceCommand
from accsite.search import HEADINGS, MOST_SHOWN, SHOWN, search


class Command(ServiceCommand):
    """Find things by a few letters of their names."""

    help = (
        "Finds experiments, branches, checkpoints, datasets, jobs, recipes, tasks, plugins and pages by a few "
        "letters of their names, or by their number."
    )

    def add_options(self, parser: ArgumentParser) -> None:
        """Declare what is asked for."""
        parser.add_argument(
            "words", nargs="+", help="a few letters of a name, a number, or a kind and a name"
        )
        parser.add_argument("--kind", choices=list(HEADINGS), default="", help="of one kind alone")
        parser.add_argument(
            "--limit", type=int, default=SHOWN, help=f"how many of each kind, 1 to {MOST_SHOWN} (%(default)s)"
        )

    def run(self, **options: Any) -> int:
        """List what is called so, best first; with --json an object for each."""
        limit = options["limit"]
        if not 1 <= limit <= MOST_SHOWN:
            raise InvalidInput({"limit": f"{limit} is out of range; list 1 to {MOST_SHOWN} of each kind"})
        groups = search(self.actor, " ".join(options["words"]), kind=options["kind"], limit=limit)
        found = [each for group in groups for each in group.found]
        if self.json:
            for each in found:
                self.print_json({"kind": each.kind, "name": each.name, "about": each.about, "url": each.url})
        else:
            rows = [(each.kind, each.name, each.about, each.url) for each in found]
            self.print_table(("kind", "name", "about", "address"), rows)
        return SUCCEEDED
