"""The registry of one process: discover, load, validate, swap; the last good version stays on error."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from acc.errors import PluginError
from acc.plugins.load import built_in_models, load_source
from acc.plugins.scan import Finder, FoundFile
from acc.plugins.types import Kind, PluginClass


@dataclass(frozen=True)
class Change:
    """What a scan found of one file: ``loaded`` (new or changed), ``broken`` or ``removed``."""

    path: str
    what: Literal["loaded", "broken", "removed"]


class PluginRegistry:
    """Plugin classes below ``root``, in the folders ``tasks``, ``generators``, ``recipes``, ``models``, ``methods``,
    ``metrics``.

    Call ``scan``.

    ``errors``: path -> error of the file as it is now; its last good version, if any, is still served.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._finder = Finder(root)
        self.errors: dict[str, PluginError] = {}
        self._seen: dict[str, str] = {}  # path -> sha256 of what was last looked at
        self._loaded: dict[str, list[PluginClass]] = {}  # path -> classes of the last good version
        self._clashing: set[str] = set()  # files refused for a name that another has
        self._built_in = {plugin.name: plugin for plugin in built_in_models()}

    def scan(self) -> list[Change]:
        """Look at every file, load what has changed, and return what happened."""
        files = self._finder.find()
        changes = [self._remove(path) for path in sorted(self._seen.keys() - files.keys())]
        # A file that clashed with another is looked at again when anything changes: the other may be gone.
        stale = {path for path in files if self._seen.get(path) != files[path].sha256}
        if stale or changes:
            stale |= self._clashing & files.keys()
        loaded = {path: self._load(files[path]) for path in sorted(stale)}
        # A class may have moved to a file that was looked at before the one that it came from.
        for path in sorted(self._clashing & stale):
            loaded[path] = self._load(files[path])
        return [*changes, *loaded.values()]

    def classes(self, kind: Kind) -> dict[str, PluginClass]:
        """Return the classes of a kind by name."""
        found = {plugin.name: plugin for plugin in self._built_in.values() if plugin.kind == kind}
        for plugins in self._loaded.values():
            found.update({plugin.name: plugin for plugin in plugins if plugin.kind == kind})
        return dict(sorted(found.items()))

    def _load(self, file: FoundFile) -> Change:
        self._seen[file.path] = file.sha256
        self._clashing.discard(file.path)
        try:
            if file.error:
                raise PluginError(file.error, path=file.path)
            loaded = load_source(file.text, file.path, file.sha256)
            self._refuse_clash(loaded, file.path)
        except PluginError as error:
            self.errors[file.path] = error
            return Change(file.path, "broken")
        self._loaded[file.path] = loaded
        self.errors.pop(file.path, None)
        return Change(file.path, "loaded")

    def _remove(self, path: str) -> Change:
        self._seen.pop(path, None)
        self._clashing.discard(path)
        self._loaded.pop(path, None)
        self.errors.pop(path, None)
        return Change(path, "removed")

    def _refuse_clash(self, loaded: list[PluginClass], path: str) -> None:
        for plugin in loaded:
            others = [
                other.path
                for where, held in self._loaded.items()
                if where != path
                for other in held
                if (other.kind, other.name) == (plugin.kind, plugin.name)
            ]
            if plugin.name in self._built_in and plugin.kind == "model":
                others.append(self._built_in[plugin.name].path)
            if others:
                self._clashing.add(path)
                raise PluginError(
                    f"class {plugin.name} is already defined in {others[0]}; give one of them another name",
                    path=path,
                )
