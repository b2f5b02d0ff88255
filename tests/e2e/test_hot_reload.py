"""Save a plugin file: it is in the form that is open. Break it: the form says where. Delete it: it is gone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Site, Watched
from tests.stack import ROOT

# The first test starts the whole platform.
pytestmark = pytest.mark.timeout(600)
TASK = '''
from acc.api import Param, Task

class DummyTask(Task):
    """Pulls the latent to nought."""
    label = "{label}"
    power = Param({power}, min=1, max=9, help="how hard")

    def compute_loss(self, output, batch, head):
        return output.mean.abs().pow(self.power).mean()
'''
GENERATOR = '''
import torch
from acc.api import AccDataset, DatasetGenerator, Param

class DummyDots(DatasetGenerator):
    """Dots."""
    label = "Dummy dots"
    radius = Param(3, min=1, max=9)

    def generate(self, n, seed, progress):
        raise NotImplementedError
'''
MODEL = (ROOT / "plugins" / "models" / "linear_autoencoder.py").read_text()
HALF_TYPED = "half-typed na"


@pytest.fixture(scope="module")
def site(site: Site) -> Site:
    """Return the platform, with a branch for the tests of this file."""
    return replace(site, branch=site.stack.branch("reloaded"))


def opened(visit: Callable[..., Watched], site: Site) -> Watched:
    """Return the workbench with the form of a new task open and half filled in."""
    watched = visit(site.admin)
    page = watched.page
    watched.open(site.bench)
    page.locator("#live[data-state=live]").wait_for()
    page.get_by_role("link", name="+ Task").click()
    page.locator("#task-form").wait_for()
    return watched


def shown(watched: Watched, selector: str, *, gone: bool = False) -> None:
    """Wait until an element is there, or gone; how soon is measured by benchmarks/save_latency.py."""
    watched.page.locator(selector).first.wait_for(state="detached" if gone else "attached")


def test_a_saved_class_is_in_the_open_dropdown_and_nothing_typed_is_lost(
    site: Site, plugins: Path, visit: Callable[..., Watched]
) -> None:
    watched = opened(visit, site)
    page = watched.page
    page.locator("#task-task_class").select_option("RegressionTask")
    page.locator("#task-params-loss").wait_for()
    page.locator("#task-weight").fill("0.75")
    page.locator("#task-params-loss").select_option("smooth_l1")
    page.locator("#task-name").fill(HALF_TYPED)
    page.locator("#task-name").evaluate("(input) => input.setSelectionRange(4, 4)")
    page.locator(f"#more-{site.branch.tasks.first().pk}").click()
    page.locator(".tasks .more").wait_for()
    page.locator("#task-name").focus()
    page.locator("#task-name").evaluate("(input) => input.setSelectionRange(4, 4)")

    file = plugins / "tasks" / "dummy_task.py"
    file.write_text(TASK.format(label="Dummy", power=2))
    shown(watched, "#task-task_class option[value=DummyTask]")
    name = page.locator("#task-name")
    assert name.input_value() == HALF_TYPED
    assert name.evaluate("(i) => [document.activeElement === i, i.selectionStart]") == [True, 4]
    assert page.locator("#task-task_class").input_value() == "RegressionTask"
    assert page.locator("#task-params-loss").input_value() == "smooth_l1"
    assert page.locator("#task-weight").input_value() == "0.75"
    assert page.locator(".tasks .more").is_visible(), "what was open stays open"

    # Broken, it says where, in the form, and the class stays; mended, the message is gone.
    file.write_text(TASK.format(label="Dummy", power=2).replace("def compute_loss(", "def compute_loss(("))
    shown(watched, "#task-form .errors pre")
    told = page.locator("#task-form .errors").inner_text()
    assert "tasks/dummy_task.py:9" in told
    assert "def compute_loss((" in told
    assert page.locator("#task-task_class option[value=DummyTask]").count() == 1
    file.write_text(TASK.format(label="Dummy of two", power=3))
    shown(watched, "#task-form .errors", gone=True)
    assert name.input_value() == HALF_TYPED

    # The fields of the class are those of the version saved last.
    page.locator("#task-task_class").select_option("DummyTask")
    power = page.locator("#task-params-power")
    power.wait_for()
    assert (power.input_value(), power.get_attribute("max")) == ("3", "9")
    assert name.input_value() == HALF_TYPED
    page.locator("#task-task_class").select_option("RegressionTask")
    page.locator("#task-params-loss").wait_for()
    assert page.locator("#task-params-loss").input_value() == "smooth_l1", "what was chosen comes back"

    file.unlink()
    shown(watched, "#task-task_class option[value=DummyTask]", gone=True)
    assert name.input_value() == HALF_TYPED
    watched.assert_clean()


def test_a_task_outlives_its_file_and_trains_on_and_anew(
    site: Site, plugins: Path, visit: Callable[..., Watched]
) -> None:
    from accsite.apps.jobs.models import JobEvent

    file = plugins / "tasks" / "dummy_task.py"
    file.write_text(TASK.format(label="Dummy", power=2))
    watched = opened(visit, site)
    page = watched.page
    shown(watched, "#task-task_class option[value=DummyTask]")
    job = site.stack.submit(site.branch, 100_000)
    site.stack.step(job, 10)

    # Refused beside its field with the values kept; a double click adds it once, to the running job.
    page.locator("#task-task_class").select_option("DummyTask")
    page.locator("#task-params-power").fill("11")
    page.locator("#task-name").fill("Calm")
    page.get_by_role("button", name="Add the task").click()
    page.locator("#task-params-power_error").wait_for()
    watched.problems.clear()  # the browser notes each answer that refuses something
    assert page.locator("#task-params-power").input_value() == "11"
    assert page.locator("#task-name").input_value() == "Calm"
    page.locator("#task-params-power").fill("2")
    page.get_by_role("button", name="Add the task").dblclick()
    page.locator("#add-link").wait_for()
    assert site.branch.tasks.filter(name__startswith="Calm").count() == 1
    added = site.branch.tasks.get(name="Calm")
    page.locator(f"#task-{added.pk} [data-status=APPLIED]").wait_for()
    event = JobEvent.objects.get(job=job, kind="add_task")
    assert event.status == "APPLIED"

    file.unlink()
    page.locator(f"#task-{added.pk} .chip", has_text="source removed").wait_for()
    seen = job.step
    site.stack.step(job, seen + 50)
    site.stack.until(lambda: "raw/calm" in series_of(job), what="the losses of Calm")
    page.locator("#topjob summary").click()
    page.get_by_role("button", name="Stop job").click()
    site.stack.state(job, "CANCELLED")
    after = site.stack.state(site.stack.submit(site.branch, 5), "SUCCEEDED")
    assert "raw/calm" in series_of(after), "the next job trains it from the source that was kept"
    watched.assert_clean()

    # Moved by keyboard, removed, and brought back within ten seconds.
    page.locator(f"#more-{added.pk}").click()
    page.locator(f"#up-{added.pk}").press("Enter")
    page.wait_for_timeout(300)
    page.locator(f"#remove-{added.pk}").click()
    page.locator(f"#undo-{added.pk}").click()
    page.locator(f"#task-{added.pk}").wait_for()
    names = page.locator(".tasks .name").all_inner_texts()
    assert names.index("Calm") == len(names) - 2
    watched.assert_clean()


def series_of(job: Any) -> set[str]:
    """Return the names of the curves that a job has points of."""
    from accsite.apps.training.models import LossBlock

    return {name for block in LossBlock.objects.filter(job=job) for name in block.series}


def test_a_weight_slides_by_powers_of_ten_and_a_push_leaves_what_is_typed(
    site: Site, visit: Callable[..., Watched]
) -> None:
    from accsite.apps.live.services import bump

    watched = visit(site.admin)
    page = watched.page
    watched.open(site.bench)
    page.locator("#live[data-state=live]").wait_for()
    task = site.branch.tasks.get(task_class="ReconstructionTask")
    row = page.locator(f"#task-{task.pk}")
    slider = row.locator("[type=range]")
    slider.focus()
    slider.press("ArrowRight")
    site.stack.until(lambda: site.branch.tasks.get(pk=task.pk).weight != 1, what="the weight")
    assert 1 < site.branch.tasks.get(pk=task.pk).weight < 1.3
    other = page.locator("#tasks input[name=weight]").nth(1)
    other.evaluate("(i) => { i.focus(); i.value = '0.12'; }")
    with page.expect_response(lambda response: "/panel/tasks/" in response.url):
        bump(f"tasks:{site.branch.pk}")
    page.wait_for_timeout(100)
    assert other.input_value() == "0.12"
    watched.assert_clean()


@pytest.mark.parametrize(
    ("path", "kind", "name", "source"),
    [
        ("/datasets/new/", "generators", "DummyDots", GENERATOR),
        ("/experiments/new/", "models", "DummyModel", MODEL.replace("LinearAutoencoder", "DummyModel")),
    ],
)
def test_generators_and_models_come_and_go_in_their_forms(
    *, site: Site, plugins: Path, visit: Callable[..., Watched], path: str, kind: str, name: str, source: str
) -> None:
    watched = visit(site.admin)
    page = watched.page
    watched.open(path)
    page.locator("#live[data-state=live]").wait_for()
    field = page.locator("#plugin-fields input[name=name]")
    field.fill(HALF_TYPED)
    file = plugins / kind / "dummy.py"
    option = f"option[value={name}]"
    file.write_text(source)
    shown(watched, option)
    file.write_text(source + "\nraise ValueError('not today')\n")
    shown(watched, "#plugin-form .errors pre")
    assert "not today" in page.locator("#plugin-form .errors").inner_text()
    file.write_text(source)
    shown(watched, "#plugin-form .errors", gone=True)
    file.unlink()
    shown(watched, option, gone=True)
    assert field.input_value() == HALF_TYPED
    watched.assert_clean()


def test_the_plugins_page_tells_file_line_and_code_and_what_goes_on_serving(
    site: Site, plugins: Path, visit: Callable[..., Watched]
) -> None:
    watched = visit(site.admin)
    page = watched.page
    watched.open("/plugins/")
    page.locator("#live[data-state=live]").wait_for()
    file = plugins / "tasks" / "dummy_task.py"
    file.write_text("print('hello from here')\n" + TASK.format(label="Dummy", power=2))
    page.locator("#task-DummyTask:not(:has(.chip))").wait_for()
    file.write_text("print('hello from here')\nimport nowhere_to_be_found\n")
    broken = page.locator(".broken")
    broken.wait_for()
    for words in (
        "tasks/dummy_task.py:2",
        "nowhere_to_be_found",
        "The last good version goes on serving DummyTask",
    ):
        assert words in broken.inner_text()
    assert broken.locator("li.hit").inner_text().endswith("import nowhere_to_be_found")
    file.unlink()
    broken.wait_for(state="detached")
    page.locator("#task-DummyTask .chip", has_text="source removed").wait_for()
    watched.assert_clean()
