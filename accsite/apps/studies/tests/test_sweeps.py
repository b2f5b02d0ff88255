"""A sweep is written down from a branch, draws trial after trial, ranks them, and its winner is confirmed."""

from __future__ import annotations

from typing import Any

import pytest

from acc.errors import InvalidInput
from acc.studies import Measured
from accsite.apps.jobs.models import Job
from accsite.apps.studies.models import Study, StudyResult
from accsite.apps.studies.selectors import (
    claims_of,
    cost_of,
    has_more,
    state_of,
    study_state,
    trials_of,
)
from accsite.apps.studies.services import drawing, life, running, studies, sweeps
from accsite.apps.training.models import Branch, Experiment, Visibility
from accsite.apps.training.tests import rows
from accsite.errors import WrongState

pytestmark = pytest.mark.django_db
SPACE = "train.lr: 1e-4 to 1e-2 log; tasks.reconstruction.weight: .5 to 20"
OUTCOME = "digit/accuracy"


@pytest.fixture
def swept(branch: Branch, user: Any) -> Branch:
    """A branch with a task."""
    rows.make_task(branch, rows.make_dataset())
    return branch


def write_down(branch: Branch, user: Any = None, **how: Any) -> Study:
    asked = {
        "space": SPACE,
        "seeds": 2,
        "trials": 6,
        "outcome": OUTCOME,
        "steps": 10,
        "sampler": "random",
        **how,
    }
    return sweeps.sweep_branch(actor=user, branch=branch, **asked)


def end(row: StudyResult, value: float | None) -> None:
    if value is None:
        running.keep_failure(row, "train(): job 7 failed")
        return
    measured = {OUTCOME: Measured(value=value, sample="s").model_dump(mode="json")}
    StudyResult.objects.filter(pk=row.pk).update(state="succeeded", values=measured, seconds=2.0)


def do(study: Study, value: Any, most: int = 1_000) -> Study:
    """Do what the program of a sweep would, up to so many places; value: (arm, seed) -> what came of it."""
    for _ in range(most):
        places = running.next_places(study.pk, [], 2)
        if not places:
            break
        end(places[0], value(places[0].arm, places[0].seed))
    return Study.objects.get(pk=study.pk)


def by_number(arm: str, seed: int) -> float:
    """Return what is better the later it was drawn."""
    return int(arm.partition(" ")[2]) / 10 + seed / 100 if arm.startswith("trial") else 0.05


def test_nothing_is_drawn_before_it_starts_and_its_cost_is_told(swept, user):
    study = write_down(swept, user)
    plan = study.planned
    assert [arm.name for arm in plan.arms] == ["as it is"]
    assert study.results.count() == 2
    assert study.swept.drawn == ()
    assert study.swept.first == {"train.lr": 2e-3, "tasks.reconstruction.weight": 1.0}
    assert cost_of(study).jobs == (1 + 6) * 2 * 2
    assert state_of(study) == "planned"
    assert has_more(study)
    assert Job.objects.count() == 0
    assert claims_of(study) == []


def test_trials_are_drawn_kept_before_they_begin_and_ranked(swept, user):
    study = studies.start_study(actor=user, study=write_down(swept, user))
    places = running.next_places(study.pk, [], 3)
    assert [(row.arm, row.seed) for row in places] == [("as it is", 0), ("as it is", 1), ("trial 1", 0)]
    study = Study.objects.get(pk=study.pk)
    assert len(study.swept.drawn) == 3, "with the first arm, four are under way together"
    assert study.sha256 == study.planned.sha256
    assert not study.planned.changes
    drawn = study.swept.drawn
    changes = study.planned.arm("trial 1").changes
    assert changes["train"]["lr"] == drawn[0].values["train.lr"]
    assert changes["tasks"]["reconstruction"]["weight"] == drawn[0].values["tasks.reconstruction.weight"]
    study = do(study, by_number)
    assert study.swept.drawn[:3] == drawn
    assert study.results.count() == 7 * 2
    assert not has_more(study)
    told = study_state(None, study)["sweep"]
    assert told is not None
    assert [row["trial"] for row in told["ranking"]] == [6, 5, 4, 3, 2, 1, 0]
    assert told["ranking"][0]["n"] == 2
    assert claims_of(study) == []


def test_the_same_trials_are_drawn_whatever_ends_first(swept, user):
    one, other = write_down(swept, user), write_down(swept, user)
    one = do(studies.start_study(actor=user, study=one), by_number)
    studies.start_study(actor=user, study=other)
    while places := running.next_places(other.pk, [], 64):
        end(places[-1], by_number(places[-1].arm, places[-1].seed))
    assert Study.objects.get(pk=other.pk).swept.drawn == one.swept.drawn


def test_tpe_draws_on_the_site_and_pruned_trials_take_fewer_seeds(swept, user):
    study = write_down(swept, user, sampler="tpe", prune=True, seeds=4, trials=8)
    studies.start_study(actor=user, study=study)
    study = do(study, lambda arm, seed: -by_number(arm, seed))
    states = [stand.state for stand in trials_of(study)]
    assert states.count("pruned") > 0
    assert study.results.count() < 9 * 4
    assert not has_more(study)


def test_two_attempts_at_once_draw_the_same_once(swept, user):
    study = studies.start_study(actor=user, study=write_down(swept, user))
    one, other = Study.objects.get(pk=study.pk), Study.objects.get(pk=study.pk)
    drawing.draw(one)
    drawing.draw(other)
    assert Study.objects.get(pk=study.pk).sweep == one.sweep
    assert study.results.count() == (1 + len(one.swept.drawn)) * 2
    drawing._keep(one, one.swept, [("trial 1", 0), ("trial 1", 1)])
    assert study.results.count() == (1 + len(one.swept.drawn)) * 2


def test_stopped_it_draws_nothing_and_goes_on_where_it_was(swept, user):
    study = studies.start_study(actor=user, study=write_down(swept, user))
    do(study, by_number, most=3)
    before = Study.objects.get(pk=study.pk)
    studies.stop_study(actor=user, study=before)
    assert running.next_places(study.pk, [], 8) == []
    assert Study.objects.get(pk=study.pk).sweep == before.sweep
    studies.start_study(actor=user, study=before)
    assert not has_more(do(study, by_number))


def test_more_trials_go_behind_and_a_used_up_space_says_so(swept, user):
    study = do(studies.start_study(actor=user, study=write_down(swept, user)), by_number)
    drawn = study.swept.drawn
    study = do(sweeps.add_trials(actor=user, study=study, more=2), by_number)
    assert len(study.swept.drawn) == 8
    assert study.swept.drawn[:6] == drawn
    small = write_down(swept, user, space="train.optimizer: adamw or sgd")
    with pytest.raises(InvalidInput, match="this space has 1 trials, and no more"):
        sweeps.add_trials(actor=user, study=small, more=5)
    with pytest.raises(InvalidInput, match="0 changes nothing"):
        sweeps.add_trials(actor=user, study=study, more=0)
    study = sweeps.add_trials(actor=user, study=study, more=0, hours=5)
    assert (study.swept.hours, study.swept.trials) == (5, 8)


def test_its_winner_is_confirmed_on_fresh_seeds_alone(swept, user):
    study = studies.start_study(actor=user, study=write_down(swept, user))
    with pytest.raises(WrongState, match="it is at work"):
        sweeps.confirm_winner(actor=user, study=study, seeds=6)
    study = do(study, by_number)
    Job.objects.update(state="SUCCEEDED")
    made = sweeps.confirm_winner(actor=user, study=Study.objects.get(pk=study.pk), seeds=6, by=0.02)
    plan = made.planned
    assert [arm.name for arm in plan.arms] == ["as it is", "trial 6"]
    assert plan.seeds == (2, 3, 4, 5, 6, 7)
    assert plan.chosen_on == (0, 1)
    assert [str(claim) for claim in plan.claims] == [f"trial 6 > as it is on {OUTCOME} by at least .02"]
    assert plan.settings_of("trial 6") == study.planned.settings_of("trial 6")
    assert made.confirms_id == study.pk
    assert not made.is_sweep
    assert studies.add_seeds(actor=user, study=made, more=1).planned.seeds[-1] == 8
    again = sweeps.confirm_winner(actor=user, study=Study.objects.get(pk=study.pk), seeds=2)
    assert again.planned.seeds == (9, 10)
    with pytest.raises(InvalidInput, match="seed 3 is refused: the arms were chosen on it"):
        again.planned.revised(seen=0, seeds=(3, 9))
    life.remove_study(actor=user, study=made)
    third = sweeps.confirm_winner(actor=user, study=Study.objects.get(pk=study.pk), seeds=2)
    assert third.planned.seeds == (11, 12), "whoever removed it had seen what came of its seeds"


def test_a_sweep_takes_no_seeds_and_no_arms(swept, user):
    study = write_down(swept, user)
    for extend in (
        lambda: studies.add_seeds(actor=user, study=study, more=1),
        lambda: studies.add_arm(actor=user, study=study, branch=swept),
    ):
        with pytest.raises(WrongState, match="a sweep draws its arms itself"):
            extend()
    plain = studies.repeat_branch(actor=user, branch=swept, seeds=2, outcome=OUTCOME, steps=10)
    with pytest.raises(WrongState, match="is no sweep"):
        sweeps.add_trials(actor=user, study=plain, more=1)
    with pytest.raises(WrongState, match="it is no sweep"):
        sweeps.confirm_winner(actor=user, study=plain, seeds=6)


def test_a_failed_seed_leaves_its_trial_without_a_value(swept, user):
    study = studies.start_study(actor=user, study=write_down(swept, user))
    study = do(study, lambda arm, seed: None if (arm, seed) == ("trial 2", 1) else by_number(arm, seed))
    stands = trials_of(study)
    assert (stands[2].state, stands[2].value) == ("failed", None)
    assert "job 7 failed" in stands[2].reason


@pytest.mark.parametrize(
    ("wrong", "field", "sentence"),
    [
        ({"space": "train.lr: 1e-4 to 100 log"}, "space", "100"),
        ({"space": "train.speed: 1 to 2"}, "space", "is no place of this branch"),
        ({"space": "tasks.reconstruction.weight: -1 to 2"}, "space", "-1"),
        ({"space": "train.optimizer: adam or fast"}, "space", "fast"),
        ({"space": "model.latent_dim: 1 to 8 int"}, "space", "factor group"),
        ({"space": "lr"}, "space", "names no range"),
        ({"outcome": ""}, "outcome", "say what is compared"),
        ({"seeds": 0}, "seeds", "0 seeds are refused"),
        ({"jobs": 3}, "__all__", "jobs: 3 are too few"),
    ],
    ids=["bound", "place", "weight", "choice", "groups", "text", "outcome", "seeds", "jobs"],
)
def test_bad_input_names_the_field_and_writes_nothing_down(swept, user, wrong, field, sentence):
    with pytest.raises(InvalidInput) as told:
        write_down(swept, user, **wrong)
    assert field in told.value.fields
    assert sentence in str(told.value.fields[field])
    assert not Study.objects.exists()


def test_the_space_that_a_form_proposes_is_allowed(swept, user):
    proposed = sweeps.proposed_space(swept)
    assert proposed == "train.lr: 0.0002 to 0.02 log; tasks.reconstruction.weight: 0.1 to 10 log"
    assert write_down(swept, user, space=proposed).swept.first


def test_a_sweep_of_a_private_branch_and_its_confirmation_are_private(swept, user, django_user_model):
    Experiment.objects.update(visibility=Visibility.PRIVATE)
    swept.refresh_from_db()
    study = do(studies.start_study(actor=user, study=write_down(swept, user)), by_number)
    Job.objects.update(state="SUCCEEDED")
    made = sweeps.confirm_winner(actor=user, study=Study.objects.get(pk=study.pk), seeds=2)
    bob = django_user_model.objects.create_user("bob")
    assert not Study.objects.visible_to(bob).exists()
    assert set(Study.objects.visible_to(user)) == {study, made}


@pytest.mark.parametrize("state", ["planned", "running", "done"])
def test_its_page_ranks_and_never_says_that_a_trial_is_better(swept, user, page, state):
    study = write_down(swept, user, trials=22 if state == "done" else 6)
    if state != "planned":
        studies.start_study(actor=user, study=study)
        study = do(study, by_number, most=5 if state == "running" else 1_000)
    if state == "done":
        Job.objects.update(state="SUCCEEDED")
    shown = page.get(f"/studies/{study.slug}/?x=number&y=train.lr")
    assert shown.status_code == 200
    assert "This is an order and no verdict" in shown.text
    assert ("fANOVA" in shown.text) == (state == "done")
    assert shown.text.count('id="trial-') == {"planned": 1, "running": 6, "done": 23}[state]
    assert ("Parallel coordinates" in shown.text) == (state != "planned")
    assert ('value="number" selected' in shown.text) == (state != "planned")
    assert ("first trial in rank" in shown.text) == (state != "planned"), "not before there is one"
    counted = {"planned": "0 of 6 trials drawn, 0 done", "done": "22 of 22 trials drawn, 22 done"}
    assert counted.get(state, "of 6 trials drawn") in " ".join(shown.text.split()), (
        "of the trials, not of the first arm"
    )
    assert "no value" not in shown.text, "what is still to come is not called missing"
    assert (f'href="#confirm-form-{study.pk}"' in shown.text) == (state == "done")
    assert (f'href="#start-form-{study.pk}"' in shown.text) == (state == "planned")
    assert f'href="/studies/{study.slug}/removal/"' in shown.text
    assert "seen by everyone" in page.get(f"/studies/{study.slug}/", headers={"HX-Request": "true"}).text
    assert "ranks and claims nothing" in page.get("/studies/").text
    assert study.name in page.get("/studies/").text


def test_what_was_begun_of_one_that_is_stopped_is_to_go_on_and_does_not_run(swept, user, page):
    study = studies.start_study(actor=user, study=write_down(swept, user))
    running.begin(running.next_places(study.pk, [], 1)[0])
    shown = page.get(f"/studies/{study.slug}/").text
    assert shown.count("running</td>") + shown.count("running\n") >= 2
    assert "to go on" not in shown
    Job.objects.update(state="CANCELLED")
    shown = " ".join(page.get(f"/studies/{study.slug}/").text.split())
    assert shown.count("<td> to go on") == 2, "in the ranking, and among all seeds"
    assert "running</td>" not in shown


def test_an_unknown_column_is_the_usual_one_and_every_number_is_a_file(swept, user, page):
    study = do(studies.start_study(actor=user, study=write_down(swept, user)), by_number)
    assert page.get(f"/studies/{study.slug}/?x=nothing&y=<b>").status_code == 200
    assert "trial 6,1,succeeded" in page.get(f"/studies/{study.slug}/export/csv/").text


@pytest.mark.parametrize("other_seeds", [False, True])
def test_a_copy_of_a_sweep_is_a_sweep_of_which_nothing_is_drawn(swept, user, other_seeds):
    study = do(studies.start_study(actor=user, study=write_down(swept, user)), by_number)
    copy = life.copy_study(actor=user, study=study, other_seeds=other_seeds)
    assert [arm.name for arm in copy.planned.arms] == ["as it is"]
    assert copy.swept.drawn == ()
    assert copy.swept.space == study.swept.space
    assert copy.swept.seeds == copy.planned.seeds == ((2, 3) if other_seeds else (0, 1))
    assert copy.results.count() == 2
    with pytest.raises(WrongState, match="draws its arms itself"):
        studies.add_arm(actor=user, study=copy, branch=swept, claim="trial 1 > as it is on digit/accuracy")
