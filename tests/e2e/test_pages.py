"""What holds on every page: no error, no foreign request, no obstacle, no shift, no polling, and a light first load."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import pytest

from acc.specs import EVAL_PARTS
from tests.e2e.conftest import MOST, SCRIPT_NAME, Site, Watched
from tests.stack import DATASET

# The first test starts the whole platform.
pytestmark = pytest.mark.timeout(600)
AXE = Path(__file__).parent / "vendor" / "axe-core" / "4.14.1" / "axe.min.js"
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
RUN_AXE = """async (tags) => {
  const { violations } = await axe.run(document, { runOnly: tags, resultTypes: ["violations"] });
  const where = (node) => `${node.target.join(" ")} ${node.any[0]?.message ?? ""}`;
  return violations.map(({ id, nodes }) => `${id}: ${nodes.slice(0, 4).map(where).join(" | ")}`);
}"""
OBSERVE = """() => {
  window.changes = [];
  const note = ({ target }) => window.changes.push(target.id || target.className || target.nodeName);
  new MutationObserver((all) => all.forEach(note))
    .observe(document.body, { subtree: true, childList: true, attributes: true, characterData: true });
}"""
ONE_PACKET_BYTES = 1_400
FIRST_LOAD_LIMIT_BYTES = 200_000
Theme = Literal["light", "dark"]


@pytest.fixture(scope="session")
def furnished(site: Site) -> Any:
    """Return a finished train job whose checkpoint has been measured."""
    from accsite.apps.evaluation.models import Evaluation
    from accsite.apps.jobs.models import Job
    from accsite.apps.training.services import jobs

    job = Job.objects.filter(branch=site.branch, kind="train", state="SUCCEEDED").order_by("id").first()
    job = job or site.stack.state(site.stack.submit(site.branch, 40), "SUCCEEDED")
    site.stack.until(lambda: Evaluation.objects.filter(branch=site.branch).exists(), what="an evaluation")
    site.stack.state(
        jobs.submit_evaluation(
            actor=None, checkpoint=job.checkpoints.latest("pk"), eval={"suite": list(EVAL_PARTS)}
        ),
        "SUCCEEDED",
    )
    return job


def routes(site: Site, job: Any) -> list[str]:
    """Return every page of the site."""
    return [
        site.bench,
        f"{site.bench}?job={job.pk}&smooth=0.9&y=linear&from=5&to=20",
        f"{site.bench}tasks/",
        "/runs/",
        f"/runs/?eye={job.pk}&sort=-seconds",
        f"/runs/?group=branch&eye={site.branch.experiment.slug}/{site.branch.slug}",
        "/jobs/",
        f"/jobs/{job.pk}/",
        f"/jobs/{job.pk}/?tab=log",
        f"/jobs/{job.pk}/?tab=settings",
        "/search/?q=dig",
        "/search/",
        "/news/",
        "/news/?of=all",
        "/words/",
        f"/branches/{site.branch.pk}/note/",
        "/datasets/",
        f"/datasets/{DATASET}/",
        f"/datasets/{DATASET}/?digit.in=1,2&sort=slant&order=desc",
        f"/datasets/{DATASET}/remove/",
        f"/datasets/compare/?a={DATASET}&b={DATASET}",
        "/datasets/new/",
        "/datasets/import/",
        "/datasets/?removed=1",
        "/experiments/",
        "/experiments/new/",
        f"/experiments/{site.branch.experiment.slug}/",
        f"/experiments/{site.branch.experiment.slug}/?node={job.checkpoints.latest('pk').pk}&palette=viridis",
        f"/checkpoints/{job.checkpoints.latest('pk').pk}/",
        f"/checkpoints/{job.checkpoints.latest('pk').pk}/model/",
        "/recipes/",
        "/recipes/run/Quickstart/",
        "/studies/",
        f"/studies/{study(site)}/",
        f"/studies/{sweep(site)}/",
        f"/recipes/runs/{recipe_run()}/",
        "/devices/",
        "/plugins/",
        "/evaluate/",
        f"/evaluate/branch/{site.branch.pk}/",
        *(f"/evaluate/{job.checkpoints.latest('pk').pk}/{part}/" for part in EVAL_PARTS),
        f"/evaluate/{job.checkpoints.latest('pk').pk}/print/",
        "/compare/?a={}&b={}".format(*two_checkpoints(site)),
        "/compare/?a={}&b={}&tab=losses".format(*two_checkpoints(site)),
        "/latent/?a={}&b={}".format(*two_checkpoints(site)),
        "/profile/",
    ]


def two_checkpoints(site: Site) -> list[int]:
    """Return the ends of two trainings of the branch."""
    from accsite.apps.training.models import Checkpoint

    ends = Checkpoint.objects.filter(branch=site.branch, kind="final")
    while ends.count() < 2:
        site.stack.state(site.stack.submit(site.branch, 5), "SUCCEEDED")
    return list(ends.values_list("pk", flat=True)[:2])


def study(site: Site) -> str:
    """Return the slug of a study that is written down."""
    from accsite.apps.studies.services import studies

    made = studies.repeat_branch(actor=None, branch=site.branch, seeds=2, outcome="digit/accuracy", steps=5)
    return str(made.slug)


def sweep(site: Site) -> str:
    """Return the slug of a sweep that has drawn, and whose first arm is done."""
    from acc.studies import Measured
    from accsite.apps.studies.services import running, sweeps

    made = sweeps.sweep_branch(
        actor=None,
        branch=site.branch,
        space="train.lr: 1e-4 to 1e-2 log; train.optimizer: adamw or sgd",
        outcome="digit/accuracy",
        seeds=2,
        steps=5,
        sampler="random",
    )
    running.next_places(made.pk, [], 2)
    for place, row in enumerate(made.results.all()):
        value = Measured(value=0.5 + place / 10).model_dump(mode="json")
        made.results.filter(pk=row.pk).update(
            state="succeeded", values={"digit/accuracy": value}, seconds=1.0
        )
    return str(made.slug)


def recipe_run() -> int:
    """Return a stopped run with a phase, a step that failed and a line of its log."""
    from accsite.apps.jobs.services import control
    from accsite.apps.recipes.services import recipes

    run = recipes.submit_recipe(actor=None, recipe="Quickstart", params={"steps": 5})
    run.steps.create(path="1", verb="phase", args={"name": "train"}, phase="train")
    run.steps.create(path="2", verb="load_dataset", state="FAILED", message="there is no such dataset")
    run.steps.create(path="3", verb="log", state="SUCCEEDED", message="a line")
    assert run.job is not None
    control.cancel(actor=None, job=run.job)
    return int(run.pk)


EMPTY = ["/", "/jobs/", "/experiments/", "/evaluate/", "/datasets/?q=nothing", "/no-such-page/"]


AT_REST = """Promise.allSettled(
    document.getAnimations().filter((each) => each instanceof CSSTransition).map((each) => each.finished)
)"""
"""Resolves when no colour is on its way any more from one theme to the other."""


def obstacles(watched: Watched, where: str, themes: tuple[Theme, ...] = ("light", "dark")) -> list[str]:
    """Return what axe finds, in each theme."""
    watched.page.evaluate(AXE.read_text())
    found = []
    for theme in themes:
        watched.page.emulate_media(color_scheme=theme)
        watched.page.evaluate(AT_REST)
        found += [f"{where}, {theme}: {each}" for each in watched.page.evaluate(RUN_AXE, TAGS)]
    return found


def assert_accessible(watched: Watched, where: str) -> None:
    """Raise with what axe finds."""
    assert obstacles(watched, where) == []


@pytest.mark.parametrize(
    ("theme", "each"),
    [
        pytest.param("light", 6, id="light, one of six"),
        pytest.param("light", 1, id="light", marks=pytest.mark.long(50)),
        pytest.param("dark", 1, id="dark", marks=pytest.mark.long(30)),
    ],
)
def test_no_page_has_an_error_a_foreign_request_a_shift_or_an_obstacle_and_opening_it_starts_no_work(
    site: Site, furnished: Any, visit: Callable[..., Watched], theme: Theme, each: int
) -> None:
    from accsite.apps.jobs.models import Job

    watched = visit(site.admin, color_scheme=theme)
    wrong = []
    all_routes = routes(site, furnished)[::each]  # which makes a job of its own, to have a page of it
    before = Job.objects.count()
    for route in all_routes:
        assert watched.open(route).status == 200, route
        watched.page.wait_for_load_state("networkidle")
        if (shift := watched.page.evaluate("window.shift")) >= 0.05:
            wrong.append(f"{route} shifts by {shift}: {watched.page.evaluate(MOST)}")
        watched.assert_clean()
        wrong += obstacles(watched, route, (theme,))
    assert not wrong, "\n".join(wrong)
    assert Job.objects.count() == before


def test_empty_pages_say_what_to_do_next(site: Site, visit: Callable[..., Watched]) -> None:
    watched = visit(site.guest)
    for route in EMPTY:
        found = watched.open(route)
        assert found.status == (404 if "no-such" in route else 200), route
        assert watched.page.locator("main .btn, main a[href]").count() > 0, f"{route} leads nowhere"
        assert_accessible(watched, route)


def test_the_sign_in_page_is_clean(site: Site, visit: Callable[..., Watched]) -> None:
    watched = visit()
    watched.open("/sign-in/")
    assert_accessible(watched, "/sign-in/")
    watched.assert_clean()


def test_pages_fit_a_screen_of_320_pixels(site: Site, furnished: Any, visit: Callable[..., Watched]) -> None:
    watched = visit(site.admin)
    watched.page.set_viewport_size({"width": 320, "height": 640})
    for route in (
        site.bench,
        "/jobs/",
        "/plugins/",
        f"/datasets/{DATASET}/",
        "/datasets/new/",
        f"/jobs/{furnished.pk}/",
    ):
        watched.open(route)
        assert watched.page.evaluate("document.documentElement.scrollWidth") <= 320, route


def test_a_task_named_like_a_script_is_shown_as_text(
    site: Site, furnished: Any, visit: Callable[..., Watched]
) -> None:
    watched = visit(site.admin)
    dialogs: list[str] = []

    def opened(dialog: Any) -> None:
        dialogs.append(dialog.message)
        dialog.dismiss()

    watched.page.on("dialog", opened)
    watched.open(site.bench)
    watched.page.locator("#tasks").get_by_text(SCRIPT_NAME, exact=True).wait_for()
    assert watched.page.locator("img[src='x']").count() == 0
    assert dialogs == []


def test_an_idle_page_asks_for_nothing_and_changes_nothing(
    site: Site, furnished: Any, visit: Callable[..., Watched]
) -> None:
    watched = visit(site.admin)
    page = watched.page
    page.locator("#live[data-state=live]").wait_for()
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(500)
    watched.requests.clear()
    page.evaluate(OBSERVE)
    page.wait_for_timeout(6_000)
    assert watched.requests == []
    assert page.evaluate("window.changes") == []


def test_the_first_load_of_the_workbench_is_light(
    site: Site, furnished: Any, visit: Callable[..., Watched], capsys: pytest.CaptureFixture[str]
) -> None:
    state = visit(site.admin).page.context.storage_state()
    watched = visit(storage_state=state)  # signed in, with nothing cached
    session = watched.page.context.new_cdp_session(watched.page)
    session.send("Network.enable")
    session.send("Network.setCacheDisabled", {"cacheDisabled": True})
    answers: dict[str, dict[str, Any]] = {}
    sizes: dict[str, int] = {}

    def answered(event: dict[str, Any]) -> None:
        answers[event["requestId"]] = event["response"]

    def loaded(event: dict[str, Any]) -> None:
        answer = answers.get(event["requestId"])
        if answer is not None and not answer["mimeType"].startswith("image/"):
            path = urlsplit(answer["url"]).path
            sizes[path] = sizes.get(path, 0) + int(event["encodedDataLength"])

    session.on("Network.responseReceived", answered)
    session.on("Network.loadingFinished", loaded)
    watched.open(site.bench)
    watched.page.wait_for_load_state("networkidle")
    with capsys.disabled():
        print(f"\nfirst load of the workbench: {sum(sizes.values()):,} bytes on the wire; {sizes}")
    assert {site.bench, "/static/css/app.css", "/static/js/app.js"} <= set(sizes)
    sent = {urlsplit(answer["url"]).path: answer["headers"] for answer in answers.values()}
    for path, size in sizes.items():
        if path == site.bench or path.startswith("/static/"):
            encoding = {name.lower(): value for name, value in sent[path].items()}.get("content-encoding")
            # A font is compressed by its own format, and what fits one packet gains nothing.
            small = path.endswith(".woff2") or size < ONE_PACKET_BYTES
            assert small or encoding == "gzip", f"{path} is sent as it is"
    assert sum(sizes.values()) < FIRST_LOAD_LIMIT_BYTES


def test_a_half_typed_form_survives_what_is_pushed(
    site: Site, furnished: Any, visit: Callable[..., Watched]
) -> None:
    from accsite.apps.live.services import bump

    watched = visit(site.admin)
    page = watched.page
    page.locator("#live[data-state=live]").wait_for()
    page.get_by_role("link", name="Optimizer").click()
    page.get_by_label("Optimizer").select_option("sgd")
    page.get_by_label("Rate over time").select_option("cosine")
    page.get_by_label("Batch", exact=True).fill("48")
    steps = page.get_by_label("Steps", exact=True)
    steps.fill("12345")
    steps.evaluate("(input) => input.type = 'text'")
    steps.evaluate("(input) => input.setSelectionRange(2, 2)")
    for _ in range(10):
        with page.expect_response(lambda response: "/panel/train/" in response.url):
            bump("workers", "jobs", f"tasks:{site.branch.pk}")
        page.wait_for_timeout(60)
    assert steps.input_value() == "12345"
    assert steps.evaluate("(input) => [document.activeElement === input, input.selectionStart]")[0] is True
    assert page.get_by_label("Rate over time").input_value() == "cosine"
    assert page.get_by_label("Batch", exact=True).input_value() == "48"
    assert page.get_by_label("Optimizer").input_value() == "sgd"
