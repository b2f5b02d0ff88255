"""Where a task was off there is no value and no line: in what is stored, sent, exported, drawn and read out."""

from __future__ import annotations

import csv
import io
from typing import Any

import numpy as np
import pytest
from django.test import Client

from acc.training.protocols import PointBlock
from accsite.apps.jobs.models import Job
from accsite.apps.jobs.states import JobState
from accsite.apps.training import selectors
from accsite.apps.training.admin.curve import curve
from accsite.apps.training.models import Branch
from accsite.apps.training.services import points
from accsite.apps.training.tests import rows
from accsite.tests.modules import evaluate

OFF, ON, END = 23, 1248, 2000
"""The task is off in the steps ``[OFF, ON)``."""


@pytest.fixture
def job(branch: Branch) -> Job:
    """Return a job whose second task was off for a while; the blocks of that while do not name it."""
    job = rows.make_job(branch, state=JobState.RUNNING, attempt=1, total_steps=END)
    for start, stop, names in (
        (0, OFF, ("raw/a", "raw/b")),
        (OFF, ON, ("raw/a",)),
        (ON, END, ("raw/a", "raw/b")),
    ):
        values = np.ones((len(names), stop - start), np.float32)
        points.append(job.pk, 1, PointBlock(start, names, values, 100.0 + start, 100.0 + stop))
    return job


@pytest.mark.parametrize("most", [None, 1000, 100, 7])
def test_an_envelope_of_any_width_has_no_value_in_the_gap(job: Job, most: int | None) -> None:
    header, columns = selectors.loss_history(job, points=most)
    place = header["series"].index("raw/b")
    each = columns[place : place + 1] if header["kind"] == "raw" else columns[3 * place : 3 * place + 3]
    first = header["start"] + np.arange(columns.shape[1]) * header["bucket"]
    inside = (first >= OFF) & (first + header["bucket"] <= ON)
    assert inside.sum() >= 1
    assert np.isnan(each[:, inside]).all()
    assert not np.isnan(each[:, first + header["bucket"] <= OFF]).any()
    if header["kind"] == "envelope":
        assert header["last"] == {"raw/a": (END - 1, 1.0), "raw/b": (END - 1, 1.0)}


def test_the_exported_values_are_empty_in_the_gap(job: Job, client: Client, user: Any) -> None:
    client.force_login(user)
    text = client.get(f"/api/v1/jobs/{job.pk}/loss_history/?format=csv").getvalue().decode()
    lines = list(csv.DictReader(io.StringIO(text)))
    assert {line["raw/b"] for line in lines[OFF:ON]} == {""}
    assert [int(line["step"]) for line in lines if line["raw/b"]] == [*range(OFF), *range(ON, END)]


def test_the_drawing_of_the_administration_ends_and_begins_anew(job: Job) -> None:
    drawn = str(curve(job)).split('<path d="')[1:]
    moves = [path.partition('"')[0].count("M") for path in drawn]
    assert moves == [1, 2]


SCRIPT = """
const { Points } = await load('points');
const [off, on, end] = args[0];
const p = new Points(1, '/');
const send = (seq, start, stop, ...names) => p.frame({
  header: { seq, attempt: 1, start, count: stop - start, series: names },
  columns: names.map(() => Float32Array.from({ length: stop - start }, (_, i) => start + i)),
});
send(1, 0, off, 'raw/a', 'raw/b');
for (let start = off, seq = 2; start < on; start += 245, seq++) send(seq, start, Math.min(on, start + 245), 'raw/a');
const before = p.newestOf('raw/b');
p.view(0, end, ['raw/b'], 0.6);
send(9, on, end, 'raw/a', 'raw/b');
const seen = [[0, end], [0, end * 40], [0, 300], [1000, 1500]].map(([from, to]) => [0, 0.6].map((weight) => {
  const [x, out] = p.view(from, to, ['raw/b'], weight);
  return [x, out.get('raw/b')];
}));
return { before, after: p.newestOf('raw/b'), seen };
"""


def test_the_page_draws_nothing_in_the_gap_at_any_zoom_and_every_value_outside_it() -> None:
    found = evaluate(SCRIPT, [OFF, ON, END])
    assert (found["before"], found["after"]) == ([OFF - 1, OFF - 1], [END - 1, END - 1])
    for x, rows_of in (view for pair in found["seen"] for view in pair):
        width = x[1] - x[0]
        for low, high, line in zip(*rows_of, strict=True):
            assert (low is None) == (high is None) == (line is None)
        for middle, value in zip(x, rows_of[2], strict=True):
            first, last = middle - (width - 1) / 2, middle + (width - 1) / 2
            gap = first >= OFF and last < ON
            assert (value is None) == gap, (middle, value)


def test_smoothing_forgets_what_was_before_a_task_was_off() -> None:
    found = evaluate(
        """
        const { Points } = await load('points');
        const p = new Points(1, '/');
        const values = Float32Array.from({ length: 1000 }, (_, i) => (i < 100 ? 8 : i < 600 ? NaN : 1));
        p.write({ header: { start: 0, count: 1000, series: ['a'] }, columns: [values] });
        const raw = p.view(0, 1000, ['a'], 0.99)[1].get('a')[2];
        const { envelope, addEnvelope } = await load('envelope');
        const [width, count] = [10, 100];
        const means = Float32Array.from({ length: count }, (_, i) => values[i * width]);
        const header = { series: ['a'], start: 0, stop: 1000, bucket: width, count, kind: 'envelope' };
        const out = new Map([['a', [[], [], []]]]);
        const held = envelope({ header, columns: [means, means, means] });
        addEnvelope(held, 0, 1000, { weight: 0.99, forget: 200 }, [], out);
        const line = out.get('a')[2];
        return [raw[99], raw[300], raw[600], raw[999], line[9], line[30], line[60], line[99]];
        """
    )
    assert [None if value is None else round(value, 5) for value in found] == [8, None, 1, 1] * 2
