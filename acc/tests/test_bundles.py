"""A bundle is read whole and unchanged, or refused with a sentence; no code in it runs unasked."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

import acc
from acc.bundle import BundleError, read_bundle, write_bundle
from acc.errors import CheckpointError
from acc.evaluation import FactoringEvaluator
from acc.expansion import ExpansionSpec
from acc.plugins import load_source
from acc.plugins.shipped import shipped_plugins
from acc.tests import helpers
from acc.training.checkpoints.expand import expand_checkpoint
from acc.training.checkpoints.files import Snapshot, load
from acc.training.plugin_set import PluginSet
from acc.training.run import train

DATA = {"data": helpers.blobs(32)}
SOURCE = """
from acc.models.autoencoder import Autoencoder

print("I was run")

class Narrow(Autoencoder):
    "An autoencoder of somebody else."
"""
Members = dict[str, bytes]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    classes = PluginSet(*helpers.shipped_classes(), *load_source(SOURCE, "models/narrow.py"))
    spec = helpers.model_spec("Autoencoder").model_copy(update={"architecture": "Narrow"})
    job = helpers.job(DATA, [helpers.task("reconstruction")], model=spec, steps=2)
    _, sink = helpers.run(job, DATA, classes)
    path = tmp_path_factory.mktemp("bundles") / "plain.safetensors"
    sink.last.write(path)
    return path


@pytest.fixture
def bundle(checkpoint: Path, tmp_path: Path) -> Path:
    path = tmp_path / "whole.acc.zip"
    write_bundle(path, checkpoint, provenance={"experiment": "Digits"}, licence="MIT")
    return path


def rewritten(bundle: Path, change: Callable[[Members], None], *, true_hashes: bool = False) -> Path:
    with zipfile.ZipFile(bundle) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    if true_hashes:
        manifest = json.loads(members["manifest.json"])
        manifest["members"] = {
            name: {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
            for name, data in members.items()
            if name != "manifest.json"
        }
        members["manifest.json"] = json.dumps(manifest).encode()
    path = bundle.with_name("changed.acc.zip")
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def test_what_was_written_is_read(bundle: Path, checkpoint: Path, tmp_path: Path) -> None:
    found = read_bundle(bundle, tmp_path)
    assert found.weights.read_bytes() == checkpoint.read_bytes()
    assert found.sha256 == hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    assert (found.licence, found.provenance["experiment"]) == ("MIT\n", "Digits")
    assert SOURCE in found.sources.values()


def test_equal_checkpoints_give_equal_files(bundle: Path, checkpoint: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.acc.zip"
    write_bundle(again, checkpoint, provenance={"experiment": "Digits"}, licence="MIT")
    assert again.read_bytes() == bundle.read_bytes()


def _flip(members: Members) -> None:
    data = bytearray(members["weights.safetensors"])
    data[-1] ^= 1
    members["weights.safetensors"] = bytes(data)


def _swap_source(members: Members) -> None:
    name = next(name for name in members if name.startswith("plugins/"))
    members[name] += b"# and more"


def _other_spec(members: Members) -> None:
    spec = json.loads(members["spec.json"])
    spec["train"]["steps"] = 99
    members["spec.json"] = json.dumps(spec).encode()


@pytest.mark.parametrize(
    ("change", "true_hashes", "sentence"),
    [
        (_flip, False, "weights.safetensors was changed: its sha256 is"),
        (lambda m: m.update({"weights.safetensors": b"short"}), False, "weights.safetensors was changed"),
        (lambda m: m.update({"weights.safetensors": b"short"}), True, "is damaged"),
        (
            lambda m: m.update({"../escape.py": b"x"}),
            True,
            "has a member '../escape.py', which does not belong",
        ),
        (lambda m: m.update({"/etc/passwd": b"x"}), True, "has a member '/etc/passwd'"),
        (lambda m: m.update({"plugins/x.py": b"x"}), True, "has a member 'plugins/x.py'"),
        (lambda m: m.pop("manifest.json"), False, "has no manifest.json"),
        (lambda m: m.pop("spec.json"), False, "disagree about 'spec.json'"),
        (lambda m: m.update({"manifest.json": b"{"}), False, "manifest.json is no JSON"),
        (lambda m: m.update({"manifest.json": b'{"acc_bundle": 9}'}), False, "has format 9; this ACC reads"),
        (lambda m: m.update({"manifest.json": b'{"acc_bundle": 1}'}), False, "does not give sha256 and size"),
        (_swap_source, True, "is not what its name and the weights say"),
        (_other_spec, True, "spec.json is not the specification that the weights name"),
    ],
)
def test_what_is_not_whole_is_refused_and_leaves_nothing(
    bundle: Path, tmp_path: Path, change: Callable[[Members], None], true_hashes: bool, sentence: str
) -> None:
    path = rewritten(bundle, change, true_hashes=true_hashes)
    folder = tmp_path / "into"
    folder.mkdir()
    with pytest.raises(CheckpointError) as caught:
        read_bundle(path, folder)
    assert sentence in str(caught.value)
    assert list(folder.iterdir()) == []


def test_limits_are_judged_before_anything_is_unpacked(bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="unpacks to .* bytes; at most 1000 are taken"):
        read_bundle(bundle, tmp_path, max_bytes=1000)


def test_a_cut_file_and_one_of_another_kind_are_refused(bundle: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.acc.zip"
    cut.write_bytes(bundle.read_bytes()[:-200])
    with pytest.raises(BundleError, match="'cut.acc.zip' is no intact zip file"):
        read_bundle(cut, tmp_path)


def test_code_in_a_bundle_runs_only_for_who_trusts_it(
    bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(
        CheckpointError, match=r"architecture Narrow, which is not part of ACC.*trust_code=True"
    ):
        acc.load(bundle)
    assert "I was run" not in capsys.readouterr().out
    opened = acc.load(bundle, trust_code=True)
    assert "I was run" in capsys.readouterr().out
    assert type(opened.model).__name__ == "Narrow"
    assert not opened.model.training


def test_measuring_a_file_runs_its_code_only_for_who_trusts_it(
    checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(
        CheckpointError,
        match=r"the source of Narrow \(models/narrow.py .*not that of a plugin.*trust_code=True",
    ):
        FactoringEvaluator(checkpoint, DATA, device="cpu")
    assert "I was run" not in capsys.readouterr().out
    assert FactoringEvaluator(checkpoint, DATA, device="cpu", trust_code=True).metrics()
    assert "I was run" in capsys.readouterr().out


def test_growing_a_file_s_checkpoint_makes_its_code_no_more_trusted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = train(DATA["data"], tasks=["ReconstructionTask"], latent_dim=4, steps=2, device="cpu")
    own = made.checkpoint
    never_used = {"path": "models/narrow.py", "sha256": hashlib.sha256(SOURCE.encode()).hexdigest()}
    plugins = {**own.header.plugins, "Narrow": {**never_used, "source": SOURCE}}
    path = tmp_path / "plain.safetensors"
    Snapshot(2, dataclasses.replace(own.header, plugins=plugins), own.tensors).write(path)
    grown = expand_checkpoint(
        load(path), ExpansionSpec(where="latent", amount=2), DATA, helpers.shipped_tasks()
    ).snapshot
    with pytest.raises(CheckpointError, match="the source of Narrow"):
        FactoringEvaluator(grown.checkpoint(), DATA, device="cpu")
    assert "I was run" not in capsys.readouterr().out


def test_a_run_is_measured_with_its_own_classes_and_no_source_of_it_is_run(
    capsys: pytest.CaptureFixture[str],
) -> None:
    classes = PluginSet(*helpers.shipped_classes(), *load_source(SOURCE, "models/narrow.py"))
    tasks = ["ReconstructionTask"]
    run = train(
        DATA["data"], tasks=tasks, model="Narrow", latent_dim=4, classes=classes, steps=2, device="cpu"
    )
    capsys.readouterr()
    assert FactoringEvaluator(run.checkpoint, DATA, device="cpu").metrics()
    assert "I was run" not in capsys.readouterr().out


@pytest.mark.parametrize("lies", [False, True], ids=["as it is", "under the hash of an installed one"])
def test_a_task_in_a_file_is_run_only_if_it_is_the_installed_one(
    lies: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, sink = helpers.run(helpers.job(DATA, [helpers.task("reconstruction")], steps=2), DATA)
    path = tmp_path / "plain.safetensors"
    sink.last.write(path)
    assert FactoringEvaluator(path, DATA, device="cpu").metrics()  # that of a plugin that is installed
    made = load(path)
    kept = made.header.plugins["ReconstructionTask"]
    text = kept["source"] + "\nprint('I was run')\n"
    sha256 = kept["sha256"] if lies else hashlib.sha256(text.encode()).hexdigest()
    plugins = {"ReconstructionTask": {**kept, "source": text, "sha256": sha256}}
    forged = dataclasses.replace(made.header, plugins=plugins)
    Snapshot(forged.job_step, forged, made.tensors).write(path)
    for checkpoint in (path, load(path)):
        with pytest.raises(CheckpointError, match="the source of ReconstructionTask"):
            FactoringEvaluator(checkpoint, DATA, device="cpu")
    acc.load(path)  # its architecture is ACC's own, and nothing else of it is needed
    assert "I was run" not in capsys.readouterr().out


def test_an_installed_architecture_is_opened_without_asking(tmp_path: Path) -> None:
    spec = helpers.model_spec("Autoencoder").model_copy(
        update={"architecture": "LinearAutoencoder", "params": {}, "factor_groups": ()}
    )
    job = helpers.job(DATA, [helpers.task("reconstruction")], model=spec, steps=1)
    _, sink = helpers.run(job, DATA, shipped_plugins())
    path = tmp_path / "plain.safetensors"
    sink.last.write(path)
    assert type(acc.load(path).model).__name__ == "LinearAutoencoder"


def test_a_notebook_needs_no_django(bundle: Path) -> None:
    code = (
        "import sys, acc; m = acc.load(sys.argv[1], trust_code=True).model; "
        "print(m.latent_dim, 'django' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(bundle)], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1].endswith("False")
