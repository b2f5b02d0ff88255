"""A checkpoint grows with its heads and its optimizer's state, and training goes on from it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from acc.evaluation import evaluate_checkpoint
from acc.expansion import ExpansionSpec
from acc.tests import helpers
from acc.training.checkpoints.expand import expand_checkpoint
from acc.training.checkpoints.files import Checkpoint, load

DATA = {"data": helpers.blobs(64)}


@pytest.fixture(scope="module")
def trained() -> Checkpoint:
    tasks = [*helpers.all_tasks(), helpers.task("classification", key="whole", factor=None)]
    _, sink = helpers.run(helpers.job(DATA, tasks, val_fraction=0.25), DATA)
    return sink.last.checkpoint()


@pytest.mark.parametrize("where", ["encoder_stage", "decoder_stage", "latent", "factor_group"])
def test_an_identity_measures_as_its_parent_and_keeps_what_adam_knew(trained: Checkpoint, where: str) -> None:
    before = {name: tensor.clone() for name, tensor in trained.tensors.items()}
    spec = ExpansionSpec(where=where, amount=2, name="new" if where == "factor_group" else "")
    made = expand_checkpoint(trained, spec, DATA, helpers.shipped_tasks())
    assert made.fresh_heads == ()
    grown = made.snapshot.checkpoint()
    classes = helpers.shipped_tasks()
    was, found = (evaluate_checkpoint(c, DATA, classes).metrics for c in (trained, grown))
    same = [(w.value, f.value) for w, f in zip(was, found, strict=True) if w.task_key != "kl"]
    assert all(f == pytest.approx(w, abs=1e-4) for w, f in same)
    assert len(same) > 4
    moments, kept = trained.part("optim"), grown.part("optim")
    assert moments.keys() == kept.keys()
    assert all(torch.equal(kept[n], t) for n, t in moments.items() if kept[n].shape == t.shape)
    assert all(float(kept[n].abs().sum()) == pytest.approx(float(t.abs().sum())) for n, t in moments.items())
    assert all(torch.equal(before[name], tensor) for name, tensor in trained.tensors.items())
    assert grown.header.global_step == trained.header.global_step


def test_training_goes_on_from_a_grown_checkpoint_after_a_trip_through_a_file(
    trained: Checkpoint, tmp_path: Path
) -> None:
    spec = ExpansionSpec(where="factor_group", name="new", amount=3)
    made = expand_checkpoint(trained, spec, DATA, helpers.shipped_tasks()).snapshot
    path = tmp_path / "grown.safetensors"
    sha256 = made.write(path)
    job = helpers.job(DATA, made.spec.tasks, model=made.spec.model)
    trainer, _ = helpers.run(job, DATA, start_from=load(path, sha256))
    assert trainer.state.global_step == trained.header.global_step + 8
    assert trainer.model.spec.group("new").width == 3


def test_a_head_whose_new_columns_have_no_clear_place_begins_anew(trained: Checkpoint) -> None:
    normed = {name.replace("whole.", "whole.0."): t for name, t in trained.tensors.items()}
    assert normed.keys() != trained.tensors.keys()
    odd = Checkpoint(trained.header, normed, "")
    made = expand_checkpoint(odd, ExpansionSpec(where="latent"), DATA, helpers.shipped_tasks())
    assert made.fresh_heads == ("whole",)
    assert not any(name.startswith("optim.head.whole") for name in made.snapshot.tensors)
