"""``manage.py import_dataset <file>``: a dataset from IDX or .npz files on the server's disk."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError
from typing_extensions import override

from acc.data.importers import MAX_DATASET_BYTES, import_file
from acc.errors import InvalidInput
from accsite import blobs
from accsite.apps.datasets import services


class Command(BaseCommand):
    help = "Import images with their targets: .npz, or IDX (gzipped or not) as MNIST comes."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument("file", type=Path, help=".npz, or the IDX file of images")
        parser.add_argument(
            "--labels", type=Path, help="IDX file of labels (default: named alike, if there is one)"
        )
        parser.add_argument("--name", help="of the dataset (default: after the file)")
        parser.add_argument("--user", help="user name of who imports it")
        parser.add_argument(
            "--max-bytes", type=int, default=MAX_DATASET_BYTES, help="refuse more (default: %(default)s)"
        )

    @override
    def handle(
        self,
        *args: Any,
        file: Path,
        labels: Path | None,
        name: str | None,
        user: str | None,
        max_bytes: int,
        **options: Any,
    ) -> None:
        """Import the file and print the slug of its dataset, alone on its line."""
        title = name or name_of(file)
        draft = blobs.scratch() / f"import-{file.name}.safetensors"
        try:
            services.check_name(title)
            actor = _user(user)
            data, provenance = import_file(file, labels=labels, max_bytes=max_bytes)
            data.save(draft)
            dataset = services.create_dataset(
                actor=actor, name=title, dataset_path=draft, provenance=provenance
            )
        except InvalidInput as error:
            raise CommandError(str(error), returncode=2) from None
        finally:
            draft.unlink(missing_ok=True)
        if dataset.name != title:
            self.stderr.write(f"these very images are here already, as '{dataset.name}'")
        self.stdout.write(dataset.slug)


def name_of(file: Path) -> str:
    """Return a name for the dataset of a file: ``train-images-idx3-ubyte.gz`` gives ``train images``."""
    stem = file.name.split(".")[0].replace("idx3", "").replace("ubyte", "")
    words = " ".join(stem.replace("_", "-").split("-")).strip()
    return " ".join(words.split())


def _user(name: str | None) -> Any:
    if name is None:
        return None
    users = get_user_model()._default_manager
    found = users.filter(username=name).first()
    if found is None:
        known = ", ".join(users.order_by("username").values_list("username", flat=True)[:20]) or "none"
        raise InvalidInput({"user": f"there is no user {name!r}; users are: {known}"})
    return found
