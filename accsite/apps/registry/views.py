"""Plugins: every class that is known, and every file, with the lines at fault of those that could not be loaded."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods

from acc.errors import InvalidInput
from acc.text import visible
from accsite.apps.access.permissions import may_change
from accsite.apps.live import selectors as live
from accsite.apps.registry import approval, selectors
from accsite.apps.registry.models import Plugin, PluginFile, PluginKind, PluginSource
from accsite.apps.registry.params import allowed

KIND_LABELS = {
    PluginKind.TASK: "Tasks",
    PluginKind.MODEL: "Model architectures",
    PluginKind.GENERATOR: "Dataset generators",
    PluginKind.METHOD: "Methods",
    PluginKind.METRIC: "Metrics of a whole checkpoint",
    PluginKind.RECIPE: "Recipes",
}
EXAMPLE = '''from acc.api import Task


class SmallCode(Task):
    """Pulls the latent to nought, so that only what is needed is written into it."""

    def compute_loss(self, output, batch, head):
        return self.latent(output).square().mean()
'''
"""The shortest task, as docs/howto/task.md has it."""
VERBS = {"approve": approval.approve, "withdraw": approval.withdraw}
_NUMBERED = re.compile(r"^(?P<mark>[>\s]*)(?P<number>\d+)[ :|]{0,3}(?P<code>.*)$")


@dataclass(frozen=True)
class SourceLine:
    """One line of source around an error."""

    number: int
    code: str
    hit: bool


@dataclass(frozen=True)
class BrokenFile:
    """A file that could not be loaded, the source around its error, and the classes that go on serving."""

    file: PluginFile
    lines: list[SourceLine]
    serving: list[Plugin]


@dataclass(frozen=True)
class FileRow:
    """A file as it is on disk, and the classes it gives; those of a broken one are its last good version."""

    file: PluginFile
    classes: list[Plugin]


@dataclass(frozen=True)
class PluginRow:
    """A class, its parameters with what each may be in words, and the numbers of a metric with what each is."""

    plugin: Plugin
    params: list[tuple[dict[str, Any], str]]
    numbers: list[tuple[str, str]]


@dataclass(frozen=True)
class KindRows:
    """The classes of one kind that were asked for, and how many there are of it."""

    kind: str
    label: str
    count: int
    rows: list[PluginRow]


@require_GET
def plugins(request: HttpRequest) -> HttpResponse:
    """Show the plugins by kind, and first the files whose last load failed; ``?kind=`` and ``?q=`` choose."""
    asked = {name: value for name in ("kind", "q") if (value := request.GET.get(name, "").strip())}
    versions = live.versions(["registry"])
    found = list(Plugin.objects.all())
    files = list(PluginFile.objects.all())
    by_path: dict[str, list[Plugin]] = {}
    for plugin in found:
        if plugin.available:
            by_path.setdefault(plugin.path, []).append(plugin)
    context = {
        "versions": versions,
        "place": "plugins",
        "broken": [
            BrokenFile(file, source_lines(file), by_path.get(file.path, [])) for file in files if file.error
        ],
        "files": [FileRow(file, by_path.get(file.path, [])) for file in files],
        "kinds": kinds_of(found, asked),
        "asked": asked,
        "example": EXAMPLE,
        "folder": str(settings.PLUGINS_ROOT) if request.user.is_staff else "plugins",
        "elsewhere": list(selectors.sources_from_elsewhere(request.user).defer("text")),
        "plugins_url": f"{reverse('registry:plugins')}{'?' if asked else ''}{urlencode(asked)}",
    }
    name = "panel" if request.headers.get("HX-Request") == "true" else "plugins"
    return render(request, f"registry/{name}.html", context)


@require_http_methods(["GET", "POST"])
def source(request: HttpRequest, sha256: str) -> HttpResponse:
    """Show a source whole; an administrator approves it there (``verb=approve``), or takes that back (``withdraw``)."""
    found = get_object_or_404(PluginSource.objects.select_related("approved_by"), pk=sha256)
    refused = ""
    if request.method == "POST":
        try:
            change = VERBS.get(request.POST.get("verb", ""))
            if change is None:
                right = ", ".join(VERBS)
                raise InvalidInput({"verb": f"{request.POST.get('verb', '')!r} is not one of: {right}"})
            change(actor=request.user, source=found)
            return redirect("registry:source", sha256)
        except InvalidInput as error:
            refused = str(error)
    context = {
        "versions": live.versions(["registry"]),
        "place": "plugins",
        "source": found,
        "lines": enumerate(visible(found.text).split("\n"), 1),
        "decides": may_change(request.user, found),
        "refused": refused,
    }
    return render(request, "registry/source.html", context, status=422 if refused else 200)


def kinds_of(plugins: list[Plugin], asked: Mapping[str, str]) -> list[KindRows]:
    """Return the kinds with their classes; of those ``asked`` for by kind or by words, if that was done.

    Every word is to be found in what the class is called, says of itself, or lies in.
    """
    wanted = asked.get("q", "").lower().split()

    def fits(plugin: Plugin) -> bool:
        texts = " ".join((plugin.name, plugin.label, plugin.description, plugin.path)).lower()
        return asked.get("kind", plugin.kind) == plugin.kind and all(word in texts for word in wanted)

    found = []
    for kind, label in KIND_LABELS.items():
        of_kind = [plugin for plugin in plugins if plugin.kind == kind]
        rows = [plugin_row(plugin) for plugin in of_kind if fits(plugin)]
        found.append(KindRows(kind.value, label, len(of_kind), rows))
    return found


def plugin_row(plugin: Plugin) -> PluginRow:
    """Return a class as the page shows it."""
    numbers = numbers_of(plugin) if plugin.kind == PluginKind.METRIC else []
    return PluginRow(plugin, [(param, allowed(param)) for param in plugin.params], numbers)


def numbers_of(plugin: Plugin) -> list[tuple[str, str]]:
    """Return the numbers of a metric with direction and range in words."""
    directions = {True: "higher is better", False: "lower is better", None: "neither is better"}
    ranges = plugin.requires.get("ranges", {})
    return [
        (
            name,
            directions[higher] + (f", {ranges[name][0]:g} to {ranges[name][1]:g}" if name in ranges else ""),
        )
        for name, higher in plugin.requires.get("metrics", {}).items()
    ]


def source_lines(file: PluginFile) -> list[SourceLine]:
    """Return the source around a file's error; lines that carry no number of their own are counted."""
    lines = file.error_context.splitlines()
    matches = [_NUMBERED.match(line) for line in lines]
    if lines and all(matches):
        return [
            SourceLine(int(match["number"]), match["code"], int(match["number"]) == file.error_line)
            for match in matches
            if match
        ]
    first = max(1, (file.error_line or 1) - len(lines) // 2)
    return [SourceLine(number, line, number == file.error_line) for number, line in enumerate(lines, first)]
