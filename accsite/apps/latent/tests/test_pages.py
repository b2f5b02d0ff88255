"""Pages of latents: sliders by the groups of the model, a stored picture, and no work by opening them."""

from __future__ import annotations

import hashlib
import re
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.test import Client

from acc.specs import FactorGroup, ModelSpec
from accsite.apps.evaluation.models import Artifact, Evaluation
from accsite.apps.jobs.models import Job
from accsite.apps.jobs.states import JobState
from accsite.apps.latent.desk import NoAnswer, ask, decoder_file, pack, unpack
from accsite.apps.latent.pages import groups_of
from accsite.apps.latent.selectors import newest_of
from accsite.apps.latent.services import forget_purged
from accsite.apps.training.models import Branch, Checkpoint, Experiment, Visibility
from accsite.apps.training.tests import rows
from accsite.tests.markup import folded
from accsite.tests.modules import evaluate


@pytest.fixture
def branch(db: None) -> Branch:
    return rows.make_branch(None)


@pytest.fixture
def page(db: None) -> Client:
    client = Client()
    client.force_login(get_user_model().objects.create_user("ada"))
    return client


def head(branch: Branch, **fields: Any) -> Checkpoint:
    branch.head = rows.make_checkpoint(branch, **fields)
    branch.save()
    return branch.head


def test_the_workbench_has_a_slider_for_each_group_and_dimension_of_the_newest_checkpoint(
    page: Client, branch: Branch
) -> None:
    newest = head(branch)
    shown = page.get("/w/digits/main/").content.decode()
    model = ModelSpec.model_validate(branch.experiment.model_spec)
    for group in model.factor_groups:
        assert f'data-group="{group.name}"' in shown
    assert shown.count('type="range"') >= model.latent_dim + len(model.factor_groups)
    assert f'data-checkpoint="{newest.pk}"' in shown
    later = head(branch, step=20)
    fresh = page.get(f"/latent/branch/{branch.pk}/heads/").content.decode()
    assert f'data-checkpoint="{later.pk}"' in fresh


def test_before_the_first_checkpoint_sliders_stand_there_and_wait(page: Client, branch: Branch) -> None:
    before = page.get("/w/digits/main/").content.decode()
    assert 'data-group="digit"' in before
    assert "once training has saved its first checkpoint" in before
    assert before.count(" inert>") + before.count("\n      inert\n") == 4
    head(branch)
    assert " inert" not in page.get("/w/digits/main/").content.decode().partition('id="latent"')[2]


def test_while_a_job_trains_its_newest_autosave_is_drawn_and_then_the_head_again(branch: Branch) -> None:
    begun = head(branch)
    job = rows.make_job(branch, state=JobState.RUNNING)
    assert newest_of(branch) == begun
    saved = rows.make_checkpoint(branch, job, kind="autosave", step=30)
    Job.objects.filter(pk=job.pk).update(resume_checkpoint=saved)
    assert newest_of(branch) == saved
    other = Branch.objects.create(experiment=branch.experiment, name="fork", slug="fork", head=begun)
    assert newest_of(other) == begun
    Job.objects.filter(pk=job.pk).update(state=JobState.SUCCEEDED)
    assert newest_of(branch) == begun


def test_a_branch_without_a_model_says_that_nothing_is_drawn(page: Client, branch: Branch) -> None:
    Experiment.objects.update(model_spec={})
    assert "no model that ACC can run" in page.get("/w/digits/main/").content.decode()


def test_before_it_is_touched_a_latent_shows_the_first_stored_reconstruction(
    page: Client, branch: Branch
) -> None:
    newest = head(branch)
    assert "no picture stored" in page.get("/w/digits/main/").content.decode()
    made = Evaluation.objects.create(branch=branch, checkpoint=newest, step=10)
    meta = {"width": 256, "height": 96, "tile": [32, 30]}
    kept = Artifact.objects.create(
        evaluation=made, kind="reconstructions", name="digits", file="x", sha256="0", meta=meta
    )
    shown = folded(page.get(f"/latent/?a={newest.pk}"))
    assert f'href="/evaluate/artifacts/{kept.pk}/"' in shown
    assert 'viewBox="0 30 32 30" role="img" aria-label="a stored reconstruction"' in shown


def test_what_lies_between_the_groups_has_dimensions_without_a_slider_of_its_own() -> None:
    named = (FactorGroup(name="late", start=5, end=7), FactorGroup(name="early", start=1, end=3))
    found = groups_of(ModelSpec(architecture="Autoencoder", latent_dim=100, factor_groups=named))
    assert [(each.name, each.start, each.end, each.named) for each in found] == [
        ("0 to 0", 0, 1, False), ("early", 1, 3, True), ("3 to 4", 3, 5, False),
        ("late", 5, 7, True), ("7 to 99", 7, 100, False),
    ]  # fmt: skip
    assert [each.hue for each in found if each.named] == [0, 1], "a group's hue is its place among the groups"
    assert (len(found[-1].shown), found[-1].left_out) == (32, 61)
    assert [each.named for each in groups_of(ModelSpec(architecture="Autoencoder", latent_dim=4))] == [False]


def test_up_to_four_checkpoints_stand_beside_each_other_and_others_are_offered(
    page: Client, branch: Branch
) -> None:
    made = [rows.make_checkpoint(branch, step=step) for step in (1, 2, 3)]
    query = "&".join(f"{letter}={each.pk}" for letter, each in zip("abd", made, strict=True))
    shown = page.get(f"/latent/?{query}&c={made[0].pk}").content.decode()
    assert shown.count("data-picture=") == 3, "none twice"
    assert "data-between" in shown
    rows.make_dataset("fits")
    rows.make_dataset("colour", channels=3)
    alone = page.get(f"/latent/?a={made[0].pk}").content.decode()
    assert "data-between" not in alone
    assert 'value="fits"' in alone
    assert 'value="colour"' not in alone
    head(branch)
    assert f'data-checkpoint="{branch.head_id}"' in page.get("/latent/").content.decode()


def test_without_a_checkpoint_the_page_leads_on(page: Client, branch: Branch) -> None:
    assert "Train a branch" in page.get("/latent/").content.decode()
    for wrong in ("9", "x", "-1", "9" * 30):
        assert page.get(f"/latent/?a={wrong}").status_code == 404


def test_a_decoder_is_handed_out_once_it_was_written_and_goes_with_its_checkpoint(
    page: Client, branch: Branch
) -> None:
    sha256 = hashlib.sha256(b"weights").hexdigest()
    made, twin = (rows.make_checkpoint(branch, sha256=sha256) for _ in range(2))
    address = f"/latent/{made.pk}/decoder.onnx"
    assert page.get(address).status_code == 404
    default_storage.save(decoder_file(sha256), ContentFile(b"onnx"))
    try:
        answer = page.get(address)
        assert b"".join(answer.streaming_content) == b"onnx"  # type: ignore[attr-defined]
        assert answer["Content-Disposition"].startswith("attachment")
        branch.experiment.visibility = Visibility.PRIVATE
        branch.experiment.save()
        assert page.get(address).status_code == 404
        _forget(made)
        assert default_storage.exists(decoder_file(sha256)), "another checkpoint has the same weights"
        Checkpoint.everything.filter(pk=made.pk).delete()
        _forget(twin)
        assert not default_storage.exists(decoder_file(sha256))
    finally:
        default_storage.delete(decoder_file(sha256))


def _forget(checkpoint: Checkpoint) -> None:
    from django.test import TestCase

    with TestCase.captureOnCommitCallbacks(execute=True):
        forget_purged([checkpoint.pk])


def test_a_message_is_a_line_of_json_and_numbers() -> None:
    assert unpack(pack({"id": 1}, b"\n\x00")) == ({"id": 1}, b"\n\x00")
    for wrong in (b"{}", b"[]\n", b"no\n", b""):
        with pytest.raises(ValueError, match="message|Expecting"):
            unpack(wrong)


def test_without_the_process_it_is_said_what_to_start(redis_url: str) -> None:
    import asyncio

    with pytest.raises(NoAnswer, match=r"python -m workers\.latent"):
        asyncio.run(ask({"ask": "open", "checkpoint": 1, "sha256": "0", "who": "me"}))


def test_until_a_seed_is_chosen_a_latent_is_the_middle_and_its_sliders_say_nothing(
    page: Client, branch: Branch
) -> None:
    body = "return [...(await load('hand')).drawn(...args)]"
    prior = {"shape": [2, 1, 2], "prior": True, "mean": [0.5, 0.25], "spread": [1, 1]}
    assert evaluate(body, prior) == [0, 0, 0, 0]
    assert evaluate(body, {**prior, "prior": False}) == [0.5, 0.5, 0.25, 0.25]
    assert evaluate(body, prior, 3) != [0, 0, 0, 0]
    head(branch)
    shown = page.get("/w/digits/main/").content.decode()
    assert "<output>\u2013</output>" in shown
    assert "<output>0" not in shown
    assert "Empty until you drag an axis" in shown


def test_before_it_is_touched_the_film_strip_shows_a_stored_traversal(page: Client, branch: Branch) -> None:
    newest = head(branch)
    assert "Empty until you drag an axis" in page.get("/w/digits/main/").text
    made = Evaluation.objects.create(branch=branch, checkpoint=newest, step=10)
    meta = {"width": 320, "height": 160, "tile": [32, 30], "values": [-4, -3, -2, -1, 0, 1, 2, 3, 4.5]}
    kept = [
        Artifact.objects.create(
            evaluation=made, kind="traversals", name=name, file="x", sha256="0", meta=meta
        )
        for name in ("free", "digit", "digit of old")
    ]
    shown = folded(page.get("/w/digits/main/"))
    assert "digit, from a stored traversal; drag an axis" in shown
    boxes = re.findall(r'viewBox="([^"]+)" role="img" aria-label="stored: digit"', shown)
    assert boxes == [f"{32 * column} 0 32 30" for column in (2, 3, 4, 5, 6, 7, 8)]
    assert f'href="/evaluate/artifacts/{kept[1].pk}/"' in shown
    assert [f"> {value} </span>" in shown for value in ("-3.0", "0.0", "3.0")] == [True] * 3
    assert (
        len(folded(page.get(f"/latent/?a={newest.pk}&b={head(branch, step=20).pk}")).split("stored: ")) == 1
    )
