"""Every number that a page says is one that the API or the database holds of what the page is about.

Numbers of the filled site are all different, so a number of another thing is told from the right one.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterable
from itertools import combinations, permutations

import pytest
from django.urls import reverse

from accsite.apps.evaluation.selectors.asked import TABS
from accsite.apps.jobs.models import Job
from accsite.apps.training.models import Checkpoint
from tests.truth.known import Known
from tests.truth.reading import Element, Saying, read, sayings
from tests.truth.site import Filled

pytestmark = pytest.mark.django_db

ROWS = {"tr", "li", "article"}


@pytest.fixture(scope="module")
def known(site: Filled) -> Known:
    return Known(site)


def shown(known: Known, address: str) -> Element:
    """Return a page, without the header that all pages share."""
    answer = known.client.get(address, follow=True)
    assert answer.status_code == 200, address
    page = read(answer.content.decode())
    mains = list(page.find("main"))
    return mains[0] if mains else page


def furniture(known: Known, *addresses: str) -> set[float]:
    """Return the numbers of pages about nothing: of help texts, defaults and limits."""
    return {said.value for where in addresses for said in sayings(shown(known, where))}


def untrue(said: Iterable[Saying], held: set[float]) -> list[str]:
    """Return what was said and is none of what is held, rounded as it was written."""
    values = sorted(value for value in held if math.isfinite(value))
    return [
        f"{each.text} in {each.around!r} ({each.element.tag})"
        for each in said
        if not each.is_count and not _among(values, each)
    ]


def _among(values: list[float], said: Saying) -> bool:
    place = bisect.bisect_left(values, said.value - said.tolerance)
    return place < len(values) and values[place] <= said.value + said.tolerance


def chosen_from(known: Known) -> set[float]:
    """Return the steps of all checkpoints, by which lists to choose from name them."""
    return {float(each.step) for each in known.site.checkpoints}


def test_the_pages_of_a_branch_say_numbers_of_that_branch_alone(known: Known) -> None:
    assert known.site.bare is not None
    common = furniture(known, "/w/bare/main/")
    common |= set(map(float, range(-3, 4)))  # the film strip of the latent, in standard deviations
    for branch in known.site.branches:
        page = shown(known, f"/w/{branch.experiment.slug}/{branch.slug}/")
        assert untrue(sayings(page), known.branch(branch) | common) == [], branch


def test_the_page_of_a_job_says_numbers_of_that_job_alone(known: Known) -> None:
    common = furniture(known, "/w/bare/main/")
    for job in Job.objects.all():
        assert job.branch is not None
        held = known.job(job) | known.of(f"tasks/?branch={job.branch_id}") | common
        for checkpoint in job.checkpoints.all():
            held |= known.checkpoint(checkpoint)
        assert untrue(sayings(shown(known, f"/jobs/{job.pk}/")), held) == [], job


def test_the_page_of_an_experiment_says_numbers_of_that_experiment_alone(known: Known) -> None:
    common = furniture(known, "/experiments/bare/")
    for branch in known.site.branches:
        held = known.branch(branch) | common | chosen_from(known)
        where = f"/experiments/{branch.experiment.slug}/"
        assert untrue(sayings(shown(known, where)), held) == [], branch
        for checkpoint in branch.checkpoints.all():
            assert untrue(sayings(shown(known, f"{where}?node={checkpoint.pk}")), held) == [], checkpoint
            panel = shown(known, f"/checkpoints/{checkpoint.pk}/")
            kin = known.checkpoint(checkpoint)
            if checkpoint.parent is not None:
                kin |= known.checkpoint(checkpoint.parent)
            kin |= known.of(f"experiments/{branch.experiment.slug}/")
            assert untrue(sayings(panel), kin | common | chosen_from(known)) == [], checkpoint


def test_the_tabs_of_a_checkpoint_say_what_was_measured_of_its_branch_alone(known: Known) -> None:
    for checkpoint in known.site.checkpoints:
        held = known.branch(checkpoint.branch) | chosen_from(known)
        for tab in (*TABS, "print"):
            page = shown(known, f"/evaluate/{checkpoint.pk}/{tab}/")
            assert untrue(sayings(page), held | PARTS_OF_EVALUATION) == [], (checkpoint, tab)


PARTS_OF_EVALUATION = {0.95, 20.0}
"""What the notes of the tabs say of how intervals are made."""


@pytest.mark.parametrize(
    "address",
    ["/jobs/", "/jobs/?previews=1", "/experiments/", "/datasets/", "/evaluate/", "/devices/", "/recipes/"],
)
def test_lists_say_in_each_row_numbers_of_what_the_row_is_about(known: Known, address: str) -> None:
    page = shown(known, address)
    assert untrue(sayings(page), known.everything) == []
    seen = 0
    for row in page.walk():
        if row.tag not in ROWS:
            continue
        about = [held for link in sorted(row.links()) if (held := known.thing(link)) is not None]
        if len(about) == 1:
            seen += 1
            assert untrue(sayings(row), about[0]) == [], row.text()
    assert seen or address not in ("/jobs/", "/datasets/")


def test_a_comparison_says_numbers_of_the_compared_and_their_differences(known: Known) -> None:
    measured = [each for each in known.site.checkpoints if each.evaluations.exists()]
    for a, b in combinations(measured, 2):
        for tab in ("metrics", "reconstructions", "traversals", "ufr"):
            held = known.branch(a.branch) | known.branch(b.branch) | differences(a, b)
            held |= PARTS_OF_EVALUATION | chosen_from(known)
            page = shown(known, f"/compare/?a={a.pk}&b={b.pk}&tab={tab}")
            assert untrue(sayings(page), held) == [], (a, b, tab)


def differences(a: Checkpoint, b: Checkpoint) -> set[float]:
    """Return every difference of a metric between measurements of two checkpoints."""
    values: dict[tuple[str, str], list[float]] = {}
    for checkpoint in (a, b):
        for evaluation in checkpoint.evaluations.all():
            for key, name, value in evaluation.metrics.values_list("task_key", "name", "value"):
                if value is not None:
                    values.setdefault((key, name), []).append(value)
    return {y - x for found in values.values() for x, y in permutations(found, 2)}


def test_exported_numbers_are_those_that_are_stored(known: Known) -> None:
    for job in Job.objects.filter(kind="train", step__gt=0):
        where = reverse("api:job-loss-history", args=[job.pk])
        lines = known.client.get(where, headers={"Accept": "text/csv"}).getvalue().decode()
        held = known.job(job) | set(map(float, range(job.step)))
        assert untrue(sayings(read(lines.replace(",", " "))), held) == [], job
    for checkpoint in known.site.checkpoints:
        lines = known.client.get(f"/evaluate/{checkpoint.pk}/export.csv").content.decode()
        held = known.checkpoint(checkpoint)
        assert untrue(sayings(read(lines.replace(",", " "))), held) == [], checkpoint


def test_a_row_of_a_job_wears_the_state_of_that_job(known: Known) -> None:
    seen = 0
    for address in ("/jobs/", *(f"/w/{branch.experiment.slug}/main/" for branch in known.site.branches)):
        for row in shown(known, address).walk():
            if row.tag not in ROWS or "data-job" not in row.attributes:
                continue
            held = known.api(f"jobs/{row.attributes['data-job']}/")
            assert row.attributes.get("data-state", held["state"]) == held["state"]
            (state,) = (each for each in row.walk() if each.attributes.get("class") == "state")
            assert (state.attributes["data-state"], state.text()) == (held["state"], held["state_label"])
            seen += 1
    assert seen > 8
