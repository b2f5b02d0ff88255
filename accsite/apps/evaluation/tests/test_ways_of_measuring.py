"""UFR that was measured of several sets of concepts is one number on all pages; the others are a link away."""

from __future__ import annotations

import pytest
from django.contrib.auth import get_user_model
from django.test import Client

from acc.specs import EvalJobSpec, EvalSpec
from accsite.apps.evaluation.models import Evaluation, Metric, Part
from accsite.apps.evaluation.pages import compare
from accsite.apps.evaluation.selectors import asked, comparing
from accsite.apps.evaluation.services.keys import part_key
from accsite.apps.training.models import Branch, Checkpoint
from accsite.apps.training.tests import rows

pytestmark = pytest.mark.both_databases


@pytest.fixture
def branch(db: None) -> Branch:
    return rows.make_branch(None)


@pytest.fixture
def page(branch: Branch) -> Client:
    client = Client()
    client.force_login(get_user_model().objects.create_user("ada", is_superuser=True, is_staff=True))
    return client


def measured(node: Checkpoint, value: float, *concepts: str) -> Evaluation:
    """Record UFR of some concepts; of none: of those that the default takes, digit, slant and thickness."""
    spec = EvalSpec(suite=("ufr",), concepts=concepts)
    made = Evaluation.objects.create(
        branch=node.branch,
        checkpoint=node,
        step=node.step,
        dataset="digits",
        suite=["ufr"],
        options=EvalJobSpec.model_validate(spec.model_dump()).model_dump(mode="json"),
    )
    Part.objects.create(evaluation=made, name="ufr", key=part_key(node, spec, "ufr"))
    kept = {"evaluation": made, "dataset": "digits", "sample": " ".join(concepts) or "all"}
    Metric.objects.create(name="ufr", value=value, **kept)
    for concept in concepts or ("digit", "slant", "thickness"):
        Metric.objects.create(name="ufr_concept", concept=concept, group=concept, value=value, **kept)
    return made


def test_the_tab_shows_the_newest_as_metrics_do_and_leads_to_the_others(page: Client, branch: Branch) -> None:
    node = rows.make_checkpoint(branch)
    by_default, of_two = measured(node, 0.16), measured(node, 0.23, "digit", "thickness")
    assert page.get(f"/evaluate/{node.pk}/ufr/").context["evaluation"] == of_two
    shown = page.get(f"/evaluate/{node.pk}/metrics/").context["rows"]
    assert [(row.metric.value, row.concepts) for row in shown] == [(0.23, ["digit", "thickness"])]
    one = page.get(f"/evaluate/{node.pk}/ufr/?evaluation={by_default.pk}").context
    assert (one["evaluation"], one["current"]) == (by_default, True)
    ways = asked.measured(node, asked.read("ufr", {}))
    assert [part.evaluation for part in ways] == [of_two, by_default]


def test_what_is_asked_for_and_was_measured_before_is_what_is_shown(page: Client, branch: Branch) -> None:
    node = rows.make_checkpoint(branch)
    by_default, _ = measured(node, 0.16), measured(node, 0.23, "digit", "thickness")
    answer = page.post(f"/evaluate/{node.pk}/run/", {"suite": "ufr", "tab": "ufr"}, follow=True)
    assert answer.redirect_chain == [(f"/evaluate/{node.pk}/ufr/?evaluation={by_default.pk}", 302)]
    assert answer.context["evaluation"] == by_default


def test_a_comparison_shows_the_same_concepts_on_both_sides_and_on_all_tabs(branch: Branch) -> None:
    first, second = (rows.make_checkpoint(branch, step=step) for step in (100, 200))
    measured(first, 0.16)
    two = measured(first, 0.23, "digit", "thickness")
    others = measured(second, 0.3, "digit", "thickness"), measured(second, 0.2)
    measured(second, 0.9, "digit", "slant")
    with_two = [side.kept.evaluation for side in compare.sides([first, second], "ufr", {})]
    assert with_two == [two, others[0]], "the newest of the first that the second has too"
    numbers = comparing.compare([first, second]).metrics[0].values
    assert [each.value for each in numbers] == [0.23, 0.3]


def test_of_another_checkpoint_no_evaluation_is_shown(page: Client, branch: Branch) -> None:
    first, second = (rows.make_checkpoint(branch, step=step) for step in (100, 200))
    other = measured(second, 0.3)
    measured(first, 0.2)
    for wrong in (other.pk, 10**30, "x"):
        shown = page.get(f"/evaluate/{first.pk}/ufr/?evaluation={wrong}")
        assert shown.status_code == 200
        assert shown.context["evaluation"] != other
