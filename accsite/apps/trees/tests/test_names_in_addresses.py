"""A plugin that an address names is found whatever its spelling; one that is not there is never replaced silently."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client

from accsite.apps.jobs.models import Job
from accsite.apps.registry.models import Plugin, PluginKind
from accsite.apps.training.models import Experiment
from accsite.apps.training.tests import rows


@pytest.fixture
def page(db: None) -> Client:
    """A browser of somebody who is signed in, on a site with plugins."""
    rows.make_plugins()
    rows.make_plugin(PluginKind.GENERATOR, "Thickness")
    rows.make_plugin(PluginKind.MODEL, "ConvVAE", requires={"posterior": True})
    client = Client()
    client.force_login(get_user_model().objects.create_user("ada", password="a long enough one"))
    return client


def chosen(page: Client, address: str) -> tuple[str, str]:
    """Return the plugin that a page chooses, and what it says to be gone."""
    context: Any = page.get(address).context
    return context["chosen"].name, context["gone"]


@pytest.mark.parametrize("spelt", ["Thickness", "thickness", "THICKNESS"])
def test_a_generator_is_found_whatever_its_case(page, spelt):
    assert chosen(page, f"/datasets/new/?generator={spelt}") == ("Thickness", "")


@pytest.mark.parametrize("spelt", ["ConvVAE", "convvae", "conv_vae"])
def test_so_is_an_architecture(page, spelt):
    assert chosen(page, f"/experiments/new/?architecture={spelt}") == ("ConvVAE", "")


def test_of_two_that_differ_in_case_alone_the_one_that_is_spelt_so_is_meant(page):
    rows.make_plugin(PluginKind.GENERATOR, "THICKness")
    for spelt in ("Thickness", "THICKness"):
        assert chosen(page, f"/datasets/new/?generator={spelt}") == (spelt, "")


def test_without_a_name_the_usual_one_is_chosen_and_nothing_is_gone(page):
    assert chosen(page, "/datasets/new/") == ("HandwrittenDigits", "")
    assert chosen(page, "/experiments/new/") == ("FactorSlotAutoencoder", "")


def test_one_that_is_gone_is_told_and_nothing_is_made_of_another(page):
    Plugin.objects.filter(name__in=["Thickness", "ConvVAE"]).update(available=False)
    for address, sent in (
        ("/datasets/new/?generator=Thickness", {"n": "4", "seed": "0"}),
        ("/experiments/new/?architecture=ConvVAE", {"name": "one", "latent_dim": "4"}),
    ):
        name = address.rsplit("=")[-1]
        assert f"{name} is gone from the plugins" in page.get(address).content.decode()
        answer = page.post(address, sent)
        assert answer.status_code == 422
        assert f"{name} is gone from the plugins" in answer.content.decode()
    assert not Job.objects.exists()
    assert not Experiment.objects.exists()
