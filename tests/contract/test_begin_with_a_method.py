"""An experiment begins with a method: the watcher's desk says what it makes, and every door makes the same of it."""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import connections
from django.test import Client

from acc.errors import InvalidInput
from acc.plugins.checker import Checker
from acc.plugins.scan import Finder
from accsite.apps.datasets.models import Dataset
from accsite.apps.registry import methods, services
from accsite.apps.registry.models import Plugin, PluginFile, PluginKind
from accsite.apps.registry.services import FileReport
from accsite.apps.training.forms.train import TrainForm
from accsite.apps.training.models import Experiment
from accsite.apps.training.services import jobs
from accsite.apps.training.services.beginnings import begin_experiment
from accsite.apps.training.specs import dataset_spec
from accsite.apps.training.tests import rows
from accsite.apps.trees.management.commands.experiments import Command

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def reports(checker: Checker) -> list[FileReport]:
    """What the check server says of all plugins that come with ACC."""
    files = Finder(Path(settings.PLUGINS_ROOT)).find()
    return [
        FileReport(path=path, sha256=files[path].sha256, text=files[path].text, **told)
        for path, told in checker.check(files.values()).items()
    ]


@pytest.fixture
def shipped(reports: list[FileReport], site: Client) -> Client:
    """A page of a site that has read these, with a dataset that has targets."""
    built_in = Plugin.objects.filter(built_in=True).values_list("path", flat=True)
    services.sync(reports, present=[*(report.path for report in reports), *built_in])
    rows.make_dataset("squares", width=20)
    return site


def ada() -> Any:
    return get_user_model().objects.get(username="ada")


def tasks_of(made: Experiment) -> list[tuple[str, float]]:
    found = made.branches.get().tasks.order_by("position")
    return [(task.task_class, task.weight) for task in found]


def test_the_page_is_filled_in_by_a_method_and_makes_what_it_shows(shipped):
    page = shipped.get("/experiments/new/?method=BetaVAE").content.decode()
    assert "Higgins et al. (2017)" in page
    assert re.search(r'value="BurgessVAE"\s+selected', page)
    assert "Reconstruction, weight 640; loss bce" in page
    assert "KL divergence, weight 4" in page
    sent = {
        "name": "one",
        "dataset": "squares",
        "latent_dim": "6",
        "method-chosen": "BetaVAE",
        "method-beta": "8",
    }
    answer = shipped.post("/experiments/new/?architecture=BurgessVAE", {**sent, "params-channels": "4"})
    assert answer.status_code == 302
    made = Experiment.objects.get()
    assert made.model_spec["latent_dim"] == 6
    assert made.model_spec["params"] == {"channels": 4, "hidden": 256}
    assert tasks_of(made) == [("ReconstructionTask", 640.0), ("KLDivergenceTask", 8.0)]
    assert made.method["params"] == {"beta": 8.0}
    assert "beta-VAE" in shipped.get(f"/experiments/{made.slug}/").content.decode()


def test_filling_in_again_takes_what_was_typed_for_the_method_alone(shipped):
    typed = {
        "name": "two",
        "dataset": "squares",
        "latent_dim": "99",
        "method-chosen": "BetaVAE",
        "method-beta": "2",
    }
    page = shipped.post("/experiments/new/?architecture=ConvVAE", {**typed, "fill": "1"}).content.decode()
    assert re.search(r'value="BurgessVAE"\s+selected', page)
    assert "KL divergence, weight 2" in page
    assert 'value="two"' in page
    assert re.search(r'name="latent_dim" value="10"', page)
    assert not Experiment.objects.exists()


def test_what_was_typed_stays_while_the_method_does(shipped):
    asked = "method=BetaVAE&method-chosen=BetaVAE&architecture=ConvVAE&latent_dim=33&dataset=squares&method-beta=5"
    page = shipped.get(f"/experiments/new/?{asked}").content.decode()
    assert re.search(r'value="ConvVAE"\s+selected', page)
    assert re.search(r'name="latent_dim" value="33"', page)
    assert re.search(r'name="method-beta" value="5"', page)


def test_a_wrong_parameter_stands_beside_its_field_and_nothing_is_made(shipped):
    sent = {"name": "one", "dataset": "squares", "method-chosen": "BetaVAE", "method-beta": "-1"}
    answer = shipped.post("/experiments/new/?architecture=BurgessVAE", sent)
    assert answer.status_code == 422
    told = re.search(r'id="id_method-beta_error">([^<]*)', answer.content.decode())
    assert told is not None
    assert "-1" in told[1]
    assert not Experiment.objects.exists()


def test_a_method_needs_a_dataset(shipped):
    with pytest.raises(InvalidInput, match="dataset: a method makes model and tasks for a dataset"):
        begin_experiment(actor=None, name="x", dataset=None, model={}, method="beta_vae")
    with pytest.raises(InvalidInput, match="method: 'beta_vea' cannot be used: it is not a known method"):
        begin_experiment(actor=None, name="x", dataset=Dataset.objects.get(), model={}, method="beta_vea")


def test_the_api_makes_the_same(shipped):
    body = {
        "name": "one",
        "dataset": "squares",
        "method": "beta_vae",
        "method_params": {"beta": 8},
        "model": {"seed": 3},
    }
    answer = shipped.post("/api/v1/experiments/", json.dumps(body), "application/json")
    assert answer.status_code == 201
    told = answer.json()
    assert told["method"]["name"] == "BetaVAE"
    assert told["method"]["paper"]["year"] == 2017
    assert (told["model"]["architecture"], told["model"]["seed"]) == ("BurgessVAE", 3)
    assert tasks_of(Experiment.objects.get()) == [("ReconstructionTask", 640.0), ("KLDivergenceTask", 8.0)]
    wrong = {**body, "name": "two", "method_params": {"bta": 1}}
    answer = shipped.post("/api/v1/experiments/", json.dumps(wrong), "application/json")
    assert answer.status_code == 422
    assert "method_params.bta" in answer.json()["errors"]


def shell(*words: str) -> int:
    """Run the command as a shell does and return its exit status."""
    try:
        Command().run_from_argv(["manage.py", "experiments", *words])
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def test_a_shell_makes_the_same(shipped, capsys):
    words = (
        "create",
        "one",
        "--dataset",
        "squares",
        "--method",
        "beta_vae",
        "--beta",
        "8",
        "--latent-dim",
        "7",
    )
    assert shell(*words) == 0
    assert "one: BurgessVAE with Reconstruction, KL divergence" in capsys.readouterr().out
    made = Experiment.objects.get()
    assert made.model_spec["latent_dim"] == 7
    assert tasks_of(made) == [("ReconstructionTask", 640.0), ("KLDivergenceTask", 8.0)]
    assert shell("create", "two", "--dataset", "squares", "--method", "beta_vae", "--beta", "-3") == 2
    assert "beta: '-3' is below the least allowed, 0" in capsys.readouterr().err


def test_two_that_are_made_at_once_by_one_person_are_both_made(shipped):
    def make(name: str) -> None:
        try:
            begin_experiment(
                actor=ada(),
                name=name,
                dataset=Dataset.objects.get(),
                model={},
                method="beta_vae",
                method_params={"beta": int(name)},
            )
        finally:
            connections.close_all()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(make, ["2", "3", "4", "5"]))
    assert sorted(Experiment.objects.values_list("name", flat=True)) == ["2", "3", "4", "5"]


def test_trainings_begin_with_the_settings_of_the_method(shipped):
    made = begin_experiment(actor=ada(), name="x", dataset=Dataset.objects.get(), model={}, method="beta_vae")
    branch = made.branches.get()
    assert TrainForm.for_branch(branch).initial["optimizer"] == "adam"
    job = jobs.submit_training(actor=ada(), branch=branch, train={"steps": 5, "batch_size": 7})
    asked = {
        name: job.spec["train"][name] for name in ("optimizer", "lr", "weight_decay", "batch_size", "steps")
    }
    assert asked == {"optimizer": "adam", "lr": 5e-4, "weight_decay": 0.0, "batch_size": 7, "steps": 5}


def test_every_shipped_method_begins_an_experiment_that_can_be_submitted(shipped):
    assert not PluginFile.objects.exclude(error="").exists()
    found = Plugin.objects.filter(kind=PluginKind.METHOD, available=True)
    # Shipped files hold one method each.
    assert found.count() == len(list(Path(settings.PLUGINS_ROOT, "methods").glob("[!_]*.py")))
    for method in found:
        data = Dataset.objects.get()
        made = begin_experiment(actor=ada(), name=method.name, dataset=data, model={}, method=method.name)
        job = jobs.submit_training(actor=ada(), branch=made.branches.get(), train={"steps": 1})
        assert job.spec["model"]["architecture"] == made.model_spec["architecture"]
        assert methods.set_up(who="x", method=method.name, params={}, data=dataset_spec(data)).setup.tasks
    page = shipped.get("/plugins/?kind=method").content.decode()
    for method in found:
        assert method.requires["paper"]["title"].replace("'", "&#x27;") in page


@pytest.mark.django_db
def test_without_a_watcher_the_form_says_so_and_works(client, settings, redis_url):
    """Nobody answers: the page tells it, and offers all that it does without a method."""
    settings.REDIS_URL = redis_url
    rows.make_plugins()
    rows.make_plugin(PluginKind.METHOD, "BetaVAE", requires={"paper": {"year": 2017, "text": "Higgins"}})
    rows.make_dataset()
    client.force_login(get_user_model().objects.create_user("ada", password="a long enough one"))
    page = client.get("/experiments/new/?method=BetaVAE").content.decode()
    assert "is the plugin watcher running?" in page
    assert "Create the experiment" in page


def test_a_method_that_is_gone_makes_no_experiment_without_it(shipped):
    sent = {"name": "one", "dataset": "squares", "method-chosen": "Gone", "latent_dim": "4"}
    answer = shipped.post("/experiments/new/", sent)
    assert answer.status_code == 422
    assert "Gone is gone from the plugins; choose another." in answer.content.decode()
    assert not Experiment.objects.exists()


def test_parameters_of_a_model_that_are_none_are_refused_by_name(shipped):
    body = {"name": "one", "dataset": "squares", "method": "beta_vae", "model": {"params": [1]}}
    answer = shipped.post("/api/v1/experiments/", json.dumps(body), content_type="application/json")
    assert answer.status_code == 422
    assert all("params" in field for field in answer.json()["errors"])
    assert not Experiment.objects.exists()
