"""``manage.py datasets list|show|rename|delete|restore|export``: what the site holds, from a shell."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, ClassVar

from django.db.models import Model
from django.template.defaultfilters import filesizeformat

from acc.data import exporters
from acc.data.importers import disk_full, is_disk_full
from acc.errors import InvalidInput
from accsite.actions.commands import ActionCommand
from accsite.apps.datasets import selectors, services
from accsite.apps.datasets.api.serializers import DatasetSerializer
from accsite.apps.datasets.models import Dataset
from accsite.apps.datasets.pages import split_words
from accsite.apps.datasets.uses import users_of
from accsite.cli import SUCCEEDED, behind_verbs

SLUG = "address of the dataset, as `list` shows it"


class Command(ActionCommand):
    """List datasets and change them."""

    help = (
        "List datasets, show one, rename, delete, restore or export it. Exit status 2 for what is refused, such as the "
        "deletion of a dataset that a task or checkpoint uses."
    )
    on: ClassVar[type[Model]] = Dataset
    called: ClassVar[str] = SLUG

    def add_verbs(self, verbs: Any) -> None:
        common = [behind_verbs()]
        found = verbs.add_parser("list", parents=common, help="all datasets, by name")
        found.add_argument("--removed", action="store_true", help="those that can be restored instead")
        for action, words in {
            "show": "one dataset: shape, targets, provenance, who uses it",
            "rename": "give it another name; its address stays",
            "delete": "remove it; `restore` undoes that for a week",
            "restore": "undo a deletion",
            "export": "write it to a file",
        }.items():
            one = verbs.add_parser(action, parents=common, help=words)
            one.add_argument("slug", help=SLUG)
            if action == "rename":
                one.add_argument("name")
            if action == "export":
                one.add_argument("out", type=Path, help="the file to write; - for the standard output")
                one.add_argument(
                    "--format", choices=exporters.KINDS, help="default: after the ending of the file"
                )

    def run_own(self, **options: Any) -> int:
        action = options["verb"]
        if action == "list":
            return self._list(options)
        if action == "export":
            return self._export(options)
        row = selectors.get(options["slug"], removed=action in {"restore", "show"})
        if action == "rename":
            row = services.rename(actor=self.actor, dataset=row, name=options["name"])
        elif action == "delete":
            row = services.remove(actor=self.actor, dataset=row)
        elif action == "restore":
            row = services.restore(actor=self.actor, dataset=row)
        if self.json:
            self.print_json({**DatasetSerializer(row).data, "used_by": users_of(row)})
        elif action == "show":
            self._show(row)
        else:
            self.stdout.write(row.slug)
        return SUCCEEDED

    def _list(self, options: dict[str, Any]) -> int:
        rows = Dataset.every.exclude(removed_at=None) if options["removed"] else Dataset.objects.all()
        rows = rows.select_related("created_by")
        if self.json:
            for row in rows:
                self.print_json(DatasetSerializer(row).data)
            return SUCCEEDED
        cells = [(row.slug, row.n, _shape(row), filesizeformat(row.size_bytes)) for row in rows]
        if cells:
            self.print_table(("Dataset", "Images", "Shape", "Size"), cells)
        else:
            self.stdout.write("none was removed" if options["removed"] else "no datasets")
        return SUCCEEDED

    def _show(self, row: Dataset) -> None:
        lines = {
            "name": row.name,
            "images": f"{row.n:,} of {_shape(row)} {row.dtype}",
            "targets": ", ".join(f"{each['name']} ({each['kind']})" for each in row.targets) or "none",
            "split": split_words(row),
            "content": row.content_hash,
            "file": f"{row.file}, {filesizeformat(row.size_bytes)}",
            "made": f"{row.created_at:%Y-%m-%d %H:%M}" + (f" by {row.created_by}" if row.created_by else ""),
            "used by": ", ".join(users_of(row)) or "nobody",
            "removed": f"{row.removed_at:%Y-%m-%d %H:%M}" if row.removed_at else "",
            **{name.replace("_", " "): str(value) for name, value in row.provenance.items()},
        }
        for name, text in lines.items():
            if text:
                self.stdout.write(f"{name:14} {text}")

    def _export(self, options: dict[str, Any]) -> int:
        out: Path = options["out"]
        row = selectors.get(options["slug"])
        pieces = exporters.export(selectors.opened(row), options["format"] or out.suffix.lstrip("."))
        if str(out) == "-":
            for piece in pieces:
                sys.stdout.buffer.write(piece)
            return SUCCEEDED
        draft = out.with_name(f".{out.name}.writing")
        try:
            with draft.open("wb") as file:
                for piece in pieces:
                    file.write(piece)
            draft.replace(out)
        except OSError as error:
            if is_disk_full(error):
                raise disk_full(out.parent) from error
            raise InvalidInput({"out": f"'{out}' cannot be written: {error.strerror or error}"}) from error
        finally:
            draft.unlink(missing_ok=True)
        self.tell({"file": str(out), "bytes": out.stat().st_size}, str(out))
        return SUCCEEDED


def _shape(row: Dataset) -> str:
    return f"{row.channels} x {row.height} x {row.width}"
