"""A study is renamed, copied, shown, handed over and removed; what becomes of its experiments is said beforehand."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Group

from acc.errors import InvalidInput
from accsite.apps.access.permissions import Role
from accsite.apps.recipes.models import RecipeRun
from accsite.apps.studies.models import Study
from accsite.apps.studies.services import life, running, studies
from accsite.apps.studies.tests.made import end_all, write_down
from accsite.apps.training.models import Branch, Checkpoint, Experiment, Visibility
from accsite.apps.training.tests import rows
from accsite.errors import WrongState

pytestmark = pytest.mark.django_db


@pytest.fixture
def study(arms: list[Branch], user: Any) -> Study:
    """A study whose first two seeds have branches."""
    found = write_down(arms, user)
    for seed in (0, 1):
        for arm in ("main", "heavier"):
            running.make_branch(actor=user, study_id=found.pk, arm=arm, seed=seed)
    return found


def join(person: Any, role: Role) -> None:
    person.groups.add(Group.objects.get_or_create(name=role)[0])


def made_by(study: Study) -> list[Experiment]:
    return list(life.experiments_of(study))


def test_a_new_name_changes_neither_its_address_nor_what_was_claimed(study, user, arms):
    before = study.sha256
    slug = study.slug
    found = life.rename_study(actor=user, study=study, name="  does weight help? ")
    assert (found.name, found.planned.name, found.slug) == ("does weight help?", "does weight help?", slug)
    assert found.planned.sha256 == before
    other = write_down(arms, user, name="another")
    with pytest.raises(InvalidInput, match="already the name of a study"):
        life.rename_study(actor=user, study=other, name="Does weight help?")
    with pytest.raises(InvalidInput, match="at most 60 are allowed"):
        life.rename_study(actor=user, study=other, name="x" * 61)


def test_a_copy_has_the_plan_and_nothing_that_was_done(study, user):
    end_all(study, 6)
    studies.add_seeds(actor=user, study=study, more=2)
    study.refresh_from_db()
    copy = life.copy_study(actor=user, study=study)
    assert copy.name == f"{study.name} copy"
    assert copy.planned.arms == study.planned.arms
    assert copy.planned.claims == study.planned.claims
    assert copy.planned.changes == ()
    assert copy.run is None
    assert set(copy.results.values_list("state", flat=True)) == {"waiting"}
    assert life.copy_study(actor=user, study=study).name == f"{study.name} copy 2"


def test_a_copy_on_other_seeds_has_none_of_the_first(study, user):
    copy = life.copy_study(actor=user, study=study, name="again", other_seeds=True)
    assert copy.name == "again"
    assert copy.planned.seeds == (6, 7, 8, 9, 10, 11)


def test_who_sees_it_sees_the_experiments_that_it_made(study, user, django_user_model):
    bob = django_user_model.objects.create_user("bob")
    life.set_visibility(actor=user, study=study, visibility="private")
    assert not Study.objects.visible_to(bob).exists()
    assert {made.visibility for made in made_by(study)} == {"private"}
    life.set_visibility(actor=user, study=study, visibility="site")
    assert Study.objects.visible_to(bob).get() == study
    assert {made.visibility for made in made_by(study)} == {"site"}
    with pytest.raises(InvalidInput, match="choose one of: site, private"):
        life.set_visibility(actor=user, study=study, visibility="some")


def test_what_a_private_branch_is_made_of_is_shown_to_nobody_else(arms, user):
    Experiment.objects.update(visibility=Visibility.PRIVATE)
    for branch in arms:
        branch.refresh_from_db()
    study = write_down(arms, user)
    with pytest.raises(InvalidInput, match="which is private"):
        life.set_visibility(actor=user, study=study, visibility="site")
    study.refresh_from_db()
    assert study.visibility == "private"


@pytest.fixture
def private_arms(arms: list[Branch], user: Any) -> list[Branch]:
    """Branches of two experiments that are private, and of the first another."""
    other = Experiment.objects.create(
        name="other", slug="other", model_spec=arms[0].experiment.model_spec, owner=user
    )
    far = Branch.objects.create(experiment=other, name="far", slug="far")
    rows.make_task(far, arms[0].tasks.get().dataset, weight=2.0)
    Experiment.objects.update(visibility=Visibility.PRIVATE, owner=user)
    return list(Branch.objects.filter(pk__in=[*(each.pk for each in arms), far.pk]).order_by("pk"))


def show(experiment: Experiment) -> None:
    Experiment.objects.filter(pk=experiment.pk).update(visibility=Visibility.SITE)


@pytest.mark.parametrize("how", ["written down", "added", "copied"])
def test_it_is_shown_to_everyone_once_the_experiment_of_each_arm_is(private_arms, user, how):
    main, heavier, far = private_arms
    study = write_down([main, heavier] if how == "added" else [main, far], user)
    if how == "added":
        Study.objects.filter(pk=study.pk).update(experiment=None)  # its owner alone sees it
        study = studies.add_arm(actor=user, study=Study.objects.get(pk=study.pk), branch=far)
    elif how == "copied":
        study = life.copy_study(actor=user, study=study)
    show(main.experiment)
    with pytest.raises(InvalidInput, match="a branch of 'other', which is private; let everyone"):
        life.set_visibility(actor=user, study=study, visibility="site")
    study.refresh_from_db()
    assert study.visibility == "private"
    show(far.experiment)
    assert life.set_visibility(actor=user, study=study, visibility="site").visibility == "site"


def test_it_is_handed_to_nobody_who_may_not_see_the_experiment_of_each_arm(
    private_arms, user, django_user_model
):
    bob = django_user_model.objects.create_user("bob")
    join(bob, Role.RESEARCHER)
    main, _, far = private_arms
    study = write_down([main, far], user)
    show(main.experiment)
    with pytest.raises(InvalidInput, match="a branch of 'other', which 'bob' may not see"):
        life.hand_over(actor=user, study=study, to="bob")
    study.refresh_from_db()
    assert study.owner == user
    far.experiment.shares.create(user=bob)
    assert life.hand_over(actor=user, study=study, to="bob").owner == bob


def test_whoever_gets_it_owns_its_experiments_and_what_it_trains(study, user, django_user_model):
    bob, cat = (django_user_model.objects.create_user(name) for name in ("bob", "cat"))
    join(bob, Role.RESEARCHER)
    with pytest.raises(InvalidInput, match="no active user 'nobody'"):
        life.hand_over(actor=user, study=study, to="nobody")
    with pytest.raises(InvalidInput, match="owns it already"):
        life.hand_over(actor=user, study=study, to=user.username)
    join(cat, Role.VIEWER)
    with pytest.raises(InvalidInput, match="may look, but not change"):
        life.hand_over(actor=user, study=study, to="cat")
    life.hand_over(actor=user, study=study, to="bob")
    study.refresh_from_db()
    assert study.owner == bob
    assert {made.owner for made in made_by(study)} == {bob}
    studies.start_study(actor=user, study=study)
    assert RecipeRun.objects.get(study=study).created_by == bob
    with pytest.raises(WrongState, match="at work"):
        life.hand_over(actor=bob, study=study, to=user.username)


def test_it_goes_alone_unless_more_is_asked(study, user):
    made = made_by(study)
    assert len(made) == 2
    found = life.remove_study(actor=user, study=study)
    assert found.goes == []
    assert not Study.objects.exists()
    assert made == list(Experiment.objects.filter(pk__in=[each.pk for each in made]))


def test_its_experiments_go_with_it_but_for_those_that_hold_something_else(study, user, arms):
    first, second = made_by(study)
    Branch.objects.create(experiment=second, name="mine", slug="mine")
    plan = life.plan_removal(user, study)
    assert plan.goes == [first]
    assert plan.stays == [(second, "branch 'mine' is not of the study")]
    assert plan.branches == 2
    life.remove_study(actor=user, study=study, with_experiments=True)
    assert list(Experiment.objects.filter(pk__in=[first.pk, second.pk])) == [second]
    assert arms[0].tasks.get().dataset.pk
    assert Branch.objects.filter(pk__in=[branch.pk for branch in arms]).count() == 2


@pytest.mark.parametrize("mark", [{"tag": "best"}, {"starred": True}])
def test_a_marked_checkpoint_keeps_its_experiment(study, user, mark):
    first, _ = made_by(study)
    node = rows.make_checkpoint(first.branches.order_by("pk")[0])
    assert life.plan_removal(user, study).goes
    Checkpoint.objects.filter(pk=node.pk).update(**mark)
    ((stays, why),) = life.plan_removal(user, study).stays
    assert stays == first
    assert f"checkpoint {node.pk} is" in why


def test_one_that_is_at_work_is_not_removed(study, user):
    studies.start_study(actor=user, study=study)
    with pytest.raises(WrongState, match="stop it, and wait"):
        life.remove_study(actor=user, study=study, with_experiments=True)
    assert Study.objects.filter(pk=study.pk).exists()


def test_the_page_says_what_goes_and_what_stays_and_then_does_it(study, page):
    first, second = made_by(study)
    Branch.objects.create(experiment=second, name="mine", slug="mine")
    where = f"/studies/{study.slug}/removal/"
    shown = page.get(where)
    assert "Remove 1 experiment that it made, too" in " ".join(shown.text.split())
    told = " ".join(shown.text.split())
    assert f"{second.name}</a >: branch &#x27;mine&#x27; is not of the study" in told.replace("</a>", "</a >")
    done = page.post(where, {"with_experiments": "on"}, follow=True)
    assert "is removed" in done.text
    assert not Study.objects.exists()
    assert not Experiment.objects.filter(pk=first.pk).exists()
    assert Experiment.objects.filter(pk=second.pk).exists()


def test_whoever_sees_it_may_copy_it_but_change_nothing(study, client, django_user_model):
    bob = django_user_model.objects.create_user("bob")
    join(bob, Role.RESEARCHER)
    client.force_login(bob)
    assert client.post(f"/studies/{study.slug}/copy/", {"name": "mine"}).status_code == 302
    assert Study.objects.get(name="mine").owner == bob
    for verb in ("rename", "visibility", "handover", "removal"):
        assert client.post(f"/studies/{study.slug}/{verb}/", {}).status_code == 403


def test_after_it_was_renamed_its_new_name_is_said(study, page):
    answer = page.post(f"/studies/{study.slug}/rename/", {"name": "weights"}, headers={"HX-Request": "true"})
    assert "It is called weights now." in answer.text
