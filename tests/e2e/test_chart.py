"""The chart's own promises: no spike is lost, a resume cuts what it undid, zoom and legend live in the address."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from django.utils import timezone

from tests.e2e.conftest import Site, Watched

# The first test starts the whole platform.
pytestmark = pytest.mark.timeout(300)
LONG, SPIKE_AT, SPIKE = 60_000, 31_234, 50.0
MODULE = """
const { Points } = await import('/static/js/points.js');
const p = new Points(0, '/');
const name = 'raw/a';
const write = (start, values) =>
  p.write({ header: { start, count: values.length, series: [name] }, columns: [Float32Array.from(values)] });
"""


@pytest.fixture(scope="module")
def long_job(site: Site) -> Any:
    """Return a finished job of many steps with one spike in its points."""
    from accsite.apps.training import blocks
    from accsite.apps.training.models import Job, LossBlock

    spec = {"tasks": [{"key": task.key, "name": task.name} for task in site.branch.tasks.all()]}
    now = timezone.now()
    job = Job.objects.create(
        kind="train", queue="train", state="SUCCEEDED", title="long ago", branch=site.branch, spec=spec,
        step=LONG, total_steps=LONG, attempt=1, points_seq=1, started_at=now, finished_at=now,
    )  # fmt: skip
    names = tuple(f"raw/{task['key']}" for task in spec["tasks"])
    values = np.random.default_rng(0).uniform(0.1, 0.2, (len(names), LONG)).astype(np.float32)
    values[0, SPIKE_AT] = SPIKE
    made = blocks.make(0, names, values, 1e9, 1e9 + LONG / 100)
    LossBlock.objects.bulk_create(
        LossBlock(job=job, attempt=1, seq=1, **blocks.fields(chunk)) for chunk in blocks.chunks(made)
    )
    yield job
    job.delete()


def test_a_long_history_keeps_its_spike_and_zooms_by_asking_for_a_part(
    site: Site, long_job: Any, visit: Callable[..., Watched]
) -> None:
    watched = visit(site.admin)
    page = watched.page
    watched.open(f"{site.bench}?job={long_job.pk}")
    watched.until("Boolean(document.getElementById('loss').points?.base)", seconds=10)
    assert page.evaluate("document.getElementById('loss').points.columns.size") == 0, "it came unreduced"
    watched.until("document.querySelector('#loss canvas') !== null", seconds=5)
    highest = "Math.max(...p.view(0, p.end, ['%s'], 0.6)[1].get('%s')[1])" % (
        (f"raw/{site.branch.tasks.first().key}",) * 2
    )
    assert (
        page.evaluate(f"(() => {{ const p = document.getElementById('loss').points; return {highest} }})()")
        == SPIKE
    )

    watched.requests.clear()
    box = page.locator("#loss .u-over").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 50)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + 60, steps=4)
    page.mouse.up()
    watched.until("location.search.includes('from=')", seconds=5)
    asked = [url for url in watched.requests if "loss_history" in url]
    assert len(asked) == 1
    assert "from=" in asked[0]
    assert page.locator("[data-reset]").is_visible()
    page.reload()
    watched.until("document.querySelector('#loss canvas') !== null", seconds=10)
    assert "from=" in page.url
    page.mouse.dblclick(box["x"] + box["width"] * 0.5, box["y"] + 50)
    watched.until("!location.search.includes('from=')", seconds=5)
    page.go_back()
    watched.until("location.search.includes('from=')", seconds=5)
    watched.assert_clean()


def test_the_legend_hides_and_singles_out_and_the_address_tells(
    site: Site, long_job: Any, visit: Callable[..., Watched]
) -> None:
    watched = visit(site.admin)
    page = watched.page
    watched.open(f"{site.bench}?job={long_job.pk}")
    lines = page.locator("#legend button")
    lines.nth(1).click()
    assert lines.nth(1).get_attribute("aria-pressed") == "false"
    assert "hide=" in page.url
    lines.nth(0).click(modifiers=["Alt"])
    pressed = [line.get_attribute("aria-pressed") for line in lines.all()]
    assert pressed == ["true", *["false"] * (len(pressed) - 1)]
    page.reload()
    assert [line.get_attribute("aria-pressed") for line in lines.all()] == pressed
    lines.nth(0).click(modifiers=["Alt"])
    assert "hide=" not in page.url
    page.get_by_role("button", name="log", exact=True).click()
    assert "y=linear" in page.url


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
