"""Decides whether a plugin source may run on this server. Every way of running one asks here, and nowhere else.

A source runs if this server's own plugin folders provide it or once did (the watcher recorded it), or if an
administrator has read exactly this text and approved it. What came with an imported checkpoint is only kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django.db import transaction
from django.utils import timezone

from acc.errors import InvalidInput
from acc.hashes import text_sha256
from acc.text import visible
from accsite.apps.access.permissions import is_administrator
from accsite.apps.audit.trail import note
from accsite.apps.live.services import bump
from accsite.apps.registry.models import PluginFile, PluginSource
from accsite.errors import WrongState

TOPIC = "registry"
PATH_CHARS = 255


class NotApproved(WrongState):
    """A plugin source from elsewhere that nobody has approved; nothing of it was run."""


def require(hashes: Iterable[str], *, field: str = "plugins") -> None:
    """Raise NotApproved(field), with a sentence for each of these sources that may not run; ignores empty hashes."""
    require_files(((sha256, None) for sha256 in hashes if sha256), field=field)


def require_files(files: Iterable[tuple[str, str | None]], *, field: str = "plugins") -> None:
    """Raise NotApproved(field) unless all of these files (sha256, text) may run; asked before any of them does.

    A text that has another hash than is said is refused with InvalidInput; None: the text that is kept here.
    """
    refused = refusals(files, field=field)
    if refused:
        raise NotApproved({field: refused})


def refusals(files: Iterable[tuple[str, str | None]], *, field: str = "plugins") -> list[str]:
    """Return a sentence for each of these files (sha256, text) that may not run; see ``require_files``."""
    wanted = list(files)
    rows = PluginSource.objects.in_bulk({sha256 for sha256, _ in wanted})
    for sha256, text in wanted:
        given = [text, rows[sha256].text if sha256 in rows else None]
        if any(each is not None and text_sha256(each) != sha256 for each in given):
            raise InvalidInput({field: _other_text(sha256)})
    named = dict.fromkeys(sha256 for sha256, _ in wanted)
    return [refusal(sha256, rows.get(sha256)) for sha256 in named if not _may_run(rows, sha256)]


def refusal(sha256: str, row: PluginSource | None) -> str:
    """Return the sentence for a source that may not run: which plugin, why, who can change that and how."""
    if row is None:
        return (
            f"the plugin source {sha256[:12]} is not kept on this site and may not run here; "
            "put its file into the plugins folder of the server"
        )
    return (
        f"the plugin '{row.path}' ({sha256[:12]}) came from elsewhere and may not run here; an administrator can "
        f"read and approve it at /plugins/sources/{sha256}/ or with 'manage.py plugins approve {sha256}'"
    )


@transaction.atomic
def keep(*, sha256: str, path: str, text: str, origin: str) -> PluginSource:
    """Return the row of a source that came from elsewhere; it may run only if the disk has provided the same.

    Raises InvalidInput (plugins) for a text with another hash, and for a text or a path that no file could have.
    """
    if not path.isprintable() or len(path) > PATH_CHARS:
        raise InvalidInput({"plugins": f"{visible(path[:80])!r} is not the path of a plugin"})
    if "\0" in text or any("\ud800" <= each <= "\udfff" for each in text):
        raise InvalidInput(plugins=f"the source of '{path}' is not text: it holds what no UTF-8 file can")
    if text_sha256(text) != sha256:
        raise InvalidInput({"plugins": _other_text(sha256)})
    here = PluginFile.objects.filter(sha256=sha256).exists()
    source, _ = PluginSource.objects.get_or_create(
        sha256=sha256,
        defaults={
            "path": path,
            "text": text,
            "origin": origin[:255],
            "on_disk_at": timezone.now() if here else None,
        },
    )
    return source


@transaction.atomic
def approve(*, actor: Any, source: PluginSource) -> PluginSource:
    """Let a source from elsewhere run here from now on; ``actor`` None is whoever has the server's shell.

    Raises InvalidInput for anybody but an administrator, WrongState for a source that may run already.
    """
    source = _locked(actor, source)
    if source.may_run:
        raise WrongState({"source": f"the plugin source {source} may run here already"})
    source.approved_at, source.approved_by = timezone.now(), actor
    return _decided(source, approved=True)


@transaction.atomic
def withdraw(*, actor: Any, source: PluginSource) -> PluginSource:
    """Take an approval back: nothing new begins with the source, and a waiting job that needs it fails.

    Raises InvalidInput for anybody but an administrator, WrongState for a source that was not approved, or that
    this server's disk has provided.
    """
    source = _locked(actor, source)
    if source.on_disk_at is not None or source.approved_at is None:
        on_disk = source.on_disk_at is not None
        why = "it is, or was, a file of this server" if on_disk else "nobody has approved it"
        raise WrongState({"source": f"no approval of {source} can be withdrawn: {why}"})
    source.approved_at = source.approved_by = None
    return _decided(source, approved=False)


def _other_text(sha256: str) -> str:
    return f"the text that is said to be plugin source {sha256[:12]} has another sha256; it is not run"


def _may_run(rows: Mapping[str, PluginSource], sha256: str) -> bool:
    return sha256 in rows and rows[sha256].may_run


def _locked(actor: Any, source: PluginSource) -> PluginSource:
    if actor is not None and not is_administrator(actor):
        raise InvalidInput({"source": "only an administrator may approve plugin sources from elsewhere"})
    return PluginSource.objects.select_for_update().get(pk=source.pk)


def _decided(source: PluginSource, *, approved: bool) -> PluginSource:
    source.save(update_fields=["approved_at", "approved_by"])
    note(f"plugin-source:{source.pk}", path=source.path, sha256=source.pk, approved=approved)
    bump(TOPIC)
    return source
