"""A private experiment with everything that can hang on one, and people of every role around it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from uuid import UUID

from django.contrib.auth.models import Group, User
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.urls import URLResolver, get_resolver
from django.utils import timezone

from accsite.apps.datasets.models import Dataset
from accsite.apps.evaluation.models import Artifact, Evaluation
from accsite.apps.recipes.models import RecipeRun, RecipeStep
from accsite.apps.registry.models import PluginFile, PluginKind, PluginSource
from accsite.apps.studies.models import Study
from accsite.apps.studies.services import studies
from accsite.apps.training.models import Branch, ExperimentShare, Visibility
from accsite.apps.training.tests import rows

SECRET = "secret-zebra"
"""In the name of whatever is private: a page that holds it has told."""

PEOPLE = ("nobody", "viewer", "stranger", "reader", "editor", "owner", "operator", "administrator")
"""``stranger`` is a researcher with whom nothing is shared; the operator may look at the experiment."""


PLUGINS = {
    "task": "ReconstructionTask",
    "generator": "HandwrittenDigits",
    "model": "Autoencoder",
    "method": "BetaVAE",
    "metric": "FactorVAEScore",
    "recipe": "Quickstart",
}


@dataclass
class World:
    """Rows by what they are, and users by who they are."""

    users: dict[str, User | None]
    branch: Branch
    things: dict[str, Any]
    dataset: Dataset
    source: PluginSource

    def arguments(self, name: str, wanted: set[str]) -> dict[str, Any]:
        """Return arguments for an address: of the private experiment wherever it can be about one."""
        thing = self.things.get("look" if name.startswith("dataset-look") else name.partition("-")[0])
        about_dataset = name.startswith(("dataset", "detail", "samples"))
        known = {
            "slug": self.dataset.slug if about_dataset else SECRET,
            "experiment": SECRET,
            "branch": self.branch.slug,
            "pk": self.source.pk if name.startswith("plugin-source") else getattr(thing, "pk", 1),
            "artifact": self.things["artifact"].pk,
            "checkpoint": self.things["checkpoint"].pk,
            "job": self.things["job"].pk,
            "form": "csv",
            "name": PLUGINS.get(name.removeprefix("registry-").partition("-")[0], "head"),
            "path": "tasks/mine.py",
            "sha256": self.source.pk,
            "key": "k",
            "attempt": 1,
            "rank": 0,
            "id": getattr(thing, "pk", UUID(int=0)),
            "action": "mark",
            "what": "end",
        }
        return {name: known[name] for name in wanted}


def make_world() -> World:
    """Make the rows."""
    people: dict[str, User] = {}
    for name in PEOPLE[1:]:
        user = people[name] = User.objects.create_user(name)
        role = name if name in ("viewer", "operator", "administrator") else "researcher"
        user.groups.add(Group.objects.get(name=role))
    rows.make_plugins()
    rows.make_plugin(PluginKind.RECIPE, "Quickstart")
    rows.make_plugin(PluginKind.METHOD, "BetaVAE")
    rows.make_plugin(PluginKind.METRIC, "FactorVAEScore")
    dataset = rows.make_dataset()
    branch = rows.make_branch(people["owner"], SECRET, visibility=Visibility.PRIVATE)
    for name, level in (("reader", "view"), ("operator", "view"), ("editor", "change")):
        ExperimentShare.objects.create(experiment=branch.experiment, user=people[name], level=level)
    task = rows.make_task(branch, dataset, name=SECRET)
    worker = rows.make_worker("w")
    job = rows.make_job(branch, title=f"Train {SECRET}", created_by=people["owner"], message=SECRET)
    rows.make_job(branch, title=f"Train {SECRET}", state="RUNNING", worker=worker, created_by=people["owner"])
    checkpoint = rows.make_checkpoint(branch, job, tag=SECRET)
    evaluation = Evaluation.objects.create(branch=branch, checkpoint=checkpoint, step=1)
    file = default_storage.save(f"{SECRET}.png", ContentFile(b"png"))
    artifact = Artifact.objects.create(
        evaluation=evaluation, kind="picture", name=SECRET, file=file, sha256="0" * 64
    )
    source = PluginSource.objects.first()
    assert source is not None
    PluginFile.objects.create(path="tasks/mine.py", sha256=source.pk)
    recipe = rows.make_job(None, kind="recipe", title="Recipe", created_by=people["owner"])
    run = RecipeRun.objects.create(
        recipe="Recipe", label=SECRET, source=source, job=recipe, created_by=people["owner"]
    )
    RecipeStep.objects.create(
        run=run, path="1", verb="experiment", experiment=branch.experiment, branch=branch
    )
    look = rows.make_job(
        None,
        kind="import",
        title=f"Look at {SECRET}",
        state="SUCCEEDED",
        message=SECRET,
        created_by=people["owner"],
        finished_at=timezone.now(),
        spec={
            "name": SECRET,
            "look": True,
            "upload": {"path": f"/srv/import/{SECRET}.npz"},
            "labels": None,
            "mapping": None,
        },
        result={
            "source": {"file": f"{SECRET}.npz", "format": "npz", "rows": 1},
            "mapping": {"images": SECRET},
            "preview": {
                "picture": {
                    "file": file,
                    "sha256": sha256(b"png").hexdigest(),
                    "n": 1,
                    "height": 8,
                    "width": 8,
                }
            },
        },
    )
    rows.make_job(
        None,
        kind="import",
        title=f"Import {SECRET}",
        state="RUNNING",
        worker=worker,
        created_by=people["owner"],
        spec={
            "name": SECRET,
            "look": False,
            "looked": look.pk,
            "upload": look.spec["upload"],
            "labels": None,
        },
    )
    things = {
        "look": look,
        "study": make_study(branch, people["owner"]),
        "experiment": branch.experiment,
        "branch": branch,
        "run": branch,
        "task": task,
        "job": job,
        "queue": job,
        "checkpoint": checkpoint,
        "other": rows.make_checkpoint(branch, job, step=20),
        "worker": worker,
        "evaluation": evaluation,
        "artifact": artifact,
        "recipe": run,
        "owner": people["owner"],
    }
    return World({"nobody": None, **people}, branch, things, dataset, source)


def make_study(branch: Branch, owner: User) -> Study:
    """Return a private study of a branch that was begun: it can be stopped, extended, and gone on with."""
    study = studies.repeat_branch(actor=owner, branch=branch, seeds=2, outcome=SECRET, name=SECRET)
    assert study.visibility == Visibility.PRIVATE
    return study


def routes(under: str = "accsite.urls", prefix: str = "") -> Iterator[tuple[str, str, Any]]:
    """Yield (namespace, address, pattern) of every address below a module of addresses."""
    yield from _walk(get_resolver(under), "", prefix)


def _walk(resolver: Any, namespace: str, before: str) -> Iterator[tuple[str, str, Any]]:
    for pattern in resolver.url_patterns:
        where = before + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from _walk(pattern, pattern.namespace or namespace, where)
        else:
            yield namespace, where, pattern
