"""The chart's own promises: no spike is lost, a resume cuts what it undid, zoom and legend live in the address."""

from __future__ import annotations

import ast
import json
import re
import shlex
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from django.utils import timezone

from acc.training.losses import health
from tests.e2e.conftest import Site, Watched
from tests.e2e.test_pages import assert_accessible

# The first test starts the whole platform.
pytestmark = pytest.mark.timeout(600)
LONG, SPIKE_AT, SPIKE = 60_000, 31_234, 50.0
BASELINE = 0.75
MODULE = """
const { Points } = await import('/static/js/points.js');
const p = new Points(0, '/');
const name = 'raw/a';
const write = (start, values) =>
  p.write({ header: { start, count: values.length, series: [name] }, columns: [Float32Array.from(values)] });
"""


def kept(site: Site, values: np.ndarray[Any, Any]) -> Any:
    """Return a finished job of the branch with these losses ``(task, step)``, NaN for none."""
    from accsite.apps.jobs.models import Job
    from accsite.apps.training import blocks
    from accsite.apps.training.models import LossBlock

    tasks = [{"key": task.key, "name": task.name} for task in site.branch.tasks.all()]
    spec = {"tasks": tasks, "train": {"steps": values.shape[1]}}
    now = timezone.now()
    job = Job.objects.create(
        kind="train", queue="train", state="SUCCEEDED", title="long ago", branch=site.branch, spec=spec,
        step=values.shape[1], total_steps=values.shape[1], attempt=1, points_seq=1, started_at=now, finished_at=now,
    )  # fmt: skip
    names = tuple(f"raw/{task['key']}" for task in tasks)[: len(values)]
    made = blocks.make(0, names, values.astype(np.float32), 1e9, 1e9 + values.shape[1] / 100)
    LossBlock.objects.bulk_create(
        LossBlock(job=job, attempt=1, seq=1, **blocks.fields(chunk)) for chunk in blocks.chunks(made)
    )
    return job


@pytest.fixture(scope="module")
def long_job(site: Site) -> Any:
    """Return a finished job of many steps with one spike in its points."""
    from accsite.apps.jobs.models import JobEvent

    tasks = list(site.branch.tasks.all())
    values = np.random.default_rng(0).uniform(0.1, 0.2, (len(tasks), LONG))
    values[0, SPIKE_AT] = SPIKE
    job = kept(site, values)
    JobEvent.objects.create(
        job=job,
        kind="baseline",
        payload={"task": tasks[0].key, "loss": BASELINE, "words": "a guess", "floor": False},
    )
    yield job
    job.delete()


@pytest.fixture(scope="module")
def furnished_job(site: Site) -> Any:
    """Return a short job that has been trained."""
    return site.stack.state(site.stack.submit(site.branch, 60), "SUCCEEDED")


def test_a_long_history_keeps_its_spike_and_zooms_by_asking_for_a_part(
    site: Site, long_job: Any, visit: Callable[..., Watched]
) -> None:
    watched = visit(site.admin)
    page = watched.page
    watched.open(f"{site.bench}?job={long_job.pk}")
    watched.until("Boolean(document.getElementById('loss').points?.base)")
    assert page.evaluate("document.getElementById('loss').points.columns.size") == 0, "it came unreduced"
    watched.until("document.querySelector('#loss canvas') !== null")
    highest = "Math.max(...p.view(0, p.end, ['%s'], 0.6)[1].get('%s')[1])" % (
        (f"raw/{site.branch.tasks.first().key}",) * 2
    )
    assert (
        page.evaluate(f"(() => {{ const p = document.getElementById('loss').points; return {highest} }})()")
        == SPIKE
    )

    watched.requests.clear()
    page.locator("#loss .u-over").scroll_into_view_if_needed()
    box = page.locator("#loss .u-over").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 50)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + 60, steps=4)
    page.mouse.up()
    watched.until("location.search.includes('from=')")
    asked = [url for url in watched.requests if "loss_history" in url]
    assert len(asked) == 1
    assert "from=" in asked[0]
    assert page.locator("[data-reset]").is_visible()
    page.reload()
    watched.until("document.querySelector('#loss canvas') !== null")
    assert "from=" in page.url
    page.locator("#loss .u-over").scroll_into_view_if_needed()
    box = page.locator("#loss .u-over").bounding_box()
    assert box is not None
    page.mouse.dblclick(box["x"] + box["width"] * 0.5, box["y"] + 50)
    watched.until("!location.search.includes('from=')")
    page.go_back()
    watched.until("location.search.includes('from=')")
    watched.assert_clean()


def test_the_legend_hides_and_singles_out_and_the_address_tells(
    site: Site, long_job: Any, visit: Callable[..., Watched]
) -> None:
    watched = visit(site.admin)
    page = watched.page
    watched.open(f"{site.bench}?job={long_job.pk}")
    lines = page.locator("#legend button")
    count = lines.count()

    def pressed(*wanted: bool) -> str:
        states = "[...document.querySelectorAll('#legend button')].map((line) => line.ariaPressed === 'true')"
        return f"JSON.stringify({states}) === '{json.dumps(list(wanted), separators=(',', ':'))}'"

    everything, first = [True] * count, [True, *[False] * (count - 1)]
    lines.nth(1).click()
    watched.until(pressed(True, False, *everything[2:]))
    assert "hide=" in page.url
    lines.nth(0).click(modifiers=["Alt"])
    watched.until(pressed(*first))
    page.reload()
    watched.until(pressed(*first))
    page.go_back()
    watched.until(pressed(True, False, *everything[2:]))
    lines.nth(1).click()
    watched.until("!location.search.includes('hide=')")
    page.get_by_role("button", name="log", exact=True).click()
    watched.until("location.search.includes('y=linear')")
    watched.assert_clean()


def test_each_task_has_its_baseline_and_is_told_against_it_in_words(
    site: Site, long_job: Any, visit: Callable[..., Watched]
) -> None:
    watched = visit(site.admin)
    page = watched.page
    watched.open(f"{site.bench}?job={long_job.pk}")
    lines = "document.getElementById('loss').chart.baselines"
    watched.until(f"{lines}.length === 1")
    assert page.evaluate(f"{lines}[0].value") == BASELINE
    tile = page.locator("#tiles .tile").first
    assert "better than trivial" in tile.inner_text()
    assert "flat" in tile.inner_text()
    assert re.search(r"-\d\d %", tile.inner_text()), "how far it is below the trivial predictor"
    page.get_by_role("button", name="baselines").click()
    watched.until(f"{lines}.length === 0")
    page.go_back()
    watched.until(f"{lines}.length === 1")
    page.get_by_label("What is drawn").select_option("weighted")
    watched.until(f"{lines}.length === 0 && location.search.includes('v=weighted')")
    watched.assert_clean()


def test_another_job_is_laid_under_the_one_shown_and_the_address_tells(
    site: Site, long_job: Any, visit: Callable[..., Watched]
) -> None:
    shown = site.stack.state(site.stack.submit(site.branch, 40), "SUCCEEDED")
    watched = visit(site.admin)
    page = watched.page
    watched.open(f"{site.bench}?job={shown.pk}")
    page.get_by_label(f"Overlay job {long_job.pk}").click()
    reach = "document.getElementById('loss').chart.layers.flatMap((layer) => layer.reach())"
    watched.until(f"{reach}.length > 0")
    assert f"overlay={long_job.pk}" in page.url
    assert f'data-job="{shown.pk}"' in page.locator("#job").evaluate("(head) => head.outerHTML")
    page.reload()
    watched.until(f"{reach}.length > 0")
    page.get_by_label(f"Take off job {long_job.pk}").click()
    watched.until(f"{reach}.length === 0")
    page.go_back()
    watched.until(f"{reach}.length > 0")
    watched.assert_clean()


def test_table_folded_curves_and_time_axis_open_from_the_address(
    site: Site, furnished_job: Any, visit: Callable[..., Watched]
) -> None:
    watched = visit(site.admin)
    page = watched.page
    watched.open(f"{site.bench}?job={furnished_job.pk}&table=1&curves=1&x=time")
    watched.until("document.querySelectorAll('#curves canvas').length === 3")
    rows = "document.querySelectorAll('#chart-more table tbody tr').length"
    watched.until(f"{rows} === {site.branch.tasks.count() + 3}")
    names = page.locator("#curves figcaption").all_inner_texts()
    assert [name.rpartition(" ")[0] for name in names] == ["Weighted total", "Gradient norm", "Learning rate"]
    page.locator("#loss > .plot .u-over").scroll_into_view_if_needed()
    box = page.locator("#loss > .plot .u-over").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 200, box["y"] + 60)
    at = "[...document.querySelectorAll('.u-cursor-x')].map((line) => line.style.transform)"
    watched.until(f"new Set({at}).size === 1 && {at}.length === 4")
    watched.until("/s$/.test(document.getElementById('loss').view.ticks(12))")
    assert_accessible(watched, "the chart with all that unfolds")
    watched.assert_clean()


def test_what_is_copied_is_one_argument_to_a_shell_and_a_literal_to_python(
    site: Site, visit: Callable[..., Watched]
) -> None:
    name = """it's "$HOME" `id` \\ é"""
    found = visit(site.admin).page.evaluate(
        """async (name) => (await import('/static/js/copy.js')).texts({ path: '/api/v1/tasks/?a=b&c=d', method: 'POST',
          cli: JSON.stringify(['tasks', name]), body: JSON.stringify({ name, on: true, slice: null, n: [1, 2.5] })
          })""",
        name,
    )
    assert shlex.split(found["cli"])[-2:] == ["tasks", name]
    arguments = shlex.split(found["curl"])
    body = json.loads(arguments[arguments.index("--data-raw") + 1])
    assert body == {"name": name, "on": True, "slice": None, "n": [1, 2.5]}
    assert arguments[-1] == f"{site.url}/api/v1/tasks/?a=b&c=d"
    sent = found["python"].partition("json.dumps(")[2].partition(").encode()")[0]
    assert ast.literal_eval(sent) == body


@pytest.mark.parametrize("kind", ["falling", "flat", "rising", "short", "tied"])
def test_the_page_tells_the_same_health_as_the_server(
    site: Site, visit: Callable[..., Watched], kind: str
) -> None:
    rng = np.random.default_rng(3)
    slope = {"falling": -0.004, "rising": 0.003}.get(kind, 0.0)
    count = 7 if kind == "short" else 333
    values = (1 + slope * np.arange(count) / 3 + rng.normal(0, 0.02, count)).tolist()
    if kind == "tied":
        values = [round(value, 1) for value in values]
    found = visit(site.admin).page.evaluate(
        """async ([values, base, near]) => { const health = await import('/static/js/health.js');
          return [health.level(values, base, near, false), health.trend(values), health.windowSteps(9000)]; }""",
        [values, 0.9, health.tolerance(0.9)],
    )
    told = health.assess(values, 0.9)
    known = ["" if word == "unknown" else word for word in (told.level, told.trend)]
    assert found == [*known, health.window(9000)]


DRAWN = """([from, to]) => {
  const { plot } = document.getElementById('loss').chart;
  const { ctx: { canvas }, bbox } = plot;
  const copy = Object.assign(document.createElement('canvas'), { width: canvas.width, height: canvas.height });
  const ctx = copy.getContext('2d', { willReadFrequently: true });
  ctx.drawImage(canvas, 0, 0);
  const [left, right] = [from, to].map((x) => Math.round(plot.valToPos(x, 'x', true)));
  const { data, width, height } = ctx.getImageData(left, bbox.top, right - left, bbox.height);
  // A grid goes all the way across: what is drawn is what is not the same from left to right.
  let drawn = 0;
  for (let y = 0; y < height; y++)
    for (let x = 1; x < width; x++)
      for (let part = 0; part < 4; part++) if (data[4 * (y * width + x) + part] !== data[4 * y * width + part]) drawn++;
  return drawn; }"""


@pytest.mark.parametrize("length", [2_000, pytest.param(LONG, marks=pytest.mark.long(8))])
@pytest.mark.parametrize("laid_under", [False, True])
def test_nothing_is_drawn_where_a_task_was_off(
    site: Site, visit: Callable[..., Watched], length: int, laid_under: bool
) -> None:
    off, on = length // 5, length // 5 * 4
    values = np.random.default_rng(0).uniform(0.1, 0.2, (1, length))
    values[0, off:on] = np.nan
    values[0, length // 2] = 0.15
    job = kept(site, values)
    shown = kept(site, np.full((1, 1), 0.15)) if laid_under else job
    watched = visit(site.admin)
    middle, near = length // 2, length // 10
    address = f"{site.bench}?job={shown.pk}" + (f"&overlay={job.pk}" if laid_under else "")
    ready = "document.getElementById('loss').chart?.plot?.scales.x.max"
    for zoom, spans in (
        ((0, length), ((off + near, middle - near), (middle + near, on - near))),
        ((off - near, middle - near), ((off + near / 2, middle - 2 * near),)),
        ((middle - 3, middle + 3), ((middle - 2.9, middle - 1), (middle + 1, middle + 2.9))),
    ):
        watched.open(f"{address}&from={zoom[0]}&to={zoom[1]}")
        watched.until(f"{ready} === {zoom[1]}")
        drawn = "[...document.querySelectorAll('.laid .chip')].length > 0 && "
        reach = "document.getElementById('loss').chart.layers.flatMap((layer) => layer.reach()).length > 0"
        if laid_under:
            watched.until(drawn + reach)
        watched.page.wait_for_timeout(300)
        for span in spans:
            assert watched.page.evaluate(DRAWN, list(span)) == 0, (zoom, span)
        assert watched.page.evaluate(DRAWN, list(zoom)) > 0, f"{zoom}: nothing at all is drawn"
    watched.assert_clean()
    for each in {job, shown}:
        each.delete()


def test_an_infinite_loss_breaks_its_curve_and_leaves_all_others_in_view(
    site: Site, visit: Callable[..., Watched]
) -> None:
    values = np.random.default_rng(0).uniform(0.1, 0.2, (2, 100))
    values[1, 60] = np.inf
    job = kept(site, values)
    watched = visit(site.admin)
    for scale in ("log", "linear"):
        watched.open(f"{site.bench}?job={job.pk}&y={scale}")
        watched.until("document.getElementById('loss').chart?.plot?.scales.y.max > 0")
        assert watched.page.evaluate("document.getElementById('loss').chart.plot.scales.y.max") < 10
        assert watched.page.evaluate(DRAWN, [5, 55]) > 0
        assert watched.page.evaluate(DRAWN, [65, 95]) > 0
    smoothed = "document.getElementById('loss').points.view(0, 99, ['{0}'], 0.6)[1].get('{0}')[2]".replace(
        "{0}", f"raw/{job.spec['tasks'][1]['key']}"
    )
    line = watched.page.evaluate(f"{smoothed}.map((value) => Number.isFinite(value))")
    assert [place for place, is_finite in enumerate(line) if not is_finite] == [60]
    watched.assert_clean()
    job.delete()


def test_one_spike_in_a_million_steps_is_drawn(site: Site, visit: Callable[..., Watched]) -> None:
    watched = visit(site.admin)
    found = watched.page.evaluate(
        f"""async () => {{ {MODULE}
          const column = new Float32Array(1_000_000).fill(1); column[654_321] = 9;
          write(0, column);
          const [x, out] = p.view(0, 1_000_000, [name], 0.6);
          return [x.length, Math.max(...out.get(name)[1]), Math.min(...out.get(name)[0])]; }}"""
    )
    assert found[0] < 2000
    assert found[1:] == [9, 1]


def test_a_resume_cuts_off_what_it_undid_and_old_frames_are_ignored(
    site: Site, visit: Callable[..., Watched]
) -> None:
    watched = visit(site.admin)
    found = watched.page.evaluate(
        f"""async () => {{ {MODULE}
          const frame = (seq, attempt, start, ...values) => p.frame({{
            header: {{ seq, attempt, start, count: values.length, series: [name] }},
            columns: [Float32Array.from(values)] }});
          frame(1, 1, 0, 1, 2, 3, 4); p.view(0, 4, [name], 0.5);
          frame(2, 2, 2, 30);
          frame(1, 1, 0, 9, 9, 9, 9);
          const [x, out] = p.view(0, 10, [name], 0);
          return {{ end: p.end, x, line: out.get(name)[2], smooth: p.view(0, 10, [name], 0.5)[1].get(name)[2] }}; }}"""
    )
    assert (found["end"], found["x"], found["line"]) == (3, [0, 1, 2], [1, 2, 30])
    assert found["smooth"] == pytest.approx(debiased([1, 2, 30], 0.5), rel=1e-6)


def test_smoothing_is_the_debiased_average_of_every_step(site: Site, visit: Callable[..., Watched]) -> None:
    watched = visit(site.admin)
    values = np.random.default_rng(1).uniform(1, 2, 300).astype(np.float32).tolist()
    found = watched.page.evaluate(
        f"""async (values) => {{ {MODULE}
          write(0, values);
          return p.view(0, 300, [name], 0.9)[1].get(name)[2]; }}""",
        values,
    )
    assert found == pytest.approx(debiased(values, 0.9), rel=1e-5)


def debiased(values: list[float], weight: float) -> list[float]:
    """Return the exponential moving average, each divided by the share of real values in it."""
    last, out = 0.0, []
    for n, value in enumerate(values, 1):
        last = last * weight + (1 - weight) * value
        out.append(last / (1 - weight**n))
    return out
