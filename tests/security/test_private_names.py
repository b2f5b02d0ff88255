"""The name of a private experiment is told to nobody who does not see it, by no refusal either."""

from __future__ import annotations

import pytest
from rest_framework.test import APIClient

from acc import journal
from acc.errors import InvalidInput
from accsite.apps.training.models import Experiment, Visibility
from accsite.apps.training.services import experiments, tracked
from accsite.apps.training.tests import rows
from tests.security.world import SECRET

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("person", ["stranger", "reader"])
def test_only_who_sees_a_private_experiment_is_told_that_its_name_is_taken(world, person):
    client = APIClient()
    client.force_authenticate(world.users[person])
    sent = client.post("/api/v1/experiments/", {"name": SECRET, "model": rows.MODEL}, format="json")
    if person == "reader":
        assert (sent.status_code, "is already the name of an experiment" in sent.text) == (422, True)
    else:
        assert (sent.status_code, sent.json()["name"], sent.json()["slug"]) == (201, SECRET, f"{SECRET}-2")


def beginning(branch: str) -> dict[str, object]:
    told = {"say": "begin", "format": 1, "run": "r", "branch": branch, "config": {}, "wall": 1e9}
    _, digest = journal.encode(told)
    return {
        **{name: value for name, value in told.items() if name != "say"},
        "digest": digest.hex(),
        "live": True,
    }


def test_a_loop_that_names_a_private_experiment_of_another_gets_one_of_its_own(world):
    run = tracked.begin(actor=world.users["stranger"], told=beginning(f"{SECRET}/main"))
    assert run.job.branch is not None
    made = run.job.branch.experiment
    assert (made.owner, made.name) == (world.users["stranger"], SECRET)
    assert made != world.branch.experiment
    again = tracked.begin(actor=world.users["stranger"], told={**beginning(f"{SECRET}/second")})
    assert again.job.branch is not None
    assert again.job.branch.experiment == made


def test_an_address_that_is_taken_at_this_very_moment_is_no_refusal(world, monkeypatch):
    find, others = experiments.free_experiment_slug, [True]

    def meanwhile(name, actor, **how):
        found = find(name, actor, **how)
        if others.pop() if others else False:
            Experiment.objects.create(
                name=name,
                slug=found[1],
                model_spec={},
                visibility=Visibility.PRIVATE,
                owner=world.users["owner"],
            )
        return found

    monkeypatch.setattr(experiments, "free_experiment_slug", meanwhile)
    made = experiments.new_experiment(world.users["stranger"], "Twins", model_spec={})
    assert (made.name, made.slug) == ("Twins", "twins-2")
    with pytest.raises(InvalidInput, match="'twins' is already the name of an experiment"):
        experiments.new_experiment(world.users["stranger"], "twins", model_spec={})
