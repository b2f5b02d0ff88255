"""A checkpoint opened for evaluation: everything that can be asked of it, each dataset encoded once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from acc import rng
from acc.data import AccDataset
from acc.errors import InvalidInput
from acc.evaluation import attention, axes, custom, encoding, factoring, sorting, task_metrics, traversals
from acc.evaluation.encoding import Encoded
from acc.metrics import Metric
from acc.models import build
from acc.models.base import check_image
from acc.results import (
    AttentionMaps,
    EvalResult,
    Factoring,
    MetricValue,
    ReconstructionGrid,
    SortedImages,
    Traversal,
)
from acc.specs import EvalSpec
from acc.text import text_of
from acc.training.batch import Indices, Stored
from acc.training.checkpoints.carried import carried_classes
from acc.training.checkpoints.files import Checkpoint, load
from acc.training.checkpoints.restore import load_model
from acc.training.context import JobFacts
from acc.training.devices import DeviceManager
from acc.training.plugin_set import PluginSet
from acc.training.settings import on_gpu
from acc.training.split import HELD_OUT, Split, fixed_examples
from acc.training.task import JointTask
from acc.training.taskset import Entry, TaskSet

if TYPE_CHECKING:
    from acc.data import AccDataset

ONLY_DATASET = "data"


class FactoringEvaluator:
    """Measures a checkpoint from its posterior means in eval mode; the caller's random state is kept.

    checkpoint: one, or the path of its file. datasets: by the keys that the checkpoint's tasks use, and others
    to look at; one alone is ``data``. classes: tasks and models that the checkpoint was made with; None: those of the
    run that it is of (``TrainRun.checkpoint``), else they are made from the sources that it carries. These run only if
    they are those of installed plugins, or with ``trust_code``. Each dataset is encoded once, whatever is asked.
    Raises CheckpointError, InvalidInput.
    """

    def __init__(
        self,
        checkpoint: str | Path | Checkpoint,
        datasets: AccDataset | Mapping[str, AccDataset],
        classes: PluginSet | None = None,
        *,
        device: str = "auto",
        rows: str = "held_out",
        trust_code: bool = False,
    ) -> None:
        self.checkpoint = checkpoint if isinstance(checkpoint, Checkpoint) else load(checkpoint)
        self.job = self.checkpoint.header.spec
        self._datasets = {ONLY_DATASET: datasets} if isinstance(datasets, AccDataset) else datasets
        self._rows = rows
        self._device = torch.device(DeviceManager().resolve(device))
        self.classes = (
            classes
            or self.checkpoint.classes
            or carried_classes(
                self.checkpoint.header,
                trust_code=trust_code,
                ask="FactoringEvaluator(..., trust_code=True) runs it; or give the classes yourself, as classes=",
            )
        )
        self.model = build(self.job.model, self.classes.models)
        self.model.to(self._device).eval()
        load_model(self.model, self.checkpoint)
        header = self.checkpoint.header
        facts = JobFacts(
            total=self.job.train.steps,
            seed=self.job.train.seed,
            global_step=lambda: header.global_step,
            training_rows=lambda key: len(self._split(key).training),
        )
        self._tasks = TaskSet(self.classes, self.model, self._datasets, self._device, job=facts)
        self._known: dict[str, tuple[Indices, Tensor]] = {}
        self._encoded: dict[str, Encoded] = {}
        self._splits: dict[str, Split] = {}

    def metrics(self) -> list[MetricValue]:
        """Return the metrics of all tasks, on the rows held out; a task that cannot be made says why.

        Where combinations were held out too, each metric comes a second time, of their rows, as ``..._combinations``.
        """
        found: list[MetricValue] = []
        by_dataset: dict[str, list[Entry]] = {}
        for spec in self.job.tasks:
            self._tasks.dataset(spec.dataset)  # a dataset that is not there is the caller's error
            try:
                entry = self._tasks.entries.get(spec.key) or task_metrics.attach(
                    self._tasks, spec, self.checkpoint
                )
            except InvalidInput as error:
                found.append(MetricValue(spec.key, "loss", None, False, text_of(error)))
            else:
                by_dataset.setdefault(spec.dataset, []).append(entry)
        attached = [entry for entries in by_dataset.values() for entry in entries]
        joint = [entry for entry in attached if isinstance(entry.task, JointTask)]
        for entry in attached:
            entry.context.load(None)  # measuring the same twice gives the same
        measured = task_metrics.TaskMetrics(self.model, joint)
        with self._measuring():
            for key, entries in by_dataset.items():
                split = self._split(key)
                rows, _ = self._measured(key)
                asked = self._chosen(key)[0]
                stored = self._stored(key)
                values, known = measured.measure(stored, entries, split.training, rows, keep=asked)
                found.extend(values)
                if known is not None:
                    self._known[key] = known
                if self._rows not in ("test", "combinations") and len(split.combinations):
                    found.extend(self._of_combinations(stored, entries, split))
            found.extend(measured.joint())
        order = {task.key: place for place, task in enumerate(self.job.tasks)}
        return sorted(found, key=lambda metric: order[metric.task_key])

    def rows_in_words(self) -> dict[str, str]:
        """Return for each dataset of the tasks which rows its metrics are of, in words."""
        found = {}
        for key in dict.fromkeys(task.dataset for task in self.job.tasks):
            rows, words = self._measured(key)
            combinations = len(self._split(key).combinations)
            found[key] = f"{len(rows):,} {words}" if len(rows) else "none are held out"
            if combinations and self._rows not in ("test", "combinations"):
                found[key] += f"; {combinations:,} {encoding.COMBINATIONS}"
        return found

    def _of_combinations(self, stored: Stored, entries: list[Entry], split: Split) -> list[MetricValue]:
        measured = task_metrics.TaskMetrics(self.model)
        found, _ = measured.measure(
            stored, entries, split.training, split.combinations, keep=split.combinations[:0]
        )
        return [replace(metric, name=f"{metric.name}_combinations") for metric in found]

    def reconstructions(
        self, count: int = 8, seed: int = 0, shown: str = "fixed"
    ) -> list[ReconstructionGrid]:
        """Return ``count`` images of each dataset of the tasks, beside what the model makes of them.

        shown: ``fixed``, the same of a seed for every checkpoint; ``worst``, those with the greatest mean squared
        error of all that are held out (of none, of those trained on), the worst first.
        """
        grids = []
        with self._measuring():
            for key in dict.fromkeys(task.dataset for task in self.job.tasks):
                rows, words = self._measured(key)
                if not len(rows):
                    rows, words = self._split(key).training, encoding.TRAINING_IMAGES
                elif words == HELD_OUT:
                    words = encoding.HELD_OUT_IMAGES
                if shown == "worst":
                    chosen, words = self._worst(key, rows, count), f"the worst of {len(rows):,} {words}"
                else:
                    chosen = fixed_examples(self._tasks.dataset(key), rows, count=count, seed=seed)
                images = self._stored(key).batch(chosen).images
                drawn = self.model.encode(images).reconstruction
                grids.append(
                    ReconstructionGrid(
                        dataset_key=key,
                        indices=tuple(chosen.tolist()),
                        inputs=encoding.to_pixels(images).cpu().numpy(),
                        outputs=encoding.to_pixels(drawn).cpu().numpy(),
                        rows=words,
                    )
                )
        return grids

    def _worst(self, key: str, rows: Indices, count: int) -> Indices:
        """Return the ``count`` rows with the greatest mean squared error, the worst first; of equals the lower row."""
        rows, errors = np.sort(rows), encoding.Gathered(len(rows))
        for part in encoding.batches(rows):
            images = self._stored(key).batch(part).images
            apart = self.model.encode(images).reconstruction - images
            errors.add(apart.square().flatten(1).mean(dim=1))
        order = np.argsort(-errors.rows.cpu().numpy(), kind="stable")
        return rows[order[:count]]

    def traversals(self, dataset: str = "", **options: Any) -> list[Traversal]:
        """Return ``acc.evaluation.traverse`` of a dataset; options are its own."""
        with self._measuring():
            found = traversals.traverse(self.encoded(dataset), **options)
        _require_places(found, "traversals")
        return found

    def sort(self, dataset: str = "", **options: Any) -> list[SortedImages]:
        """Return ``acc.evaluation.sort_by_activation`` of a dataset; options are its own."""
        with self._measuring():
            found = sorting.sort_by_activation(self.encoded(dataset), **options)
        _require_places(found, "sort")
        return found

    def attention(self, dataset: str = "", **options: Any) -> AttentionMaps:
        """Return ``acc.evaluation.attention_maps`` of a dataset; options are its own."""
        with self._measuring():
            return attention.attention_maps(self.encoded(dataset), **options)

    def ufr(self, dataset: str = "", **options: Any) -> Factoring:
        """Return ``acc.evaluation.factoring`` of a dataset, the whole suite; options are its own."""
        with self._measuring():
            return factoring.factoring(self.encoded(dataset), **options)

    def custom(
        self,
        metric: str | type[Metric],
        dataset: str = "",
        *,
        concepts: Sequence[str] = (),
        seed: int = 0,
        **params: Any,
    ) -> list[MetricValue]:
        """Return the numbers of a metric of a plugin on a dataset; params: its own."""
        cls = self.classes.metric(metric) if isinstance(metric, str) else metric
        version = self.classes.sources([cls.__name__]).get(cls.__name__, {}).get("sha256", "")
        encoded = self.encoded(dataset)
        with self._measuring():
            return custom.measure(cls, params, encoded, concepts=concepts, seed=seed, version=version)

    def evaluate(self, spec: EvalSpec, progress: Callable[[float], None] = lambda _: None) -> EvalResult:
        """Return all that ``spec`` asks for. A part that this model or dataset cannot have says why.

        progress: told the fraction of the parts that are done, 0..1. Raises InvalidInput for names that do not
        exist.
        """
        suite, missing = tuple(dict.fromkeys(spec.suite)), {}
        result: dict[str, Any] = {}
        done = 0
        own_metrics = [self.classes.metric(name) for name in spec.metrics]
        if "metrics" in suite:
            result["metrics"] = self.metrics()
            progress((done := done + 1) / len(suite))
        if "reconstructions" in suite:
            result["reconstructions"] = self.reconstructions(spec.images, spec.seed, spec.shown)
            progress((done := done + 1) / len(suite))
        if set(suite) - {"metrics", "reconstructions"}:
            key = spec.dataset or self.default_dataset()
            own = dict(spec.own)
            where: dict[str, Any] = {"direction": spec.direction, "own": own, "groups": spec.groups}
            result["dataset_key"] = key
            parts: dict[str, tuple[str, Callable[[], Any]]] = {
                "traversals": (
                    "traversals",
                    lambda: self.traversals(key, seeds=spec.seeds, steps=spec.steps, seed=spec.seed, **where),
                ),
                "sort": ("sorts", lambda: self.sort(key, count=spec.sort_images, **where)),
                "attention": ("attention", lambda: self.attention(key, count=spec.images, seed=spec.seed)),
                "ufr": (
                    "factoring",
                    lambda: self.ufr(key, concepts=spec.concepts, own=own, match=spec.match, seed=spec.seed),
                ),
            }
            self.encoded(key)
            for part, (field, ask) in parts.items():
                if part in suite:
                    try:
                        result[field] = ask()
                    except InvalidInput as error:
                        without_targets = part == "ufr" and not spec.concepts and "concepts" in error.fields
                        if part not in error.fields and not without_targets:  # a name in the request is wrong
                            raise
                        missing[part] = next(iter(error.fields.values()))[0]
                    progress((done := done + 1) / len(suite))
            for metric in own_metrics:
                result.setdefault("custom", []).extend(
                    self.custom(
                        metric, key, concepts=spec.concepts, seed=spec.seed, **spec.params_of(metric.__name__)
                    )
                )
                progress((done := done + 1) / len(suite))
        step = self.checkpoint.header.global_step
        return EvalResult(step=step, missing=missing, rows=self.rows_in_words(), **result)

    def encoded(self, dataset: str = "") -> Encoded:
        """Return rows of a dataset with their latents, from one pass; ``dataset`` empty: the default one.

        Raises InvalidInput (dataset) for one that is not there or whose images do not fit the model.
        """
        key = dataset or self.default_dataset()
        if key not in self._encoded:
            data = self._tasks.dataset(key)
            check_image(self.model, data.images.shape[1:])
            chosen, words = self._chosen(key)
            with self._measuring():
                latents = self._latents(key, chosen)
                self._encoded[key] = Encoded(key, self._stored(key), self.model, chosen, words, latents)
        return self._encoded[key]

    def default_dataset(self) -> str:
        """Return the key of the dataset whose targets name the most factor groups; among equals the first."""
        keys = [key for key in self.job.datasets if key in self._datasets] or list(self._datasets)
        if not keys:
            raise InvalidInput({"dataset": "no dataset is given; an evaluation needs one"})
        groups = self.model.factor_groups
        return max(keys, key=lambda key: encoding.groups_named(groups, self._datasets[key].target_specs))

    def _latents(self, key: str, rows: Indices) -> Tensor:
        if key in self._known:
            known, latents = self._known[key]
            order = np.argsort(known)
            at = np.searchsorted(known[order], rows)
            if at.max(initial=-1) < len(known) and np.array_equal(known[order][at], rows):
                return latents[torch.from_numpy(order[at]).to(latents.device)]
        return encoding.encode(self.model, self._stored(key), rows)

    def _stored(self, key: str) -> Stored:
        data = self._tasks.dataset(key)
        trained = any(spec.content_hash == data.content_hash for spec in self.job.datasets.values())
        return Stored(data, self._device, self._split(key).training if trained else None)

    def _chosen(self, key: str) -> tuple[Indices, str]:
        return encoding.choose_rows(self._tasks.dataset(key), self.job, which=self._rows)

    def _measured(self, key: str) -> tuple[Indices, str]:
        """Return the rows that metrics and reconstructions are of, which nothing was trained on, and their words."""
        return encoding.part_of(self._split(key), self._rows)

    def _split(self, key: str) -> Split:
        if key not in self._splits:
            self._splits[key] = encoding.split_for(self._tasks.dataset(key), self.job)
        return self._splits[key]

    @contextmanager
    def _measuring(self) -> Iterator[None]:
        with rng.preserved(), on_gpu(self._device), torch.inference_mode():
            yield


def _require_places(found: list[Any], part: str) -> None:
    if not found:
        raise InvalidInput({part: axes.NO_GROUPS})
