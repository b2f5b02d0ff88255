"""Pages of evaluation: six tabs of a checkpoint, its forms, and comparisons; opening one starts no work."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.contrib.auth import get_user_model
from django.test import Client

from accsite.apps.evaluation import services
from accsite.apps.evaluation.models import Evaluation, Threshold
from accsite.apps.evaluation.selectors.asked import TABS
from accsite.apps.evaluation.tests.test_record import Measured, Result, evaluation_job, grid
from accsite.apps.jobs.models import Job
from accsite.apps.jobs.states import JobState
from accsite.apps.training.models import Branch, Checkpoint, Experiment
from accsite.apps.training.tests import rows
from accsite.tests.markup import folded


@pytest.fixture
def branch(db: None) -> Branch:
    return rows.make_branch(None)


@pytest.fixture
def page(db: None) -> Client:
    client = Client()
    client.force_login(get_user_model().objects.create_user("ada"))
    return client


def measured(branch: Branch, value: float | None = 0.95, low: float = 0.91, **fields: Any) -> Evaluation:
    """Return what a job measured of a new checkpoint of the branch."""
    job = evaluation_job(branch, spec={"suite": ["metrics", "reconstructions", "traversals"]})
    numbers = [
        Measured("digit", "accuracy", value, thresholds=(0.7, 0.9), low=low, high=0.97, baseline=0.1),
        Measured("digit", "loss", 0.5, higher_is_better=False, thresholds=(0.3, 0.1)),
        Measured("free", "rank", None, reason="no rows are held out"),
    ]
    missing = {"traversals": "the model has no factor groups"}
    result = Result(metrics=numbers, reconstructions=[grid()], missing=missing, **fields)
    made = services.record(job.pk, 1, result)
    Job.objects.filter(pk=job.pk).update(state=JobState.SUCCEEDED)
    return made


def test_every_tab_opens_with_and_without_results_and_starts_no_work(page: Client, branch: Branch) -> None:
    kept, bare = measured(branch), rows.make_checkpoint(branch)
    before = Job.objects.count()
    for pk in (kept.checkpoint_id, bare.pk):
        for tab in (*TABS, "jobs", "print"):
            assert page.get(f"/evaluate/{pk}/{tab}/").status_code == 200, tab
            assert page.get(f"/evaluate/{pk}/{tab}/", headers={"HX-Request": "true"}).status_code == 200
    for address in ("/evaluate/", f"/evaluate/branch/{branch.pk}/", "/compare/"):
        assert page.get(address).status_code == 200, address
    assert Job.objects.count() == before
    assert "Not measured yet" in page.get(f"/evaluate/{bare.pk}/ufr/").content.decode()
    assert page.get(f"/evaluate/{bare.pk}/nothing/").status_code == 404


def test_metrics_have_interval_judgement_in_words_and_reasons(page: Client, branch: Branch) -> None:
    shown = folded(page.get(f"/evaluate/{measured(branch).checkpoint_id}/metrics/"))
    for words in ("✓ good", "✗ poor", "0.91 to 0.97", "no rows are held out"):
        assert words in shown, words


@pytest.mark.parametrize(
    ("value", "low", "said"), [(0.95, 0.85, "? unclear"), (0.09, 0.05, "✗ no better than trivial")]
)
def test_a_value_is_not_called_good_where_its_interval_or_the_trivial_answer_says_otherwise(
    page: Client, branch: Branch, value: float, low: float, said: str
) -> None:
    shown = folded(page.get(f"/evaluate/{measured(branch, value, low).checkpoint_id}/metrics/"))
    assert said in shown
    assert "✓ good" not in shown


@pytest.mark.parametrize(("trivial", "floor", "said"), [(0.04, False, 1), (0.9, False, 0), (0.04, True, 0)])
def test_a_loss_without_a_trivial_score_of_its_own_is_held_against_that_of_its_training(
    page: Client, branch: Branch, trivial: float, floor: bool, said: int
) -> None:
    """What was measured before losses had one goes on to be read."""
    checkpoint = measured(branch).checkpoint
    assert checkpoint is not None
    job = rows.make_job(branch, state=JobState.SUCCEEDED)
    payload = {"task": "digit", "loss": trivial, "words": "guessing", "floor": floor}
    job.events.create(kind="baseline", payload=payload)
    Checkpoint.objects.filter(pk=checkpoint.pk).update(job=job)
    assert (
        folded(page.get(f"/evaluate/{checkpoint.pk}/metrics/")).count("no better than trivial</span>") == said
    )


def test_a_part_that_the_model_cannot_have_says_why(page: Client, branch: Branch) -> None:
    shown = page.get(f"/evaluate/{measured(branch).checkpoint_id}/traversals/").content.decode()
    assert "the model has no factor groups" in shown


def test_run_eval_queues_what_is_chosen_and_shows_it(page: Client, branch: Branch) -> None:
    checkpoint = rows.make_checkpoint(branch)
    answer = page.post(
        f"/evaluate/{checkpoint.pk}/run/", {"suite": ["traversals", "sort"], "direction": "dimensions"}
    )
    job = Job.objects.get()
    assert (job.spec["suite"], job.spec["direction"]) == (["traversals", "sort"], "dimensions")
    assert answer["Location"] == f"/evaluate/{checkpoint.pk}/traversals/?direction=dimensions"
    panel = page.get(f"/evaluate/{checkpoint.pk}/jobs/").content.decode()
    assert f"job {job.pk}" in panel
    assert "traversals, sort by activation" in panel


def test_a_tab_that_is_being_measured_says_so_and_keeps_the_place_of_its_pictures(
    page: Client, branch: Branch
) -> None:
    checkpoint = rows.make_checkpoint(branch)
    page.post(f"/evaluate/{checkpoint.pk}/run/", {"suite": ["traversals"]})
    shown = page.get(f"/evaluate/{checkpoint.pk}/traversals/").content.decode()
    assert 'class="skeleton"' in shown
    assert "Measure it" not in shown
    other = page.get(f"/evaluate/{checkpoint.pk}/ufr/").content.decode()
    assert 'class="skeleton"' not in other
    assert "Measure it" in other
    for text in (shown, other, page.get(f"/evaluate/{checkpoint.pk}/jobs/?tab=ufr").content.decode()):
        assert text.count(">being measured</span>") == 1
    assert 'data-topics="evaluations' in shown
    assert "jobs=" in shown[shown.index('id="tab"') :][:400]


def test_the_worst_images_are_a_choice_beside_the_fixed_ones(page: Client, branch: Branch) -> None:
    kept = measured(branch)
    where = f"/evaluate/{kept.checkpoint_id}/reconstructions/"
    assert "the fixed images: the same for every checkpoint" in folded(page.get(where))
    waiting = folded(page.get(f"{where}?shown=worst"))
    assert "Not measured with these options yet" in waiting
    assert '<input type="hidden" name="shown" value="worst">' in waiting
    page.post(f"/evaluate/{kept.checkpoint_id}/run/", {"suite": "reconstructions", "shown": "worst"})
    assert Job.objects.latest("pk").spec["shown"] == "worst"
    refused = page.post(f"/evaluate/{kept.checkpoint_id}/run/", {"suite": "reconstructions", "shown": "x"})
    assert refused.status_code == 422


def test_the_page_of_an_evaluation_leads_to_its_checkpoint_and_its_result(
    page: Client, branch: Branch
) -> None:
    kept = measured(branch)
    shown = page.get(f"/jobs/{kept.job_id}/").content.decode()
    assert f'href="/checkpoints/{kept.checkpoint_id}/"' in shown
    for part in ("metrics", "reconstructions", "traversals"):
        assert f'href="/evaluate/{kept.checkpoint_id}/{part}/"' in shown
    tab = page.get(f"/evaluate/{kept.checkpoint_id}/metrics/").content.decode()
    assert f'href="/jobs/{kept.job_id}/"' in tab
    assert f'href="/checkpoints/{kept.checkpoint_id}/"' in tab


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({}, "no part is chosen"),
        ({"suite": "beauty"}, "beauty"),
        ({"suite": "ufr", "dataset": "gone"}, "is not a dataset of this site"),
        ({"suite": "reconstructions", "seed": "-1"}, "the least allowed is 0"),
    ],
)
def test_a_refused_run_says_why_and_makes_no_job(
    page: Client, branch: Branch, data: dict[str, str], words: str
) -> None:
    checkpoint = rows.make_checkpoint(branch)
    answer = page.post(f"/evaluate/{checkpoint.pk}/run/", data)
    assert answer.status_code == 422
    assert words in answer.content.decode()
    assert not Job.objects.exists()


def test_a_failed_job_tells_its_sentence_with_the_traceback_one_click_away(
    page: Client, branch: Branch
) -> None:
    job = evaluation_job(branch)
    failed = {"state": JobState.FAILED, "message": "the latents are NaN", "traceback": "line <1>"}
    Job.objects.filter(pk=job.pk).update(**failed)
    shown = folded(page.get(f"/evaluate/{job.checkpoint_id}/metrics/"))
    assert "the latents are NaN" in shown
    assert '<summary class="small">Traceback</summary> <pre tabindex="0">line &lt;1&gt;</pre>' in shown


def test_thresholds_are_set_refused_and_taken_back(page: Client, branch: Branch) -> None:
    pk = measured(branch).checkpoint_id
    where, metric = f"/evaluate/{pk}/threshold/", {"metric": "digit/accuracy"}
    refused = page.post(where, {**metric, "moderate": "0.99", "good": "0.5"})
    assert refused.status_code == 422
    assert "must be at least the moderate 0.99" in refused.content.decode()
    page.post(where, {**metric, "moderate": "0.5", "good": "0.99"})
    assert Threshold.objects.get().good == 0.99
    assert "≈ moderate" in folded(page.get(f"/evaluate/{pk}/metrics/"))
    page.post(where, {**metric, "moderate": "", "good": ""})
    assert not Threshold.objects.exists()


def test_auto_evaluate_is_set_by_a_form(page: Client, branch: Branch) -> None:
    where = f"/evaluate/branch/{branch.pk}/auto/"
    refused = page.post(where, {"auto_evaluate": "steps", "evaluate_every": "none"})
    assert refused.status_code == 422
    assert "is not a number of steps" in refused.content.decode()
    empty = page.post(where, {"auto_evaluate": "steps", "evaluate_every": ""})
    assert "&#x27;&#x27; is not a number of steps" in empty.content.decode()
    page.post(where, {"auto_evaluate": "steps", "evaluate_every": "500"})
    branch.refresh_from_db()
    assert (branch.auto_evaluate, branch.evaluate_every) == ("steps", 500)


def test_one_address_holds_a_comparison_and_its_exports(page: Client, branch: Branch) -> None:
    a, b = (measured(branch, value).checkpoint_id for value in (0.5, 0.95))
    query = f"a={a}&b={b}"
    for tab in ("metrics", "traversals", "reconstructions", "ufr", "losses"):
        assert page.get(f"/compare/?{query}&tab={tab}").status_code == 200, tab
    shown = " ".join(page.get(f"/compare/?{query}").content.decode().split())
    assert "+0.45" in shown
    assert "▲ better" not in shown
    assert "nothing is claimed" in shown
    assert "significant" not in shown
    assert page.get(f"/compare/?{query}&print=1").status_code == 200
    lines = page.get(f"/compare/export.csv?{query}").content.decode().splitlines()
    assert len(lines) == 1 + 2 * 3
    found = json.loads(page.get(f"/compare/export.json?{query}").content)
    assert [each["checkpoint"] for each in found["checkpoints"]] == [a, b]


def test_the_losses_of_a_comparison_are_readable_without_a_script_and_lead_to_their_points(
    page: Client, branch: Branch
) -> None:
    before = Job.objects.count() + 1
    job = rows.make_job(branch, state=JobState.SUCCEEDED)
    first = rows.make_checkpoint(
        branch, job, step=300, job_step=300, losses={"raw/recon": 0.25, "total": 1.0}
    )
    second = rows.make_checkpoint(branch, losses={"raw/kl": 3.5})
    answer = page.get(f"/compare/?a={first.pk}&b={second.pk}&tab=losses")
    curves = answer.context["curves"]
    assert [(each.series, each.ends) for each in curves] == [
        ("raw/recon", [0.25, None]),
        ("raw/kl", [None, 3.5]),
    ]
    assert answer.context["sides"][0].line.parts == [
        {
            "job": job.pk,
            "points": f"/api/v1/jobs/{job.pk}/loss_history/",
            "first": 0,
            "until": 300,
            "own": True,
            "branch": branch.name,
        }
    ]
    shown = folded(answer)
    assert "0.25" in shown
    assert "Measure what is missing" not in shown
    assert page.post("/compare/run/", {"a": first.pk, "b": second.pk, "tab": "losses"}).status_code == 404
    assert Job.objects.count() == before


def test_what_a_comparison_misses_is_measured_at_a_press(page: Client, branch: Branch) -> None:
    a, b = measured(branch).checkpoint_id, rows.make_checkpoint(branch).pk
    assert "Measure what is missing" in page.get(f"/compare/?a={a}&b={b}").content.decode()
    answer = page.post("/compare/run/", {"a": a, "b": b, "tab": "metrics"})
    assert parse_qs(urlsplit(answer["Location"]).query)["b"] == [str(b)]
    assert Job.objects.latest("pk").checkpoint_id == b


def test_a_comparison_begins_with_the_two_newest_each_by_its_branch(page: Client, branch: Branch) -> None:
    assert "Fewer than two checkpoints so far" in page.get("/compare/").content.decode()
    a, b = (rows.make_checkpoint(branch).pk for _ in range(2))
    answer = page.get("/compare/")
    assert answer.context["newest_url"] == f"/compare/?a={a}&b={b}"
    chosen = page.get(answer.context["newest_url"]).content.decode()
    assert chosen.count(f">{branch.name}</span>") >= 2
    assert f'aria-label="Take A away: {branch} step' in chosen


@pytest.mark.parametrize("query", ["a=1", "a=x&b=1", "a=999&b=998", "a=-1&b=2"])
def test_a_comparison_of_nothing_says_so(page: Client, branch: Branch, query: str) -> None:
    answer = page.get(f"/compare/?{query}")
    assert answer.status_code == 422
    assert 'role="alert"' in answer.content.decode()


def test_what_others_keep_private_is_neither_shown_nor_measured(page: Client, branch: Branch) -> None:
    a, b = (measured(branch).checkpoint_id for _ in range(2))
    Experiment.objects.update(visibility="private")
    before = Job.objects.count()
    assert page.get(f"/evaluate/{a}/metrics/").status_code == 404
    assert page.post(f"/evaluate/{a}/run/", {"suite": "ufr"}).status_code == 404
    assert page.get(f"/compare/?a={a}&b={b}").status_code == 422
    page.post("/compare/run/", {"a": a, "b": b, "tab": "ufr"})
    assert Job.objects.count() == before


def test_numbers_of_a_checkpoint_are_exported_as_csv(page: Client, branch: Branch) -> None:
    kept = measured(branch)
    lines = page.get(f"/evaluate/{kept.checkpoint_id}/export.csv").content.decode().splitlines()
    assert lines[0].startswith("checkpoint,branch,step,task_key,name")
    assert len(lines) == 4
