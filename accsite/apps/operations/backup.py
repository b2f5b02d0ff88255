"""Backs an installation up into one file while it works, and restores it into an empty one."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from django.apps import apps
from django.core import serializers
from django.core.files import File
from django.core.files.storage import default_storage
from django.core.management.color import no_style
from django.core.serializers.json import DjangoJSONEncoder
from django.db import DEFAULT_DB_ALIAS, connection, connections, models, transaction
from django.db.migrations.recorder import MigrationRecorder
from django.utils import timezone
from typing_extensions import override

from acc.errors import InvalidInput
from acc.version import __version__
from accsite import blobs
from accsite.apps.operations.archive import BLOBS, ROWS, Manifest, Reader, Writer

SKIPPED = {"sessions.session", "admin.logentry", "contenttypes.contenttype", "auth.permission", "live.topic"}
"""Sessions end; what migrations make anew is there already; versions of topics only grow."""
MADE_BY_MIGRATE = {"auth.group"}
BATCH = 500


class Exact(DjangoJSONEncoder):
    """Django's, with times to the microsecond."""

    @override
    def default(self, o: Any) -> Any:
        """Return a time in full, and the rest as Django writes it."""
        return o.isoformat() if isinstance(o, datetime) else super().default(o)


def models_in_order() -> list[type[models.Model]]:
    """Return the models whose rows are kept."""
    every = [model for model in apps.get_models() if model._meta.managed and not model._meta.proxy]
    return [model for model in every if model._meta.label_lower not in SKIPPED]


def back_up(path: Path) -> Manifest:
    """Write a backup of rows and stored files to ``path`` and return its manifest; the site may go on working.

    Rows are of one moment. Files never change and are copied after them; one that was deleted in between, with
    its row, is left out. Raises InvalidInput (file) if there is a file already, or no folder for it to lie in or none
    that can be written, OSError if the disk is full.
    """
    if path.exists():
        raise InvalidInput({"file": f"{str(path)!r} is there already; choose another name"})
    if not path.parent.is_dir():
        raise InvalidInput(file=f"there is no folder {str(path.parent)!r} for {path.name!r}; make it first")
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".backing-up-")
    except OSError as error:
        raise InvalidInput(
            {"file": f"{str(path)!r} cannot be written: {error.strerror}; choose another folder"}
        ) from None
    unfinished = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            writer = Writer(file)
            with snapshot():
                for model in models_in_order():
                    _write_rows(writer, model)
                applied = MigrationRecorder(connection).applied_migrations()
            for stored in files_below(""):
                _write_file(writer, stored)
            manifest = writer.finish(
                version=__version__,
                made_at=timezone.now().isoformat(),
                vendor=connection.vendor,
                migrations=newest(applied),
            )
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    return manifest


def restore(path: Path) -> Manifest:
    """Restore a backup into this empty installation, all or nothing; return its manifest.

    Raises InvalidInput when the file is damaged, made by other migrations, or the installation is not empty.
    """
    reader = Reader(path)
    try:
        reader.check()
        here = newest(MigrationRecorder(connection).applied_migrations())
        if here != reader.manifest.migrations:
            apart = sorted({*here.items()} ^ {*reader.manifest.migrations.items()})
            names = ", ".join(f"{app}.{name}" for app, name in apart[:4])
            raise InvalidInput(
                file=f"it was made by ACC {reader.manifest.version} with other migrations ({names}); restore "
                "it with that version, then migrate"
            )
        known = {f"{ROWS}{model._meta.label_lower}.jsonl": model for model in models_in_order()}
        filled = [
            model._meta.verbose_name_plural
            for model in known.values()
            if model._meta.label_lower not in MADE_BY_MIGRATE and model._base_manager.exists()
        ]
        if filled:
            raise InvalidInput(
                file=f"this installation is not empty ({', '.join(map(str, filled[:4]))}); restore into a "
                "new ACC_HOME"
            )
        unknown = [name for name in reader.names(ROWS) if name not in known]
        if unknown:
            raise InvalidInput(file=f"it has rows that this version does not know: {', '.join(unknown[:4])}")
        # Files first: a row never names one that is not there.
        for name in reader.names(BLOBS):
            _restore_file(name.removeprefix(BLOBS), reader)
        with transaction.atomic(), connection.constraint_checks_disabled():
            for label in MADE_BY_MIGRATE:
                apps.get_model(label)._base_manager.all().delete()
            for name in reader.names(ROWS):
                _restore_rows(reader, name)
            connection.check_constraints()
            _reset_sequences(list(known.values()))
        return reader.manifest
    finally:
        reader.close()


@contextmanager
def snapshot() -> Iterator[None]:
    """See the rows of one moment within, while others go on writing."""
    if connection.vendor == "sqlite":
        wrapper: Any = connections[DEFAULT_DB_ALIAS]
        wrapper.ensure_connection()  # which is what reads the mode from the settings
        usual = wrapper.transaction_mode
        wrapper.transaction_mode = "DEFERRED"  # a reader beside the writers, rather than one of them
        try:
            with transaction.atomic():
                yield
        finally:
            wrapper.transaction_mode = usual
        return
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        yield


def newest(applied: Any) -> dict[str, str]:
    """Return app -> the name of its newest migration."""
    found: dict[str, str] = {}
    for app, name in applied:
        found[app] = max(found.get(app, ""), name)
    return found


def files_below(folder: str) -> Iterator[str]:
    """Yield the names of all stored files; unfinished ones are not among them."""
    try:
        folders, files = default_storage.listdir(folder)
    except FileNotFoundError:
        return
    for name in sorted(files):
        if not name.startswith("."):
            yield f"{folder}{name}"
    for name in sorted(folders):
        if not (folder == "" and name == "scratch"):
            yield from files_below(f"{folder}{name}/")


def _write_rows(writer: Writer, model: type[models.Model]) -> None:
    rows = model._base_manager.order_by("pk")
    with tempfile.TemporaryFile(dir=blobs.scratch()) as file:
        count = 0
        for row in rows.iterator(chunk_size=BATCH):
            file.write(
                serializers.serialize("jsonl", [row], use_natural_foreign_keys=True, cls=Exact).encode()
            )
            count += 1
        size = file.tell()
        file.seek(0)
        writer.add(f"{ROWS}{model._meta.label_lower}.jsonl", file, size, rows=count)


def _write_file(writer: Writer, name: str) -> None:
    try:
        with default_storage.open(name) as file:
            writer.add(f"{BLOBS}{name}", file, file.size)
    except FileNotFoundError:
        return


def _restore_file(name: str, reader: Reader) -> None:
    if default_storage.exists(name):
        default_storage.delete(name)
    with reader.open(BLOBS + name) as file:
        stored = default_storage.save(name, File(file))
    if stored != name:
        default_storage.delete(stored)
        raise InvalidInput({"file": f"the storage keeps {name!r} under another name, {stored!r}"})


def _restore_rows(reader: Reader, name: str) -> None:
    with reader.open(name) as file:
        for row in serializers.deserialize("jsonl", file):
            row.save()  # as it was: its own id, and no time of now


def _reset_sequences(restored: list[type[models.Model]]) -> None:
    with connection.cursor() as cursor:
        for statement in connection.ops.sequence_reset_sql(no_style(), restored):
            cursor.execute(statement)
