"""Brings the plugin rows in line with what is on disk. Called by the watcher, which alone runs plugin code."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import models, transaction
from django.utils import timezone

from accsite.apps.live.services import bump
from accsite.apps.registry.models import Plugin, PluginFile, PluginKind, PluginSource

TOPIC = "registry"


@dataclass(frozen=True)
class FileReport:
    """What was found in one file that is new or has changed.

    classes: kind, name, label, description, params and requires of each; empty if ``error`` is set.
    output: what the file printed while it was loaded.
    """

    path: str
    sha256: str
    text: str
    classes: Sequence[Mapping[str, Any]] = ()
    error: str = ""
    line: int | None = None
    context: str = ""
    detail: str = ""
    output: str = ""
    built_in: bool = False


@dataclass
class SyncResult:
    """What a sync found, for the log and for ``manage.py plugins sync``.

    ``loaded``: new or changed; ``broken``: path -> error, also of those that were broken before.
    """

    loaded: list[str] = field(default_factory=list)
    broken: dict[str, str] = field(default_factory=dict)
    removed: list[str] = field(default_factory=list)


@transaction.atomic
def sync(reports: Sequence[FileReport], *, present: Collection[str]) -> SyncResult:
    """Write the rows of changed files, and take those of vanished ones out of the choices.

    ``present``: every path on disk now, and those of built-in classes. A broken file keeps its last good classes.
    A class whose name another present file has is refused with an error on the later file. Reports of what is
    written already change nothing and signal nothing.
    """
    result = SyncResult()
    changed = _remove_vanished(set(present), result)
    changed |= _on_disk(reports)
    # What each changed file defines from now on: a class may move from one file to another in a single look.
    defined = {report.path: _names(report) for report in reports if not report.error}
    for report in sorted(reports, key=lambda report: (not report.built_in, report.path)):
        error = report.error or _clash(report, present, defined)
        if error:
            result.broken[report.path] = error
            changed |= _write_file(report, error)
        elif _write_classes(report) | _write_file(report, ""):
            result.loaded.append(report.path)
            changed = True
    if changed:
        bump(TOPIC)
    return result


def _remove_vanished(present: set[str], result: SyncResult) -> bool:
    files = PluginFile.objects.exclude(path__in=present)
    gone = set(files.values_list("path", flat=True))
    plugins = Plugin.objects.filter(available=True).exclude(path__in=present)
    gone |= set(plugins.values_list("path", flat=True))
    if gone:
        plugins.update(available=False, updated_at=timezone.now())
        files.delete()
    result.removed = sorted(gone)
    return bool(gone)


def _on_disk(reports: Sequence[FileReport]) -> bool:
    """Note of sources that came from elsewhere that this server's own disk provides them too: they may run."""
    found = PluginSource.objects.filter(sha256__in=[report.sha256 for report in reports], on_disk_at=None)
    return bool(found.update(on_disk_at=timezone.now()))


def _names(report: FileReport) -> set[tuple[str, str]]:
    return {(described["kind"], described["name"]) for described in report.classes}


def _clash(
    report: FileReport, present: Collection[str], defined: Mapping[str, Collection[tuple[str, str]]]
) -> str:
    for kind, name in sorted(_names(report)):
        others = Plugin.objects.filter(kind=kind, name=name, available=True, path__in=present)
        other = others.exclude(path=report.path).first()
        if other is not None and (kind, name) in defined.get(other.path, [(kind, name)]):
            return f"class {name} is already defined in {other.path}; give one of them another name"
    return ""


def _write_file(report: FileReport, error: str) -> bool:
    """Write the row of a file, with its error if it has one; return whether anything changed."""
    if report.built_in:
        return False
    return _write(
        PluginFile(path=report.path),
        PluginFile.objects.filter(path=report.path).first(),
        sha256=report.sha256,
        error=error,
        error_line=report.line if error else None,
        error_context=report.context if error else "",
        error_detail=report.detail if error else "",
        output=report.output,
    )


def _write_classes(report: FileReport) -> bool:
    """Write the rows of a good file's classes; return whether anything changed."""
    source, changed = PluginSource.objects.get_or_create(
        sha256=report.sha256,
        defaults={"path": report.path, "text": report.text, "on_disk_at": timezone.now()},
    )
    kept = []
    for described in report.classes:
        kind, name = PluginKind(described["kind"]), described["name"]
        before = Plugin.objects.filter(kind=kind, name=name).first()
        row = before or Plugin(kind=kind, name=name)
        changed |= _write(
            row,
            before,
            label=described["label"][:120],
            description=described["description"],
            path=report.path,
            source_id=source.pk,
            params=described["params"],
            requires=described["requires"],
            built_in=report.built_in,
            available=True,
        )
        kept.append(row.pk)
    # A class renamed inside its file leaves its old name behind.
    old = Plugin.objects.filter(path=report.path, available=True).exclude(pk__in=kept)
    return bool(old.update(available=False, updated_at=timezone.now())) or changed


def _write(new: models.Model, before: models.Model | None, **values: Any) -> bool:
    row = before or new
    if before is not None and all(getattr(before, name) == value for name, value in values.items()):
        return False
    for name, value in values.items():
        setattr(row, name, value)
    if isinstance(row, PluginFile) and not row.error:
        row.loaded_at = timezone.now()
    row.save()
    return True


@transaction.atomic
def forget(kind: PluginKind | str, name: str) -> None:
    """Drop the row of a class whose source was removed; sources stay, for the jobs and checkpoints made with them."""
    if Plugin.objects.filter(kind=kind, name=name, available=False).delete()[0]:
        bump(TOPIC)
