"""What a specification names, made real: classes from frozen sources, datasets and checkpoints from files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from acc.data import AccDataset
from acc.errors import CheckpointError, InvalidInput
from acc.plugins import PluginClass, load_source
from acc.specs import DatasetSpec, TaskSpec, TrainJobSpec
from acc.training.checkpoints import files
from acc.training.plugin_set import PluginSet
from acc.training.protocols import Command
from accsite import blobs
from accsite.apps.datasets import selectors as datasets
from accsite.apps.datasets.models import Dataset
from accsite.apps.registry import approval
from accsite.apps.registry.models import PluginSource
from accsite.apps.training.models import Checkpoint
from workers.fork import copies


class Datasets(Mapping[str, AccDataset]):
    """Datasets by the keys that tasks use: memory-mapped files of the content that a job was given."""

    def __init__(self, specs: Mapping[str, DatasetSpec] | None = None) -> None:
        self._loaded: dict[str, AccDataset] = {}
        for key, spec in (specs or {}).items():
            self.load(key, spec)

    def load(self, key: str, spec: DatasetSpec) -> None:
        """Make the dataset of ``spec`` available as ``key``; raises InvalidInput if it is gone."""
        known = self._loaded.get(key)
        if known is not None and known.content_hash == spec.content_hash:
            return
        found = load_dataset(spec)
        if found is None:
            what = f"'{spec.name}' with content {spec.content_hash[:12]}"
            raise InvalidInput({"dataset": f"{what} is not on this site any more"})
        self._loaded[key] = found

    def __getitem__(self, key: str) -> AccDataset:
        return self._loaded[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._loaded)

    def __len__(self) -> int:
        return len(self._loaded)


class Materials:
    """The datasets and classes of a train job, for each of its ranks; commands that add tasks bring their own."""

    def __init__(
        self, spec: TrainJobSpec, resumed: files.Checkpoint | None, mended: Mapping[str, str] | None = None
    ) -> None:
        """Collect what ``spec`` names, and what the checkpoint that it goes on from was trained with.

        mended: class name -> sha256 of the source that is used instead of an older one, wherever that is named.
        """
        self.classes = classes_of(spec.plugins)
        needed = dict(spec.datasets)
        if resumed is not None:
            self.classes.add(*from_header(resumed.header.plugins))
            needed |= resumed.header.spec.datasets
        newer = mended or {}
        self.classes.add(*(each for each in from_rows(newer.values()) if each.name in newer))
        self.datasets = Datasets(needed)

    def prepare(self, command: Command) -> None:
        """Bring what ``command`` needs, before it is carried out."""
        if command.kind == "add_task":
            task = TaskSpec.model_validate(command.payload["task"])
            self.datasets.load(task.dataset, DatasetSpec.model_validate(command.payload["dataset"]))
            self.classes.add(*from_rows([task.source_sha256]))


def load_dataset(spec: DatasetSpec) -> AccDataset | None:
    """Return the dataset of a specification's content, memory-mapped; None if it is not on this site any more."""
    row = Dataset.every.filter(content_hash=spec.content_hash).order_by("pk").first()
    if row is None:
        return None
    found = AccDataset.load(datasets.local_path(row))
    found.name = spec.name
    return found


def load_checkpoint(row: Checkpoint) -> files.Checkpoint:
    """Return a checkpoint from its file; raises CheckpointError unless it is what was recorded."""
    try:
        return files.load(blobs.open_local(row.file, row.sha256))
    except blobs.BlobDamaged as error:
        raise CheckpointError(f"checkpoint {row}: {error}") from error


def classes_of(plugins: Mapping[str, str]) -> PluginSet:
    """Return the classes that a job froze, as class name -> sha256 of its source."""
    found = PluginSet()
    found.add(*from_rows(plugins.values()))
    return found


def from_rows(hashes: Iterable[str]) -> list[PluginClass]:
    """Return the classes of kept plugin sources; raises NotApproved if one may not run here, and then runs none."""
    wanted = sorted({sha256 for sha256 in hashes if sha256})
    rows = PluginSource.objects.in_bulk(wanted)
    approval.require(wanted)
    return _loaded((row.text, row.path, row.sha256) for row in rows.values())


def from_header(plugins: Mapping[str, Mapping[str, Any]]) -> list[PluginClass]:
    """Return the classes whose sources a checkpoint carries; raises NotApproved as ``from_rows`` does.

    A checkpoint's own words count for nothing: what is asked about is the text that would run.
    """
    sources = {each["sha256"]: each for each in plugins.values()}
    approval.require_files((each["sha256"], each["source"]) for each in plugins.values())
    return _loaded((each["source"], each["path"], each["sha256"]) for each in sources.values())


def _loaded(sources: Iterable[tuple[str, str, str]]) -> list[PluginClass]:
    """Return the classes of sources (text, path, sha256); a copy of this process that one of them forked is ended."""
    try:
        return [cls for text, path, sha256 in sources for cls in load_source(text, path, sha256)]
    finally:
        copies.end_if_copy()
