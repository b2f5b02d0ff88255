"""``manage.py plugins list | show | diff | sync | sources | approve | withdraw``: the plugins from a shell."""

from __future__ import annotations

import subprocess
import sys
from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.conf import settings

from acc.errors import InvalidInput
from acc.text import visible
from accsite.apps.registry import approval, origins, selectors
from accsite.apps.registry.api.serializers import PluginSerializer, PluginSourceSerializer
from accsite.apps.registry.models import Plugin, PluginFile, PluginKind, PluginSource
from accsite.apps.registry.params import allowed, flag
from accsite.cli import FAILED, SUCCEEDED, ServiceCommand, behind_verbs


class Command(ServiceCommand):
    """List, show, compare and sync plugins; approve those from elsewhere."""

    help = (
        "List the plugins, show one with its parameters and source, tell what has changed since a checkpoint, "
        "look at the disk now, or decide about sources that came with imported checkpoints. "
        "Exit status 2 for bad input."
    )

    def add_options(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        common = [behind_verbs()]
        listing = verbs.add_parser(
            "list", parents=common, help="all classes, and the files that could not be loaded"
        )
        listing.add_argument("--kind", choices=PluginKind.values, help="only these")
        listing.add_argument("--all", action="store_true", help="those whose source was removed as well")
        show = verbs.add_parser(
            "show", parents=common, help="one class: what it needs, its parameters, where it is"
        )
        show.add_argument("name", help="class name")
        show.add_argument("--source", action="store_true", help="print its source, and nothing else")
        diff = verbs.add_parser(
            "diff",
            parents=common,
            help="what has changed since a checkpoint; exit status 0: nothing, 1: something",
        )
        diff.add_argument("checkpoint", help="id or tag")
        sources = verbs.add_parser(
            "sources",
            parents=common,
            help="sources from elsewhere: those that wait for approval, and approved ones",
        )
        sources.add_argument("--waiting", action="store_true", help="only those that wait")
        approve = verbs.add_parser(
            "approve", parents=common, help="print a source from elsewhere, and let exactly this one run here"
        )
        approve.add_argument("--yes", action="store_true", help="do not ask; it has been read before")
        withdraw = verbs.add_parser("withdraw", parents=common, help="take an approval back")
        for verb in (approve, withdraw):
            verb.add_argument("sha256", help="of the source, all 64 digits")
        verbs.add_parser(
            "sync",
            parents=common,
            help="look at the plugin folder now; exit status 1 if a file is broken",
        )

    def run(self, **options: Any) -> int:
        if options["verb"] == "list":
            self._list(options["kind"], everything=options["all"])
        elif options["verb"] == "show":
            self._show(options["name"], source=options["source"])
        elif options["verb"] == "diff":
            return self._diff(options["checkpoint"])
        elif options["verb"] == "sources":
            self._sources(waiting=options["waiting"])
        elif options["verb"] in {"approve", "withdraw"}:
            return self._decide(options)
        else:
            return self._sync()
        return SUCCEEDED

    def _list(self, kind: str | None, *, everything: bool) -> None:
        rows = Plugin.objects.all() if everything else Plugin.objects.filter(available=True)
        rows = rows.filter(kind=kind) if kind else rows
        if self.json:
            for plugin in rows:
                self.print_json(as_data(plugin))
            return
        cells = []
        for plugin in rows:
            names = ", ".join(param["name"] for param in plugin.params)
            where = plugin.path if plugin.available else f"{plugin.path} (source removed)"
            cells.append((plugin.kind, plugin.name, plugin.label, names, where))
        self.print_table(("Kind", "Class", "Label", "Parameters", "Source"), cells)
        for file in selectors.broken_files():
            line = f":{file.error_line}" if file.error_line else ""
            self.stderr.write(f"broken: {file.path}{line}: {file.error}")

    def _show(self, name: str, *, source: bool) -> None:
        found = list(Plugin.objects.filter(name=name).select_related("source"))
        if not found:
            known = ", ".join(Plugin.objects.filter(available=True).values_list("name", flat=True)) or "none"
            raise InvalidInput({"name": f"{name!r} is not a known plugin; known: {known}"})
        for plugin in found:
            if self.json:
                self.print_json({**as_data(plugin), **({"text": plugin.source.text} if source else {})})
                continue
            if source:
                self.out.write(plugin.source.text)
                continue
            state = "" if plugin.available else " (source removed)"
            self.stdout.write(f"{plugin.kind} {plugin.name}: {plugin.label}{state}")
            self.stdout.write(f"{plugin.path} sha256 {plugin.source_id}")
            if plugin.description:
                self.stdout.write(f"\n{plugin.description}")
            requires = {**plugin.requires, "paper": plugin.requires.get("paper", {}).get("text")}
            facts = [f"{key} {value}" for key, value in requires.items() if value]
            if facts:
                self.stdout.write(f"\n{', '.join(facts)}")
            cells = [
                (
                    param["name"],
                    flag(param),
                    param["type"],
                    repr(param["default"]),
                    allowed(param),
                    param["help"],
                )
                for param in plugin.params
            ]
            if cells:
                self.print_table(("Parameter", "Flag", "Type", "Default", "Allowed", "Help"), cells)
        if source or self.json:
            return
        for file in PluginFile.objects.filter(path__in={plugin.path for plugin in found}):
            if file.error:
                self.stderr.write(f"\nthe file is broken, this is its last good version: {file.error}")
                self.stderr.write(file.error_context)
            if file.output:
                self.stderr.write(f"\nwhile it was loaded it printed:\n{file.output}")

    def _diff(self, checkpoint: str) -> int:
        origin = origins.find("checkpoint", self.actor, checkpoint)
        found = origins.changes(origin)
        told: set[str] = set()
        for change in found:
            if self.json:
                self.print_json(asdict(change))
                continue
            self.stdout.write(f"{change.status:8} {change.kind} {change.name} ({change.path})")
            if change.diff not in told:  # classes of one file have one diff
                told.add(change.diff)
                self.out.write(change.diff)
        if not found and not self.json:
            self.stdout.write(f"no plugin made {origin.title}")
        return FAILED if any(change.status != "same" for change in found) else SUCCEEDED

    def _sources(self, *, waiting: bool) -> None:
        found = PluginSource.objects.filter(on_disk_at=None).select_related("approved_by")
        rows = (found.waiting() if waiting else found).order_by("-first_seen_at", "sha256")
        if self.json:
            for row in rows:
                self.print_json(dict(PluginSourceSerializer(row).data))
            return
        cells = [
            (row.pk, row.path, "approved" if row.may_run else "waiting for approval", row.origin)
            for row in rows.defer("text")
        ]
        self.print_table(("sha256", "File", "State", "How it came"), cells)

    def _decide(self, options: dict[str, Any]) -> int:
        source = selectors.source(options["sha256"])
        if options["verb"] == "withdraw":
            approval.withdraw(actor=self.actor, source=source)
        else:
            if not self.json:
                self.out.write(f"{visible(source.text)}\n")
            if not options["yes"] and not self._agreed(source):
                return FAILED
            approval.approve(actor=self.actor, source=source)
        source.refresh_from_db()
        done = "may run here from now on" if source.may_run else "runs here no more"
        self.tell(dict(PluginSourceSerializer(source).data), f"{source.path} {source.pk} {done}")
        return SUCCEEDED

    def _agreed(self, source: PluginSource) -> bool:
        if not sys.stdin.isatty():
            self.stderr.write("error: nobody is there to be asked; read the source, then say --yes")
            return False
        answer = input(f"Let {source.path} {source.pk[:12]}, as printed above, run on this server? [y/N] ")
        return answer.strip().lower() in {"y", "yes"}

    def _sync(self) -> int:
        # The site never runs plugin code, nor imports what does.
        command = [sys.executable, "-m", "workers.watcher", "--once", *(["--json"] if self.json else [])]
        done = subprocess.run(command, cwd=settings.ROOT, check=False)  # noqa: S603 - our own module
        return done.returncode


def as_data(plugin: Plugin) -> dict[str, Any]:
    """Return a plugin as the API shows it."""
    return dict(PluginSerializer(plugin).data)
