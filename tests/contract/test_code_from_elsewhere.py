"""Plugin code that came with an imported checkpoint: every way of running it refuses before it is approved."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from acc.bundle import read_bundle, write_bundle
from acc.errors import InvalidInput
from acc.plugins.helpers import composed, split
from acc.specs import TrainJobSpec
from acc.training.checkpoints.files import Snapshot
from acc.training.checkpoints.files import load as load_file
from accsite import blobs
from accsite.apps.audit.models import AuditEntry
from accsite.apps.datasets.services import generation
from accsite.apps.jobs.models import Job, JobKind
from accsite.apps.jobs.services import queueing
from accsite.apps.jobs.services.retry import retry
from accsite.apps.jobs.states import JobState
from accsite.apps.recipes.models import RecipeRun
from accsite.apps.recipes.services import recipes
from accsite.apps.registry import approval, descriptions, previews, questions
from accsite.apps.registry.models import Plugin, PluginKind, PluginSource
from accsite.apps.training.models import Branch, Checkpoint, CheckpointKind
from accsite.apps.training.services import checkpoints, experiments, jobs, measuring
from accsite.apps.trees.services import expansion, portable, replays
from tests.contract import real
from workers.job import materials
from workers.replay.rerun import replay

CANARY = "\nfrom pathlib import Path as _Path\n_Path({file!r}).write_text('it ran')\n"
HELPER = "_from_elsewhere"
SENTENCE = "came from elsewhere and may not run here; an administrator can read and approve it"


@dataclasses.dataclass
class Foreign:
    """An imported checkpoint whose code would write ``canary``, and the source that does so."""

    checkpoint: Checkpoint
    source: PluginSource
    canary: Path

    @property
    def branch(self) -> Branch:
        return self.checkpoint.branch

    def ran(self) -> bool:
        """Return whether the code ran, and forget it."""
        there = self.canary.exists()
        self.canary.unlink(missing_ok=True)
        return there


@pytest.fixture
def worker(transactional_db: None, redis_url: str, settings: Any) -> Any:
    settings.ACC_LEASE_SECONDS, settings.ACC_HEARTBEAT_SECONDS = 20.0, 5.0
    real.keep_plugins()
    return real.make_worker()


@pytest.fixture
def bundle(worker: Any, tmp_path: Path) -> Callable[..., Path]:
    """Return what writes a bundle whose ReconstructionTask is this server's and a canary besides."""
    made = real.train(real.make_branch(real.make_dataset()), worker)
    whole = load_file(blobs.open_local(made.file, made.sha256))

    def write(
        *, honest: bool = True, sha256: str | None = None, helper: bool = False, more: str = ""
    ) -> Path:
        header = whole.header
        before = header.plugins["ReconstructionTask"]
        canary = CANARY.format(file=str(tmp_path / "canary")) + more
        text = before["source"] + canary
        if helper:  # the plugin's own file is harmless
            own = before["source"] + f"\nfrom plugins.tasks.{HELPER} import _Path\n"
            text = composed(before["path"], own, {f"tasks/{HELPER}.py": canary}.get)
        found = sha256 or hashlib.sha256(text.encode()).hexdigest()
        spec = header.spec
        if honest:
            tasks = tuple(
                task.model_copy(update={"source_sha256": found})
                if task.task_class == "ReconstructionTask"
                else task
                for task in spec.tasks
            )
            plugins = {**spec.plugins, "ReconstructionTask": found}
            spec = spec.model_copy(update={"tasks": tasks, "plugins": plugins})
        evil = {**before, "source": text, "sha256": found}
        forged = dataclasses.replace(
            header, spec=spec, plugins={**header.plugins, "ReconstructionTask": evil}
        )
        file = tmp_path / "forged.safetensors"
        Snapshot(header.job_step, forged, whole.tensors).write(file)
        write_bundle(tmp_path / "forged.acc.zip", file)
        return tmp_path / "forged.acc.zip"

    return write


def taken_in(path: Path) -> Foreign:
    """Import a bundle and return what it brought."""
    taken = portable.import_checkpoint(actor=None, path=path)
    source = PluginSource.objects.waiting().get()
    assert [SENTENCE in note for note in taken.notes] == [True]
    return Foreign(taken.checkpoint, source, path.parent / "canary")


@pytest.fixture(params=[True, False], ids=["honest", "its specification names another source"])
def foreign(bundle: Callable[..., Path], request: pytest.FixtureRequest) -> Foreign:
    return taken_in(bundle(honest=request.param))


def rest() -> APIClient:
    client = APIClient()
    client.force_authenticate(User.objects.create_superuser("root"))
    return client


TRAIN = {"steps": 2, "batch_size": 8, "device": "cpu", "threads": 1}
GROWTH = {"where": "encoder_stage"}


def test_every_way_of_asking_refuses_at_once_and_says_who_may_approve(
    foreign: Foreign, capsys: pytest.CaptureFixture[str]
) -> None:
    node, branch, client = foreign.checkpoint, foreign.branch, rest()
    before = Job.objects.count()

    def post(name: str, data: Any, **arguments: Any) -> Any:
        return client.post(reverse(f"api:{name}", kwargs=arguments), data, format="json")

    fork = post(
        "branch-list", {"experiment": node.experiment.slug, "name": "fork", "from_checkpoint": node.pk}
    )
    assert fork.status_code == 201, fork.text  # a name in the tree runs nothing
    answers = {
        "train": post("job-list", {"kind": "train", "branch": branch.pk, "train": TRAIN}),
        "fork then train": post("job-list", {"kind": "train", "branch": fork.data["id"], "train": TRAIN}),
        "evaluate": post("job-list", {"kind": "evaluate", "checkpoint": node.pk}),
        "run": post("eval-run", {"checkpoint": node.pk}),
        "reconstructions": post("eval-reconstructions", {"checkpoint": node.pk}),
        "traversals": post("eval-traversals", {"checkpoint": node.pk}),
        "expand": post("checkpoint-expand", GROWTH, pk=node.pk),
        "replay": post("checkpoint-replay", {}, pk=node.pk),
        "replay as now": post("checkpoint-replay", {"current_plugins": True}, pk=node.pk),
    }
    for what, answer in answers.items():
        assert answer.status_code == 409, (what, answer.text)
        [(field, [sentence])] = answer.data["errors"].items()
        assert field == ("branch" if "train" in what else "checkpoint"), what
        assert SENTENCE in sentence, what
        assert foreign.source.path in sentence, what
    browser = Client()
    browser.force_login(User.objects.get(username="root"))
    for act in ("evaluate", "expand", "replay"):
        shown = browser.post(reverse("trees:checkpoint-act", args=[node.pk, act]), GROWTH)
        assert shown.status_code == 422, act
        assert "approve it at /plugins/sources/" in shown.text, act
    for command in (
        ("train", "--experiment", node.experiment.slug, "--steps", "2"),
        ("evaluate", str(node.pk)),
        ("expand", str(node.pk), "--where", "encoder_stage"),
    ):
        with pytest.raises(SystemExit) as caught:
            call_command(*command)
        told = capsys.readouterr()
        assert caught.value.code in {1, 2}, command
        assert SENTENCE in told.err + told.out, (command, told)
    assert Job.objects.count() == before
    assert not foreign.ran()


def test_what_is_looked_at_runs_nothing(foreign: Foreign) -> None:
    browser = Client()
    browser.force_login(User.objects.create_superuser("root"))
    node = foreign.checkpoint
    for where in (
        reverse("trees:experiment", args=[node.experiment.slug]),
        reverse("trees:checkpoint", args=[node.pk]),
        reverse("training:workbench", args=[node.experiment.slug, "main"]),
        reverse("registry:plugins"),
        reverse("registry:source", args=[foreign.source.pk]),
        reverse("api:checkpoint-detail", kwargs={"pk": node.pk}),
        reverse("api:checkpoint-export", kwargs={"pk": node.pk}),
        reverse("admin:registry_pluginsource_change", args=[foreign.source.pk]),
    ):
        assert browser.get(where).status_code == 200, where
    shown = browser.get(reverse("trees:checkpoint", args=[node.pk])).text
    assert SENTENCE in shown
    assert not foreign.ran()


def forced(kind: JobKind, foreign: Foreign) -> Job:
    """Return a job that no service would have made, as an old row or a restored backup holds it."""
    node, sha256 = foreign.checkpoint, foreign.source.pk
    fields: dict[str, Any] = {"branch": foreign.branch, "checkpoint": node, "spec": {}}
    if kind == JobKind.EVALUATE:
        return measuring.queue_evaluation(node)
    if kind == JobKind.EXPAND:
        fields["spec"] = {"expansion": {"where": "encoder_stage"}, "branch_name": None}
    if kind == JobKind.REPLAY:
        trained = Checkpoint.objects.get(kind=CheckpointKind.FINAL)
        assert trained.job is not None
        Job.objects.filter(pk=trained.job.pk).update(spec={**trained.job.spec, "plugins": {"X": sha256}})
        fields |= {"checkpoint": trained, "branch": trained.branch}
    if kind == JobKind.TRAIN:
        spec = TrainJobSpec.model_validate(node.spec).model_dump(mode="json")
        plugins = {**spec["plugins"], "ReconstructionTask": sha256}
        fields = {"branch": foreign.branch, "start_checkpoint": node, "total_steps": 2}
        fields["spec"] = {**spec, "plugins": plugins, "train": {**spec["train"], **TRAIN}}
    if kind == JobKind.GENERATE:
        made = {"generator": "X", "params": {}, "n": 4, "seed": 0, "name": "X", "source_sha256": sha256}
        fields = {"spec": made, "total_steps": 4}
    if kind == JobKind.RECIPE:
        run = RecipeRun.objects.create(recipe="X", label="X", source=foreign.source)
        job = queueing.enqueue(kind, queue="default", spec={"run": run.pk, "source_sha256": sha256})
        RecipeRun.objects.filter(pk=run.pk).update(job=job)
        return job
    return queueing.enqueue(kind, **fields)


KINDS = [kind for kind in JobKind if kind not in {JobKind.IMPORT, JobKind.TRACK}]  # which run no plugin


@pytest.mark.parametrize("kind", KINDS)
def test_a_worker_refuses_what_got_in_otherwise_before_it_loads_anything(
    kind: JobKind, bundle: Callable[..., Path], worker: Any
) -> None:
    foreign = taken_in(bundle())
    job = real.run(forced(kind, foreign), worker)
    assert job.state == JobState.FAILED, job.message
    assert SENTENCE in job.message
    assert not foreign.ran()


def test_ranks_of_other_machines_commands_previews_and_the_replay_command_ask_as_well(
    bundle: Callable[..., Path],
) -> None:
    foreign = taken_in(bundle())
    node, sha256 = foreign.checkpoint, foreign.source.pk
    carried = load_file(blobs.open_local(node.file, node.sha256))
    spec = TrainJobSpec.model_validate(node.spec).model_copy(update={"plugins": {}})
    for ask in (
        lambda: materials.Materials(spec, carried),  # of each rank, on whichever machine
        lambda: materials.from_rows([sha256]),  # of a task that joins a running job
        lambda: questions.source_of({"sha256": sha256}),
        lambda: descriptions.describe(who="me", model=spec.model, sha256=sha256),
    ):
        with pytest.raises(approval.NotApproved, match="may not run here"):
            ask()
    Plugin.objects.filter(name="ReconstructionTask").update(source=foreign.source)
    again_made = real.make_branch  # a row of a plugin that names such a source is no way round
    with pytest.raises(InvalidInput, match="may not run here"):
        again_made(foreign.branch.tasks.get(task_class="ReconstructionTask").dataset, slug="round")
    trained = Checkpoint.objects.get(kind=CheckpointKind.FINAL)
    for verdict in (replay(trained, current_plugins=True), replay(node)):  # as ``manage.py replay`` does
        assert (verdict.verdict, SENTENCE in verdict.message) == ("cannot", True)
    Plugin.objects.create(kind=PluginKind.RECIPE, name="R", label="R", path="r.py", source=foreign.source)
    Plugin.objects.create(kind=PluginKind.GENERATOR, name="G", label="G", path="g.py", source=foreign.source)
    for submit in (
        lambda: recipes.submit_recipe(actor=None, recipe="R"),
        lambda: generation.submit_generation(actor=None, generator="G", n=4),
        lambda: previews.make(who="me", generator="G", params={}),
    ):
        with pytest.raises(InvalidInput, match="may not run here"):
            submit()
    assert not foreign.ran()


def test_a_text_under_the_hash_of_another_is_never_run(bundle: Callable[..., Path], worker: Any) -> None:
    real_one = PluginSource.objects.get(plugins__name="ReconstructionTask")
    with pytest.raises(InvalidInput, match="is not what its name and the weights say"):
        portable.import_checkpoint(actor=None, path=bundle(sha256=real_one.pk), name="Lie")
    # The same file where a checkpoint of this server lay: the worker asks about the text that it would run.
    file = bundle(sha256=real_one.pk).parent / "forged.safetensors"
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    node = Checkpoint.objects.get()
    Checkpoint.objects.filter(pk=node.pk).update(
        file=blobs.store(file, checkpoints.FOLDER, digest), sha256=digest
    )
    job = real.run(measuring.queue_evaluation(Checkpoint.objects.get()), worker)
    assert job.state == JobState.FAILED
    assert "has another sha256; it is not run" in job.message
    assert not (file.parent / "canary").exists()


def test_an_administrator_approves_exactly_this_source_and_takes_it_back(
    bundle: Callable[..., Path], worker: Any
) -> None:
    foreign = taken_in(bundle())
    where = reverse("registry:source", args=[foreign.source.pk])
    others = [User.objects.create_user("ann"), User.objects.create_user("staff", is_staff=True)]
    for person in others:
        browser = Client()
        browser.force_login(person)
        assert "it ran" in browser.get(where).text  # everybody may read it
        assert browser.post(where, {"verb": "approve"}).status_code == 403
        client = APIClient()
        client.force_authenticate(person)
        for verb in ("approve", "withdraw"):
            path = reverse(f"api:plugin-source-{verb}", kwargs={"pk": foreign.source.pk})
            assert client.post(path).status_code == 403
        assert client.get(reverse("api:plugin-source-list")).data["results"] == []
    with pytest.raises(SystemExit):
        call_command("plugins", "approve", foreign.source.pk, "--user", "ann", "--yes")
    with pytest.raises(SystemExit):  # nobody is at a terminal to say yes
        call_command("plugins", "approve", foreign.source.pk)
    assert PluginSource.objects.waiting().exists()

    root = User.objects.create_superuser("root")
    browser = Client()
    browser.force_login(root)
    page = browser.get(where).text
    assert "Approve exactly this source" in page
    assert "write_text(" in page
    assert browser.post(where, {"verb": "approve"}).status_code == 302
    found = AuditEntry.objects.get(action="source", actor_name="root")
    assert found.detail["sha256"] == foreign.source.pk
    measured = real.run(jobs.submit_evaluation(actor=root, checkpoint=foreign.checkpoint), worker)
    assert measured.state == JobState.SUCCEEDED, measured.message
    assert foreign.ran()  # so the canary sings where it may

    waiting = jobs.submit_evaluation(actor=root, checkpoint=foreign.checkpoint)
    client = APIClient()
    client.force_authenticate(root)
    path = reverse("api:plugin-source-withdraw", kwargs={"pk": foreign.source.pk})
    assert client.post(path).data["may_run"] is False
    assert real.run(waiting, worker).state == JobState.FAILED
    with pytest.raises(approval.NotApproved):
        retry(actor=root, job=Job.objects.get(pk=waiting.pk))
    with pytest.raises(approval.NotApproved):
        replays.submit_replay(actor=root, checkpoint=foreign.checkpoint)
    assert not foreign.ran()
    call_command("plugins", "approve", foreign.source.pk, "--yes")
    grown = expansion.submit_expansion(actor=None, checkpoint=foreign.checkpoint, expansion=GROWTH)
    grown = real.run(grown, worker)
    assert grown.state == JobState.SUCCEEDED, grown.message
    assert foreign.ran()
    # What grew from it carries the same source, and stops with it.
    call_command("plugins", "withdraw", foreign.source.pk)
    with pytest.raises(approval.NotApproved):
        jobs.submit_evaluation(actor=root, checkpoint=Checkpoint.objects.get(pk=grown.result["checkpoint"]))


def test_a_helper_travels_with_its_plugin_is_refused_with_it_and_runs_once_both_are_approved(
    bundle: Callable[..., Path], worker: Any, tmp_path: Path
) -> None:
    foreign = taken_in(bundle(helper=True))
    own, helpers = split(foreign.source.text)
    assert ("it ran" in own, list(helpers)) == (False, [f"tasks/{HELPER}.py"])
    with pytest.raises(approval.NotApproved, match="may not run here"):
        jobs.submit_evaluation(actor=None, checkpoint=foreign.checkpoint)
    assert real.run(forced(JobKind.EVALUATE, foreign), worker).state == JobState.FAILED
    assert not foreign.ran()
    root = User.objects.create_superuser("root")
    browser = Client()
    browser.force_login(root)
    where = reverse("registry:source", args=[foreign.source.pk])
    assert "it ran" in browser.get(where).text  # who approves it reads the helper as well
    assert browser.post(where, {"verb": "approve"}).status_code == 302
    measured = real.run(jobs.submit_evaluation(actor=root, checkpoint=foreign.checkpoint), worker)
    assert measured.state == JobState.SUCCEEDED, measured.message
    assert foreign.ran()
    # It travels on whole, and here it is known already.
    path = tmp_path / "on.acc.zip"
    portable.export_checkpoint(checkpoint=foreign.checkpoint, path=path)
    folder = tmp_path / "opened"
    folder.mkdir()
    assert read_bundle(path, folder).sources[foreign.source.pk] == foreign.source.text
    assert portable.import_checkpoint(actor=root, path=path, name="On").notes == ()
    # The same plugin with another helper is another source, which nobody has read.
    other = taken_in(bundle(helper=True, more="# another\n"))
    assert split(other.source.text)[0] == own
    with pytest.raises(approval.NotApproved, match="may not run here"):
        jobs.submit_evaluation(actor=root, checkpoint=other.checkpoint)
    assert not other.ran()


def test_what_this_servers_disk_once_provided_stays_approved(
    bundle: Callable[..., Path], worker: Any
) -> None:
    node = Checkpoint.objects.get()
    Plugin.objects.filter(name="ReconstructionTask").update(
        source=PluginSource.objects.create(sha256="0" * 64, path="tasks/edited.py", text="", on_disk_at=None)
    )
    job = real.run(jobs.submit_evaluation(actor=None, checkpoint=node), worker)
    assert job.state == JobState.SUCCEEDED, job.message
    fork = experiments.create_branch(actor=None, experiment=node.experiment, name="on", from_checkpoint=node)
    assert fork.head == node
