"""The classes that a checkpoint's file carries as source: made only where that source may run.

Whoever opens a file that somebody else has made must not thereby run their code. Without being asked to trust it, a
source runs only if it is that of a plugin that is installed here (``$ACC_PLUGINS``, or the ``plugins`` folder beside
the package), by the hash of its text, whatever the file says that its hash is. A platform decides by approval instead.
"""

from __future__ import annotations

from collections.abc import Iterable

from acc.errors import CheckpointError
from acc.hashes import text_sha256
from acc.models import BUILT_IN
from acc.plugins.load import load_source
from acc.plugins.shipped import shipped_plugins
from acc.training.checkpoints.header import Header
from acc.training.plugin_set import PluginSet


def carried_classes(
    header: Header, names: Iterable[str] | None = None, *, trust_code: bool, ask: str
) -> PluginSet:
    """Return the classes of a checkpoint (``names``: of these alone), made by running the sources that it carries.

    What ACC itself has is taken from there and never run. Raises CheckpointError, before anything runs, naming the
    sources that are neither installed nor trusted; ``ask`` says there how to trust them.
    """
    carried = {
        name: kept
        for name, kept in header.plugins.items()
        if name not in BUILT_IN and (names is None or name in names)
    }
    if carried and not trust_code:
        _require_installed(carried, ask)
    found = PluginSet()
    for name, kept in carried.items():
        made = load_source(kept["source"], kept["path"], kept["sha256"])
        found.add(*(each for each in made if each.name == name))
    return found


def _require_installed(carried: dict[str, dict[str, str]], ask: str) -> None:
    installed = {each["sha256"] for each in shipped_plugins().sources(carried).values()}
    foreign = [
        f"{name} ({kept['path']} {text_sha256(kept['source'])[:12]})"
        for name, kept in carried.items()
        if text_sha256(kept["source"]) not in installed
    ]
    if foreign:
        raise CheckpointError(
            f"the checkpoint carries the source of {', '.join(foreign)}, which is not that of a plugin installed "
            f"here, so it is not run. If you trust who made it, {ask}"
        )
