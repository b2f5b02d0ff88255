"""What the result of a part depends on, as one hash: the same key means the same numbers and pictures."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from acc.specs import EvalJobSpec, EvalSpec
from acc.version import __version__
from accsite.apps.datasets.models import Dataset
from accsite.apps.evaluation.models import HELD_OUT
from accsite.apps.training.models import Checkpoint

OPTIONS: Mapping[str, tuple[str, ...]] = {
    "metrics": ("rows",),
    "reconstructions": ("rows", "images", "seed", "shown"),
    "traversals": ("dataset", "rows", "seeds", "steps", "direction", "groups", "own", "seed"),
    "sort": ("dataset", "rows", "sort_images", "direction", "groups", "own"),
    "attention": ("dataset", "rows", "images", "seed"),
    "ufr": ("dataset", "rows", "concepts", "own", "match", "seed"),
}
OF_METRICS = ("dataset", "rows", "concepts", "seed")
"""The options of a metric that is a plugin, beside its parameters."""


def part_key(checkpoint: Checkpoint, spec: EvalSpec, part: str) -> str:
    """Return the key of a part: of the weights, the versions of plugins and engine, and its own options.

    Of a metric that is a plugin ``spec`` is an ``EvalJobSpec``, which says its version and all of its parameters.
    """
    frozen = checkpoint.spec
    tasks = frozen.get("tasks", [])
    used = OPTIONS.get(part, OF_METRICS)
    options = spec.model_dump(mode="json", include=set(used))
    # What was measured before there was a choice goes on to count.
    if options.get("shown") == "fixed":
        del options["shown"]
    if part in ("metrics", "reconstructions") and options["rows"] == HELD_OUT:
        del options["rows"]
    depends = {
        "part": part,
        "checkpoint": [checkpoint.pk, checkpoint.sha256],
        "plugins": frozen.get("plugins", {}),
        "tasks": [[task.get("key"), task.get("source_sha256", "")] for task in tasks],
        "engine": __version__,
        "options": options,
    }
    if part not in OPTIONS:
        version = spec.plugins.get(part, "") if isinstance(spec, EvalJobSpec) else ""
        depends["metric"] = [version, spec.params_of(part)]
    if "dataset" in used and spec.dataset and spec.dataset not in frozen.get("datasets", {}):
        named = Dataset.every.filter(slug=spec.dataset).values_list("content_hash", flat=True)
        depends["content"] = named.first() or ""
    return hashlib.sha256(json.dumps(depends, sort_keys=True).encode()).hexdigest()
