"""A model is described by the watcher's own desk: for a form as it stands, for a checkpoint by its own source."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.contrib.auth import get_user_model
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import connections
from django.test import Client
from safetensors.numpy import save

from acc.description import ModelDescription
from acc.errors import InvalidInput
from acc.hashes import text_sha256
from acc.specs import FactorGroup, ModelSpec, TaskSpec
from accsite.apps.registry import descriptions, services
from accsite.apps.registry.models import Plugin, PluginSource
from accsite.apps.registry.services import FileReport
from accsite.apps.training.models import Checkpoint, Experiment
from accsite.apps.training.tests import rows

TAKE_SECONDS = 0.1
pytestmark = pytest.mark.timeout(240)
FORM = {
    "name": "",
    "dataset": "",
    "channels": "1",
    "height": "28",
    "width": "28",
    "latent_dim": "16",
    "group-name": ["digit", ""],
    "group-start": ["0", ""],
    "group-end": ["6", ""],
}
PLUGIN = (Path(__file__).parents[2] / "plugins/models/linear_autoencoder.py").read_text()
SLOW = PLUGIN.replace("super().__init__(spec)", "super().__init__(spec); __import__('time').sleep(9)")
BROKEN = PLUGIN.replace("self.outward(z).unflatten(1, self.shape)", "self.outward(z)")


def plugin(text: str, name: str = "LinearAutoencoder") -> Plugin:
    """Return the row of a model plugin of this site's own disk."""
    path, sha256 = "models/linear_autoencoder.py", text_sha256(text)
    described = {
        "kind": "model",
        "name": name,
        "label": name,
        "description": "",
        "params": [],
        "requires": [],
    }
    services.sync(
        [FileReport(path=path, sha256=sha256, text=text, classes=[described])],
        present=[path, *Plugin.objects.filter(built_in=True).values_list("path", flat=True)],
    )
    return Plugin.objects.get(name=name)


def draft(page: Client, architecture: str, **fields: Any) -> dict[str, Any]:
    """Return what is answered to a form as it stands."""
    answer = page.post(f"/experiments/new/model/?architecture={architecture}&page=p", {**FORM, **fields})
    assert answer.status_code == 200
    told: dict[str, Any] = answer.json()
    return told


def trained(model: ModelSpec, plugins: dict[str, str], tensors: dict[str, Any] | None = None) -> Checkpoint:
    """Return a checkpoint of a model, with these tensors in its file."""
    branch = rows.make_branch(get_user_model().objects.get())
    made = rows.make_checkpoint(branch, rows.make_job(branch, state="SUCCEEDED"), step=1, losses={})
    task = TaskSpec(key="digit", name="Digit", task_class="ClassificationTask", dataset="d", factor="digit")
    made.spec = {
        **made.spec,
        "model": model.model_dump(mode="json"),
        "tasks": [task.model_dump(mode="json")],
        "datasets": {"d": {"name": "d", "content_hash": "0", "n": 1, "image": {}}},
        "plugins": plugins,
    }
    if tensors:
        made.file = default_storage.save(
            f"checkpoints/{rows.sha('heads')}.safetensors", ContentFile(save(tensors))
        )
    made.save()
    return made


def model(architecture: str, **params: Any) -> ModelSpec:
    groups = (FactorGroup(name="digit", start=0, end=6),)
    return ModelSpec(architecture=architecture, latent_dim=16, factor_groups=groups, params=params)


def test_a_form_as_it_stands_is_drawn_and_drawn_anew_when_it_changes(site):
    first = draft(site, "ConvVAE")
    assert 'aria-label="ConvVAE: images of 1 \N{MULTIPLICATION SIGN} 28' in first["html"]
    assert 'data-slot="0"' in first["html"]
    assert '<th scope="row" class="mono">encoder.layers.1</th>' in first["html"]
    wider = draft(site, "ConvVAE", **{"params-base_channels": "16"})
    assert wider["parameters"] > first["parameters"] == 41_936
    assert Experiment.objects.count() == 0


def test_an_answer_comes_while_the_typist_pauses(site):
    draft(site, "ConvVAE")
    began = time.monotonic()
    for stages in range(5):
        draft(site, "ConvVAE", **{"params-encoder_stages": str(stages)})
    assert (time.monotonic() - began) / 5 < 0.3 * 5  # a machine that does other things too


def test_what_is_wrong_stands_beside_its_field_and_the_groups(site):
    told = draft(site, "FactorSlotAutoencoder", **{"params-attention_heads": "5"})
    assert told["errors"] == {
        "params-attention_heads": ["5 heads do not divide 32 channels; choose a divisor of 32"]
    }
    told = draft(site, "ConvVAE", **{"params-depth": "99"})
    assert list(told["errors"]) == ["params-depth"]
    told = draft(
        site, "ConvVAE", **{"group-start": ["0", "3"], "group-end": ["6", "9"], "group-name": ["a", "b"]}
    )
    assert told["groups"] == ["factor groups 'a' 0:6 and 'b' 3:9 overlap"]
    assert "html" not in told
    assert "choose another" in draft(site, "Nothing")["errors"][""][0]


def test_a_broken_plugin_is_told_in_a_sentence_and_a_slow_one_is_stopped(site):
    plugin(BROKEN)
    told = draft(site, "LinearAutoencoder")["errors"][""]
    assert told[0].startswith("LinearAutoencoder.decode_logits drew a tensor of shape (2, 784)")
    plugin(SLOW)
    began = time.monotonic()
    assert "took longer than 2 s and was stopped" in draft(site, "LinearAutoencoder")["errors"][""][0]
    assert time.monotonic() - began < 4
    plugin(PLUGIN)
    assert draft(site, "LinearAutoencoder")["parameters"] == 2 * 784 * 16 + 784 + 16


def test_of_one_page_the_newest_question_wins(site):
    plugin(SLOW)
    told: list[dict[str, Any]] = []

    def older() -> None:
        told.append(draft(site, "LinearAutoencoder"))
        connections.close_all()

    thread = threading.Thread(target=older)
    thread.start()
    time.sleep(0.5)
    assert draft(site, "ConvVAE", **{"params-depth": "2"})["html"]  # one that is not kept yet
    thread.join(10)
    assert told == [{"superseded": True}]


def test_without_a_script_the_drawing_comes_with_the_form_and_nothing_is_made(site):
    answer = site.post("/experiments/new/?architecture=ConvVAE", {**FORM, "name": "kept", "draw": "1"})
    assert answer.status_code == 200
    assert "All layers as a table" in answer.text
    assert 'value="kept"' in answer.text
    assert Experiment.objects.count() == 0
    wrong = site.post("/experiments/new/?architecture=ConvVAE", {**FORM, "params-depth": "99", "draw": "1"})
    assert wrong.status_code == 422
    assert "&#x27;99&#x27; is above the most allowed" in wrong.text


def test_a_checkpoint_is_described_by_the_source_that_it_keeps(site):
    old = plugin(PLUGIN).source_id
    kept = trained(model("LinearAutoencoder"), {"LinearAutoencoder": old})
    plugin(BROKEN)  # what is on the disk now is another
    told = site.get(f"/api/v1/checkpoints/{kept.pk}/model/")
    assert told.status_code == 200
    found = ModelDescription.model_validate(told.json())
    assert [layer.name for layer in found.layers] == ["", "inward", "", "outward", ""]
    assert found.parameters == 2 * 32 * 32 * 16 + 32 * 32 + 16


def test_a_checkpoint_shows_the_heads_of_its_tasks_and_what_they_read(site):
    tensors = {
        "head.digit.weight": np.zeros((10, 6), np.float32),
        "head.digit.bias": np.zeros(10, np.float32),
        "head.digit.mean": np.zeros((), np.float32),
        "optim.head.digit.weight/exp_avg": np.zeros((10, 6), np.float32),
        "optim.head.digit.bias/exp_avg": np.zeros(10, np.float32),
    }
    built_in = Plugin.objects.get(name="ConvVAE").source_id
    kept = trained(model("ConvVAE"), {"ConvVAE": built_in}, tensors)
    found = site.get(f"/api/v1/checkpoints/{kept.pk}/model/").json()
    head = found["layers"][-1]
    assert (head["part"], head["parameters"], head["shape"]) == ("head", 70, [10])
    assert (head["start"], head["end"]) == (0, 6)
    page = site.get(f"/checkpoints/{kept.pk}/model/").text
    assert "<svg" in page
    assert "ClassificationTask" in page
    panel = site.get(f"/checkpoints/{kept.pk}/model/", headers={"HX-Request": "true"}).text
    assert "<svg" in panel
    assert "<html" not in panel


def test_a_source_from_elsewhere_is_not_run_for_a_drawing(site):
    foreign = PluginSource.objects.create(
        sha256=text_sha256(PLUGIN), path="models/f.py", text=PLUGIN, origin="file"
    )
    kept = trained(model("LinearAutoencoder"), {"LinearAutoencoder": foreign.pk})
    assert site.get(f"/api/v1/checkpoints/{kept.pk}/model/").status_code == 409
    assert "may not run here" in site.get(f"/checkpoints/{kept.pk}/model/").text
    # Nor does it pass for one of ACC itself.
    PluginSource.objects.filter(pk=foreign.pk).update(path="acc/models/f.py")
    with pytest.raises(InvalidInput, match="may not run here"):
        descriptions.describe(who="me", model=model("LinearAutoencoder"), sha256=foreign.pk)


def test_nobody_who_may_not_see_a_checkpoint_sees_its_model(site):
    kept = trained(model("ConvVAE"), {})
    Experiment.objects.update(visibility="private")
    other = Client()
    other.force_login(get_user_model().objects.create_user("eve", password="a long enough one"))
    for address in (f"/api/v1/checkpoints/{kept.pk}/model/", f"/checkpoints/{kept.pk}/model/"):
        assert other.get(address).status_code == 404
        assert site.get(address).status_code == 200


def test_without_the_watcher_a_page_says_so(transactional_db, redis_url, settings, checker, monkeypatch):
    settings.REDIS_URL = redis_url
    monkeypatch.setattr("accsite.apps.registry.questions.WAIT_SECONDS", 0.3)
    services.sync([FileReport(**file, built_in=True) for file in checker.built_in], present=[])
    page = Client()
    page.force_login(get_user_model().objects.create_user("ada", password="a long enough one"))
    said = draft(page, "ConvVAE", **{"params-depth": "5"})["errors"][""][0]
    assert said.startswith("no drawing came within")
    kept = trained(model("ConvVAE", depth=5), {})
    assert page.get(f"/api/v1/checkpoints/{kept.pk}/model/").status_code == 503
