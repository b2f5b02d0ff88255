"""What is compared is found by words, taken from heads, and begins with how it was made."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client

from accsite.apps.evaluation.models import Evaluation, Metric
from accsite.apps.evaluation.pages import picking
from accsite.apps.training.models import Branch, Checkpoint
from accsite.apps.training.tests import rows
from accsite.numbers import NONE
from accsite.tests.markup import folded

pytestmark = pytest.mark.both_databases


@pytest.fixture
def user(db: None) -> Any:
    return get_user_model().objects.create_user("ada")


@pytest.fixture
def page(user: Any) -> Client:
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def branch(db: None) -> Branch:
    return rows.make_branch(None)


def test_each_word_is_found_in_a_name_a_tag_a_step_or_an_id(branch: Branch, user: Any) -> None:
    other = Branch.objects.create(experiment=branch.experiment, name="with thickness", slug="t")
    first = rows.make_checkpoint(branch, step=6000)
    tagged = rows.make_checkpoint(other, step=700, tag="best so far")

    def found(text: str) -> list[Checkpoint]:
        return picking.find(user, text, [])

    assert found("thick") == [tagged]
    assert found("BEST") == [tagged]
    assert found("6,000") == [first]
    assert found("digits 700") == [tagged]
    assert found("digits nothing") == []
    assert picking.find(user, "digits", [tagged]) == [first]


def test_no_more_words_are_asked_than_a_search_takes(branch: Branch, user: Any, page: Client) -> None:
    first = rows.make_checkpoint(branch, step=6000)
    assert picking.find(user, "digits " * 1100, []) == [first]
    assert picking.find(user, f"6000 {'digits ' * 5}nothing", []) == [first]
    long = "+".join(["d"] * 1100)
    assert page.get(f"/compare/?find={long}", headers={"HX-Request": "true"}).status_code == 200


def test_without_a_word_heads_are_offered(branch: Branch, user: Any) -> None:
    rows.make_checkpoint(branch, step=1)
    head = rows.make_checkpoint(branch, step=2)
    Branch.objects.update(head=head)
    assert picking.find(user, "", []) == [head]


def test_the_two_newest_measured_heads_are_offered_with_what_the_other_grew_from_first(
    branch: Branch, user: Any
) -> None:
    begun = rows.make_checkpoint(branch, step=300)
    grown = rows.make_checkpoint(branch, step=600, parent=begun)
    fork = Branch.objects.create(experiment=branch.experiment, name="fork", slug="fork", head=begun)
    assert picking.newest(user) == [begun, grown]
    Branch.objects.filter(pk=branch.pk).update(head=grown)
    for node in (begun, grown):
        made = Evaluation.objects.create(branch=node.branch, checkpoint=node, step=node.step)
        Metric.objects.create(evaluation=made, name="ufr", value=0.5)
    rows.make_checkpoint(branch, step=650, parent=grown)  # saved on the way
    later = Branch.objects.create(experiment=branch.experiment, name="later", slug="later")
    later.head = rows.make_checkpoint(later, step=700)  # an end, but nothing was measured of it
    later.save()
    assert picking.newest(user) == [begun, grown]
    # What was imported last may be the older of the two.
    Checkpoint.objects.filter(pk=grown.pk).update(parent=None)
    Checkpoint.objects.filter(pk=begun.pk).update(parent=grown)
    assert picking.newest(user) == [grown, begun]
    assert fork.head == begun


def test_an_autosave_is_not_offered_since_the_next_one_replaces_it(branch: Branch, user: Any) -> None:
    kept = rows.make_checkpoint(branch, step=1)
    rows.make_checkpoint(branch, step=2, kind="autosave")
    assert picking.newest(user) == [kept]


def test_heads_of_an_experiment_begin_with_the_one_that_was_chosen(branch: Branch, user: Any) -> None:
    mine, main = rows.make_checkpoint(branch, step=1), rows.make_checkpoint(branch, step=2)
    Branch.objects.update(head=main)
    fork = Branch.objects.create(experiment=branch.experiment, name="fork", slug="fork")
    fork.head = rows.make_checkpoint(fork, step=3)
    fork.save()
    assert picking.heads(user, mine, 6) == [mine, main, fork.head]
    assert picking.heads(user, mine, 2) == [mine, main]


def test_what_differs_is_told_of_each_against_the_first(branch: Branch) -> None:
    first = rows.make_checkpoint(branch, step=10)
    spec = copy.deepcopy(first.spec)
    spec["train"]["steps"] = 7
    spec["tasks"] = [{"key": "kl", "name": "KL", "task_class": "KLDivergenceTask", "weight": 0.5}]
    second = rows.make_checkpoint(branch, step=20, spec=spec)
    third = rows.make_checkpoint(branch, step=10)
    told = {row.name: row.values for row in picking.differences([first, second, third])}
    assert told["step"] == ["10", "20", "10"]
    assert told["steps of training"] == ["1", "7", "1"]
    assert told["task KL"] == [NONE, "KLDivergenceTask", NONE]
    assert picking.differences([first, third]) == []


def test_one_that_is_chosen_asks_for_another(branch: Branch, page: Client) -> None:
    first, second = rows.make_checkpoint(branch, step=1), rows.make_checkpoint(branch, step=2)
    Branch.objects.update(head=second)
    shown = page.get(f"/compare/?a={first.pk}")
    assert shown.status_code == 200
    assert "Choose another checkpoint" in shown.content.decode()
    assert f"/compare/?a={first.pk}&amp;b={second.pk}" in shown.content.decode()


def test_a_search_answers_with_what_can_be_added(branch: Branch, page: Client) -> None:
    ids = [rows.make_checkpoint(branch, step=step).pk for step in (1, 2, 30)]
    where = f"/compare/?a={ids[0]}&b={ids[1]}&tab=ufr&find=30"
    part = page.get(where, headers={"HX-Request": "true"}).content.decode()
    assert part.lstrip().startswith('<ul class="found"')
    assert f"/compare/?a={ids[0]}&amp;b={ids[1]}&amp;c={ids[2]}&amp;tab=ufr" in part
    whole = folded(page.get(where))  # without a script the page itself, with what was found
    assert f"c={ids[2]}" in whole
    assert "What differs" in whole


def test_no_more_than_six_are_compared(branch: Branch, page: Client) -> None:
    ids = [rows.make_checkpoint(branch, step=step).pk for step in range(1, 8)]
    query = "&".join(f"{letter}={pk}" for letter, pk in zip("abcdef", ids, strict=False))
    assert "Six are compared at most" in page.get(f"/compare/?{query}&find=7").content.decode()
