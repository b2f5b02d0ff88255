"""Brings the plugin rows in line with what is on disk. Called by the watcher, which alone runs plugin code."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import transaction
from django.utils import timezone

from accsite.apps.live.services import bump
from accsite.apps.registry.models import Plugin, PluginFile, PluginKind, PluginSource

TOPIC = "registry"


@dataclass(frozen=True)
class FileReport:
    """What was found in one file that is new or has changed.

    classes: kind, name, label, description, params and requires of each; empty if ``error`` is set.
    """

    path: str
    sha256: str
    text: str
    classes: Sequence[Mapping[str, Any]] = ()
    error: str = ""
    line: int | None = None
    context: str = ""
    detail: str = ""
    built_in: bool = False


@dataclass
class SyncResult:
    """What a sync changed, for the log and for ``manage.py plugins sync``."""

    loaded: list[str] = field(default_factory=list)
    broken: dict[str, str] = field(default_factory=dict)
    removed: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.loaded or self.broken or self.removed)


@transaction.atomic
def sync(reports: Sequence[FileReport], *, present: Collection[str]) -> SyncResult:
    """Write the rows of changed files, and take those of vanished ones out of the choices.

    ``present``: every path on disk now, and those of built-in classes. A broken file keeps its last good classes.
    A class whose name another present file has is refused with an error on the later file.
    """
    result = SyncResult()
    _remove_vanished(set(present), result)
    # What each changed file defines from now on: a class may move from one file to another in a single look.
    defined = {report.path: _names(report) for report in reports if not report.error}
    for report in sorted(reports, key=lambda report: (not report.built_in, report.path)):
        clash = "" if report.error else _clash(report, present, defined)
        if report.error or clash:
            _write_error(report, clash or report.error, result)
        else:
            _write_classes(report, result)
    if result:
        bump(TOPIC)
    return result


def _remove_vanished(present: set[str], result: SyncResult) -> None:
    files = PluginFile.objects.exclude(path__in=present)
    gone = set(files.values_list("path", flat=True))
    plugins = Plugin.objects.filter(available=True).exclude(path__in=present)
    gone |= set(plugins.values_list("path", flat=True))
    plugins.update(available=False, updated_at=timezone.now())
    files.delete()
    result.removed = sorted(gone)


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


def _write_error(report: FileReport, error: str, result: SyncResult) -> None:
    PluginFile.objects.update_or_create(
        path=report.path,
        defaults={
            "sha256": report.sha256,
            "error": error,
            "error_line": report.line,
            "error_context": report.context,
            "error_detail": report.detail,
        },
    )
    result.broken[report.path] = error


def _write_classes(report: FileReport, result: SyncResult) -> None:
    source, _ = PluginSource.objects.get_or_create(
        sha256=report.sha256, defaults={"path": report.path, "text": report.text}
    )
    kept = []
    for described in report.classes:
        plugin, _ = Plugin.objects.update_or_create(
            kind=PluginKind(described["kind"]),
            name=described["name"],
            defaults={
                "label": described["label"][:120],
                "description": described["description"],
                "path": report.path,
                "source": source,
                "params": described["params"],
                "requires": described["requires"],
                "built_in": report.built_in,
                "available": True,
            },
        )
        kept.append(plugin.pk)
    # A class renamed inside its file leaves its old name behind.
    Plugin.objects.filter(path=report.path, available=True).exclude(pk__in=kept).update(
        available=False, updated_at=timezone.now()
    )
    if not report.built_in:
        PluginFile.objects.update_or_create(
            path=report.path,
            defaults={
                "sha256": report.sha256,
                "error": "",
                "error_line": None,
                "error_context": "",
                "error_detail": "",
                "loaded_at": timezone.now(),
            },
        )
    result.loaded.append(report.path)
