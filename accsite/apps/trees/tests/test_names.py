"""One rule holds for the names of everything; what is asked for is judged before any work, and addresses are free."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from acc.errors import InvalidInput
from accsite.apps.access.tokens import make_token
from accsite.apps.datasets import services as datasets
from accsite.apps.datasets.models import Dataset
from accsite.apps.datasets.services import generation, imports
from accsite.apps.jobs.models import Job
from accsite.apps.registry.models import Plugin
from accsite.apps.training.models import Branch
from accsite.apps.training.services import experiments, tasks
from accsite.apps.training.services.branches import rename_branch
from accsite.apps.training.tests import rows
from accsite.apps.trees.services import marks

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]

NAMES = ["3dshapes", "a, b", "Größe (mm)", "ラベル", "posX", "100 %", "a/b=c;d"]
MODEL = {
    "architecture": "FactorSlotAutoencoder",
    "image": {"channels": 1, "height": 32, "width": 32},
    "latent_dim": 8,
}


@pytest.mark.parametrize("name", NAMES)
def test_any_line_names_anything(user: Any, plugins: dict[str, Plugin], branch: Branch, name: str) -> None:
    job = generation.submit_generation(actor=user, generator="HandwrittenDigits", n=50, name=f" {name} ")
    assert job.spec["name"] == name
    dataset = datasets.rename(actor=user, dataset=rows.make_dataset(name="x", slug="x"), name=name)
    assert dataset.name == name
    made = experiments.create_experiment(
        actor=user, name=name, model={**MODEL, "factor_groups": [{"name": name, "start": 0, "end": 2}]}
    )
    assert (made.name, made.model_spec["factor_groups"][0]["name"]) == (name, name)
    assert rename_branch(actor=user, branch=branch, name=name).name == name
    checkpoint = rows.make_checkpoint(branch)
    assert marks.mark_checkpoint(actor=user, checkpoint=checkpoint, tag=name).tag == name
    assert make_token(user=user, name=name)[0].name == name
    client = Client()
    client.force_login(user)
    for address in (
        reverse("trees:experiment", args=[made.slug]),
        reverse("training:workbench", args=[branch.experiment.slug, branch.slug]),
    ):
        page = client.get(address)
        assert page.status_code == 200
        assert name in page.content.decode()


@pytest.mark.parametrize("name", ["a\nb", "x" * 81, "\u202eabc"])
def test_what_is_no_line_is_refused_before_any_work(
    user: Any, plugins: dict[str, Plugin], branch: Branch, name: str
) -> None:
    asked = [
        lambda: generation.submit_generation(actor=user, generator="HandwrittenDigits", n=50, name=name),
        lambda: imports.submit_import(actor=user, upload=None, name=name),
        lambda: experiments.create_experiment(actor=user, name=name, model=MODEL),
        lambda: experiments.create_branch(actor=user, experiment=branch.experiment, name=name),
        lambda: rename_branch(actor=user, branch=branch, name=name),
        lambda: tasks.add_task(
            actor=user, branch=branch, dataset="x", task_class="KLDivergenceTask", name=name
        ),
        lambda: make_token(user=user, name=name),
    ]
    for ask in asked:
        with pytest.raises(InvalidInput) as refused:
            ask()
        assert "name" in refused.value.fields
    assert not Job.objects.exists()


def test_addresses_are_free_and_names_alike_but_for_capitals_are_one(user: Any, branch: Branch) -> None:
    first = experiments.create_experiment(actor=user, name="ラベル", model=MODEL)
    second = experiments.create_experiment(actor=user, name="猫犬", model=MODEL)
    third = experiments.create_experiment(actor=user, name="a b", model=MODEL)
    fourth = experiments.create_experiment(actor=user, name="a-b", model=MODEL)
    slugs = [each.slug for each in (first, second, third, fourth)]
    assert slugs == ["experiment", "experiment-2", "a-b", "a-b-2"]
    with pytest.raises(InvalidInput, match="'A B' is already the name of an experiment"):
        experiments.create_experiment(actor=user, name="A B", model=MODEL)
    assert experiments.create_experiment(actor=user, name="New", model=MODEL).slug == "new-2"
    other = experiments.create_branch(actor=user, experiment=branch.experiment, name="枝")
    assert other.slug == "branch"


@pytest.fixture
def odd(tmp_path: Any, settings: Any) -> Dataset:
    """Return a dataset whose targets have names of every kind."""
    import numpy as np

    from acc.data import AccDataset
    from acc.specs import TargetSpec

    options = {"location": str(tmp_path / "blobs"), "base_url": None}
    settings.STORAGES = {**settings.STORAGES, "default": {**settings.STORAGES["default"], "OPTIONS": options}}
    settings.HOME = tmp_path / "home"
    images = np.random.default_rng(0).integers(0, 256, (20, 1, 8, 8), dtype=np.uint8)
    reals = {name: np.linspace(0, 1, 20) for name in NAMES}
    specs = [TargetSpec(name=name, kind="real") for name in NAMES]
    kind = TargetSpec(name="kind", kind="class", classes=2, labels=("a, b", "c"))
    data = AccDataset(images, {**reals, "kind": np.arange(20) % 2}, [*specs, kind])
    data.save(tmp_path / "d.safetensors")
    return datasets.create_dataset(
        actor=None, name="a, b", dataset_path=tmp_path / "d.safetensors", provenance={}
    )


@pytest.mark.parametrize("name", NAMES)
def test_targets_of_any_name_are_shown_filtered_and_exported(user: Any, odd: Dataset, name: str) -> None:
    client = Client()
    client.force_login(user)
    page = client.get(reverse("datasets:detail", args=[odd.slug]))
    assert page.status_code == 200
    api = APIClient()
    api.force_login(user)
    place = f"/api/v1/datasets/{odd.slug}"
    found = api.get(f"{place}/samples/", {f"{name}.min": "0.5", "sort": name})
    assert (found.status_code, found.json()["total"]) == (200, 10)
    found = api.get(f"{place}/histogram/", {"target": name})
    assert sum(found.json()["counts"]) == 20
    assert api.get(f"{place}/samples/", {"kind.in": '"a, b"'}).json()["total"] == 10
    assert api.get(f"{place}/samples/", {"kind.in": '"a, b",c'}).json()["total"] == 20
    sent = api.get(f"{place}/export/", {"format": "csv"})
    assert sent["Content-Disposition"].startswith("attachment")
    table = b"".join(sent.streaming_content).decode()  # type: ignore[attr-defined]
    import csv
    import io

    head = next(csv.reader(io.StringIO(table)))
    assert head == ["file", *NAMES, "kind"]
