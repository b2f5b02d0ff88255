"""Jobs that make datasets by a generator."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from acc.errors import InvalidInput
from acc.params import Param, clean_params
from accsite.apps.datasets import selectors as datasets
from accsite.apps.datasets import services as dataset_services
from accsite.apps.datasets.models import Dataset
from accsite.apps.datasets.recipes import recipe_hash
from accsite.apps.jobs.models import Job, JobKind
from accsite.apps.jobs.services.idempotency import enqueue_once, submitted_before
from accsite.apps.jobs.services.unit import unit_of_work
from accsite.apps.registry import selectors as registry
from accsite.apps.registry.models import Plugin, PluginKind
from accsite.errors import WrongState
from accsite.names import clean_name


class DatasetExists(WrongState):
    """What was asked for has been made before; ``existing`` is the dataset's address."""

    def __init__(self, dataset: Dataset, why: str) -> None:
        super().__init__({"__all__": why})
        self.existing = dataset.slug


@unit_of_work()
def submit_generation(
    *,
    actor: Any,
    generator: str,
    params: Mapping[str, Any] | None = None,
    n: Any = None,
    seed: Any = 0,
    name: str = "",
    force: bool = False,
    idempotency_key: str | None = None,
) -> Job:
    """Return a new job that makes a dataset; ``n`` None: as many images as the generator has.

    Raises InvalidInput naming each wrong field, and DatasetExists when the same generator, version, parameters, n
    and seed have made a dataset already, unless ``force`` is given.
    """
    known = submitted_before(actor, idempotency_key)
    if known is not None:
        return known
    errors: dict[str, list[str]] = {}
    spec: dict[str, Any] = {"generator": generator, "n": None}
    plugin = None
    try:
        plugin = registry.get(PluginKind.GENERATOR, generator)
        spec["source_sha256"] = plugin.source_id
        spec["params"] = clean_params(plugin.params, params or {})
    except InvalidInput as error:
        errors.update(error.fields)
    for field, value, least in (("n", n, 1), ("seed", seed, 0)):
        if value is None or value == "":
            continue
        try:
            spec[field] = Param(least, min=least, max=2**31 - 1).clean(value)
        except ValueError as error:
            errors[field] = [str(error)]
    spec = {"seed": 0, **spec}
    if plugin is not None and not errors and not force:
        _refuse_made_before(plugin, spec)
    try:
        spec["name"] = clean_name(name or (dataset_services.free_name(plugin.label) if plugin else "Dataset"))
        dataset_services.check_free(spec["name"])
    except InvalidInput as error:
        errors.update(error.fields)
    if errors:
        raise InvalidInput(errors)
    return enqueue_once(
        actor,
        idempotency_key,
        JobKind.GENERATE,
        title=f"Generate {spec['name']}",
        spec=spec,
        total_steps=spec["n"] or 0,
    )


def _refuse_made_before(plugin: Plugin, spec: Mapping[str, Any]) -> None:
    made_from = {**spec, "version": plugin.requires.get("version", 1)}
    found = Dataset.objects.filter(recipe_hash=recipe_hash(made_from)).order_by("pk").first()
    if found is None:
        return
    changed = found.provenance.get("source_sha256") not in {None, plugin.source_id}
    why = f"the same parameters and seed have made '{found.name}' already; use it, or ask with force"
    if changed:
        why += f" ({plugin.path} has changed since, but its version is still {made_from['version']})"
    raise DatasetExists(found, f"{why}")


def regeneration(slug: str) -> dict[str, Any]:
    """Return what a generated dataset was made from, to begin the making of another one with.

    ``generator``, ``params``, ``n``, ``seed``, and a free ``name``; parameters that the generator no longer has are
    left out. Raises InvalidInput (dataset, generator) for one that was imported, or whose generator is gone.
    """
    dataset = datasets.get(slug)
    made = dataset.provenance
    if not dataset.recipe_hash:
        raise InvalidInput(dataset=f"'{dataset.name}' was not made by a generator: it cannot be made anew")
    plugin = registry.get(PluginKind.GENERATOR, made["generator"])
    known = {param["name"] for param in plugin.params}
    return {
        "generator": plugin.name,
        "params": {name: value for name, value in made["params"].items() if name in known},
        "n": made["n"],
        "seed": made["seed"],
        "name": dataset_services.free_name(dataset.name),
    }
