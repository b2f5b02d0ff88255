"""One running platform and one browser for all journeys; each test gets a page that remembers what went wrong."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from accsite.supervisor.redis import RedisServer
from tests.stack import DATASET, PATIENCE, ROOT, Process, Stack, Template

ARGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
SCRIPT_NAME = "<img src=x onerror=alert(1)>"
# Runs in every page before anything else: counts layout shift and collects reports of the policy.
WITNESS = """
window.shift = 0; window.shifted = []; window.reports = [];
const place = ({ node, previousRect: was, currentRect: is }) =>
  `${node?.id || node?.className || node?.nodeName} ${was.left},${was.top} to ${is.left},${is.top}`;
const count = (entry) => {
  if (entry.hadRecentInput) return;
  window.shift += entry.value;
  window.shifted.push([entry.value, ...entry.sources.map(place)]);
};
new PerformanceObserver((list) => list.getEntries().forEach(count))
  .observe({ type: "layout-shift", buffered: true });
document.addEventListener("securitypolicyviolation", (report) =>
  window.reports.push(`${report.violatedDirective} ${report.blockedURI}`));
"""
MOST = "window.shifted.sort((a, b) => b[0] - a[0]).slice(0, 6)"


@dataclass
class Site:
    """The running platform, its branch, and the users of the tests."""

    stack: Stack
    url: str
    branch: Any
    admin: Any
    guest: Any

    @property
    def bench(self) -> str:
        """The path of the branch's workbench."""
        return f"/w/{self.branch.experiment.slug}/{self.branch.slug}/"


@dataclass
class Watched:
    """A page, and all that it did wrong or fetched."""

    page: Page
    url: str
    problems: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def open(self, path: str) -> Any:
        """Go to a path of the site."""
        return self.page.goto(self.url + path)

    def until(self, expression: str, seconds: float = 60) -> None:
        """Wait until a JavaScript expression is true (the page's policy forbids Playwright's own way)."""
        end = time.monotonic() + PATIENCE * seconds
        while not self.page.evaluate(expression):
            assert time.monotonic() < end, f"waited {seconds:g} s for {expression}: {self.problems}"
            self.page.wait_for_timeout(30)

    def assert_still(self) -> None:
        """Raise when what was shown has moved without being asked to, naming what moved."""
        moved = self.page.evaluate("window.shift")
        assert moved < 0.05, f"{moved:.3f}: {self.page.evaluate(MOST)}"

    def assert_clean(self) -> None:
        """Raise when there was a console error, a report of the policy, or a request to another origin."""
        assert [*self.problems, *self.page.evaluate("window.reports")] == []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give a browser and real processes on a busy machine more time than unit tests get."""
    for item in items:
        if item.path.parent == Path(__file__).parent and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(int(600 * PATIENCE)))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: Any) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Put the errors that the platform has logged beside what the page of a failed test says."""
    report = yield
    if report.failed:
        for made in getattr(item, "funcargs", {}).values():
            stack = made[0] if isinstance(made, tuple) else getattr(made, "stack", None)
            if isinstance(stack, Stack):
                report.sections.append(("errors of the platform", stack.errors()))
    return report


@pytest.fixture(scope="session")
def plugins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the platform's plugin folder, which tests may change: all that comes with ACC."""
    path = tmp_path_factory.mktemp("plugins") / "plugins"
    shutil.copytree(ROOT / "plugins", path, ignore=shutil.ignore_patterns("__pycache__"))
    return path


@pytest.fixture(scope="session")
def site(
    tmp_path_factory: pytest.TempPathFactory, redis_server: RedisServer, django_db_blocker: Any, plugins: Path
) -> Iterator[Site]:
    """Return a platform with all its processes, a branch of four tasks, and two users."""
    # Playwright keeps an event loop in this thread, which Django would otherwise take for an async view.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    folder = tmp_path_factory.mktemp("e2e")
    with django_db_blocker.unblock(), ExitStack() as entered:
        template = Template(folder / "template", redis_server)
        made = template.stack(folder / "home", ACC_PLUGINS=str(plugins), ACC_LEASE_SECONDS="20")
        stack = entered.enter_context(made)
        watcher = stack.watcher()
        stack.worker("train-1", "train", wait=False)
        stack.worker("eval-1", "eval,default", wait=False)
        stack.sweeper()
        stack.start("latent", "-m", "workers.latent")
        url = stack.web()
        stack.until(lambda: "watching_plugins" in watcher.output, what="the watcher")
        yield _furnish(stack, url)


def _is_serving(process: Process) -> bool:
    return "worker_serving" in process.output


def _furnish(stack: Stack, url: str) -> Site:
    from django.contrib.auth import get_user_model

    from accsite.apps.training.models import Visibility
    from accsite.apps.training.services import tasks

    users = get_user_model().objects
    admin = users.create_superuser("admin", password="a good long one")
    guest = users.create_user("guest", password="another long one")
    branch = stack.branch()
    task = tasks.add_task(
        actor=admin, branch=branch, task_class="RegressionTask", dataset=DATASET, name="Slant"
    )
    type(task).objects.filter(pk=task.pk).update(name=SCRIPT_NAME)
    branch.experiment.visibility, branch.experiment.owner = Visibility.PRIVATE, admin
    branch.experiment.save()
    for name in ("train-1", "eval-1"):
        process = next(each for each in stack.processes if each.name == name)
        stack.until(partial(_is_serving, process), what=f"{name} serving")
    return Site(stack, url, branch, admin, guest)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Return a headless Chromium: ACC_CHROMIUM, the system's, or Playwright's own."""
    system = os.environ.get("ACC_CHROMIUM", "/usr/bin/chromium")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(
            executable_path=system if Path(system).exists() else None, args=list(ARGS)
        )
        yield launched
        launched.close()


@pytest.fixture(scope="session")
def signed_in() -> dict[tuple[str, str], Any]:
    """Return what a browser keeps of a user who has signed in, by name and site: who comes again need not do so."""
    return {}


@pytest.fixture
def visit(
    site: Site, browser: Browser, signed_in: dict[tuple[str, str], Any]
) -> Iterator[Callable[..., Watched]]:
    """Return what opens a watched page at home, signed in as ``user`` unless it is None.

    They sign in by a one-time link the first time, or ``anew``; from then on their browsers know them.
    """
    from accsite.apps.access.services import make_sign_in_link

    contexts: list[BrowserContext] = []

    def opened(user: Any = None, *, url: str = "", anew: bool = False, **options: Any) -> Watched:
        who = (user.username if user is not None else "", url or site.url)
        known = who in signed_in and not anew
        if known:
            options["storage_state"] = signed_in[who]
        context = browser.new_context(viewport={"width": 1440, "height": 900}, **options)
        context.set_default_timeout(60_000 * PATIENCE)
        contexts.append(context)
        context.add_init_script(WITNESS)
        watched = watch(context.new_page(), url or site.url)
        if known:
            watched.open("/")
        elif user is not None:
            token = make_sign_in_link(user, minutes=5)
            watched.open(f"/sign-in/link/{token}/")
            if watched.page.locator("form button").count() and "/sign-in/" in watched.page.url:
                watched.page.locator("form button").first.click()
            watched.page.wait_for_url(lambda at: "/sign-in/" not in at)
            signed_in[who] = context.storage_state()
        return watched

    yield opened
    for context in contexts:
        context.close()


def at_rest(site: Site, name: str) -> Any:
    """Return the branch of a new experiment that was trained twice and has nothing left to do."""
    from accsite.apps.jobs.models import Job

    branch = site.stack.branch(name)
    for _ in range(2):
        site.stack.state(site.stack.submit(branch, 10), "SUCCEEDED")
    active = Job.objects.active().filter(checkpoint__experiment=branch.experiment)
    site.stack.until(lambda: not active.exists(), what=f"the evaluations of {name}")
    return branch


def watch(page: Page, url: str) -> Watched:
    """Return ``page`` with its console, errors and requests written down."""
    watched = Watched(page, url)

    def requested(request: Any) -> None:
        watched.requests.append(request.url)
        if not request.url.startswith((url, "data:", "blob:")):
            watched.problems.append(f"request to another origin: {request.url}")

    page.on(
        "console",
        lambda m: (
            watched.problems.append(f"console {m.type}: {m.text} ({m.location['url']})")
            if m.type in {"error", "warning"}
            else None
        ),
    )
    page.on("pageerror", lambda error: watched.problems.append(f"script error: {error}"))
    page.on("request", requested)
    return watched
