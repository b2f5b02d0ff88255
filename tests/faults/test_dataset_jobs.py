"""Datasets made by real workers: uploads, generators that tell how far they are and can be stopped, previews."""

from __future__ import annotations

import time

import numpy as np
import pytest

SLOW = '''
import time
import numpy as np
from acc.api import AccDataset, DatasetGenerator, Param, no_progress


class Slow(DatasetGenerator):
    """Takes a twentieth of a second for each image."""

    shade = Param(7, min=0, max=255)

    def generate(self, n, seed, progress=no_progress):
        for number in range(n):
            time.sleep(0.05)
            progress((number + 1) / n)
        return AccDataset(np.full((n, 1, 8, 8), self.shade, np.uint8))


class Endless(DatasetGenerator):
    """Never comes to an end."""

    def generate(self, n, seed, progress=no_progress):
        while True:
            pass
'''


@pytest.fixture(scope="module")
def stack(template, tmp_path_factory, django_db_blocker):
    """Return a platform with a plugin folder of its own, its watcher, and a worker that makes datasets."""
    root = tmp_path_factory.mktemp("plugins")
    (root / "generators").mkdir()
    (root / "generators" / "slow.py").write_text(SLOW)
    home = tmp_path_factory.mktemp("datasets") / "home"
    with django_db_blocker.unblock(), template.stack(home, ACC_PLUGINS=str(root)) as shared:
        shared.watcher()
        shared.worker("eval-1", "eval,default")
        from accsite.apps.registry.models import Plugin

        found = Plugin.objects.filter(name="Endless", available=True)
        shared.until(found.exists, what="the plugins")
        yield shared


def left_behind(stack) -> list[str]:
    scratch = stack.home / "blobs" / "scratch"
    return sorted(str(path) for path in scratch.rglob("*")) if scratch.exists() else []


def test_a_generator_tells_how_far_it_is_and_is_stopped_in_the_middle(stack):
    from accsite.apps.datasets.models import Dataset
    from accsite.apps.datasets.services import generation
    from accsite.apps.jobs.selectors import job_state
    from accsite.apps.jobs.services import control
    from tests.stack import reload

    job = generation.submit_generation(actor=None, generator="Slow", n=2_000, name="Slow ones")
    stack.until(lambda: reload(job).step > 10, what="progress")
    state = job_state(reload(job))
    assert state["total_steps"] == 2_000
    assert 0 < (state["progress"] or 0) < 0.5
    assert 20 < (state["eta_seconds"] or 0) < 400
    asked = time.monotonic()
    control.cancel(actor=None, job=job)
    stack.state(job, "CANCELLED")
    assert time.monotonic() - asked < 5
    assert not Dataset.objects.filter(name="Slow ones").exists()
    assert left_behind(stack) == []


def test_a_preview_comes_at_once_is_kept_and_never_waits_for_a_hostile_plugin(stack):
    from acc.errors import InvalidInput
    from accsite.apps.registry import previews

    def make(generator, **params):
        return previews.make(who="1:form", generator=generator, params=params, seed=1)

    made = make("Slow", shade=200)
    assert (made.n, made.height, made.width) == (8, 8, 8)
    picture = previews.picture(made.key)
    assert picture is not None
    assert picture.startswith(b"\x89PNG")
    began = time.monotonic()
    assert make("Slow", shade="200").key == made.key
    assert time.monotonic() - began < 0.2
    began = time.monotonic()
    with pytest.raises(InvalidInput, match="preview: the preview took longer than 2 s and was stopped"):
        make("Endless")
    assert time.monotonic() - began < 3.5
    assert make("Slow", shade=3).n == 8
    with pytest.raises(InvalidInput, match=r"params.shade: 300 is above the most allowed, 255"):
        make("Slow", shade=300)


def test_an_upload_becomes_a_dataset_or_is_refused_and_leaves_nothing_behind(stack, tmp_path):
    from django.core.files.uploadedfile import SimpleUploadedFile

    from acc.data import AccDataset
    from accsite.apps.datasets import selectors
    from accsite.apps.datasets.services import imports, uploads

    images = np.random.default_rng(0).integers(0, 256, (50, 8, 8), dtype=np.uint8)
    np.savez(tmp_path / "x.npz", images=images, digit=np.arange(50) % 5)
    good, bad = (tmp_path / "x.npz").read_bytes(), (tmp_path / "x.npz").read_bytes()[:-9]

    def submit(data):
        return imports.submit_import(
            actor=None, upload=uploads.keep(SimpleUploadedFile("my digits.npz", data))
        )

    job = stack.state(submit(good), "SUCCEEDED")
    found = AccDataset.load(selectors.local_path(selectors.get(job.result["slug"])))
    np.testing.assert_array_equal(found.images[:, 0], images)
    assert job.result["slug"] == "my-digits"
    job = stack.state(submit(bad), "FAILED")
    assert "'my digits.npz' is not a whole .npz file" in job.message
    assert list((stack.home / "blobs" / "uploads").iterdir()) == []
    assert left_behind(stack) == []
