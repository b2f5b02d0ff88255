"""The pages of an experiment and of one checkpoint: read by all who may see it, changed by those who may."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accsite.apps.jobs.models import Job, JobKind
from accsite.apps.jobs.services import control
from accsite.apps.live import selectors as live
from accsite.apps.training.models import Branch, Checkpoint, Experiment, Visibility
from accsite.apps.training.services import jobs
from accsite.apps.training.specs import task_spec
from accsite.apps.training.tests import rows
from accsite.apps.trees.services import deletion
from accsite.tests.markup import folded

pytestmark = pytest.mark.both_databases

PARTIAL = {"HX-Request": "true"}


@pytest.fixture
def root(branch: Branch) -> Checkpoint:
    """The root of the tree, trained with two tasks."""
    made = rows.make_checkpoint(
        branch, rows.make_job(branch, state="SUCCEEDED"), step=10, losses={"total": 0.5}
    )
    data = rows.make_dataset()
    tasks = [rows.make_task(branch, data, key) for key in ("pixels", "edges")]
    made.spec = {**made.spec, "tasks": [task_spec(task, "").model_dump(mode="json") for task in tasks]}
    made.save()
    return made


@pytest.fixture
def leaf(branch: Branch, root: Checkpoint) -> Checkpoint:
    """What grew from the root."""
    return rows.make_checkpoint(
        branch, rows.make_job(branch, state="SUCCEEDED"), parent=root, step=20, losses={"total": 0.25}
    )


def act(page: Client, checkpoint: Checkpoint, action: str, data: dict[str, Any], partial: bool = True) -> Any:
    """Send a form of a checkpoint's panel."""
    address = reverse("trees:checkpoint-act", args=[checkpoint.pk, action])
    return page.post(address, data, headers=PARTIAL if partial else {})


def test_an_experiment_shows_its_tree_its_table_and_the_node_asked_for(page, branch, root, leaf):
    text = page.get(f"/experiments/{branch.experiment.slug}/?node={leaf.pk}").text
    assert f'data-tree="/api/v1/experiments/{branch.experiment.slug}/tree/"' in text
    assert f'id="checkpoint-{root.pk}"' in text
    assert '<h2 id="node-title">main at step 20</h2>' in text
    assert f'data-copy="{leaf.pk}"' in text
    assert "Differs from its parent" in text
    assert leaf.sha256 in text
    assert f"replay {leaf.pk}" in text.replace("&quot;, &quot;", " ")
    assert f'data-topics="checkpoints:{branch.experiment_id}=' in text


def test_a_node_that_is_none_leaves_the_page_as_it_is(page, branch, root):
    for node in ("0", "x", "99999999999999999999999"):
        answer = page.get(f"/experiments/{branch.experiment.slug}/?node={node}")
        assert answer.status_code == 200
        assert "Choose a checkpoint" in answer.text


def test_the_chosen_metric_and_colours_stay_when_a_panel_comes_anew(page, branch, root):
    address = f"/experiments/{branch.experiment.slug}/"
    chosen = "metric=loss/total&palette=cividis&scale=size&axis=depth"
    text = page.get(f"{address}?{chosen}").text
    kept = chosen.replace("/", "%2F").replace("&", "&amp;")
    assert f'hx-get="{address}?panel=tree&amp;{kept}"' in text
    for value in ("cividis", "size", "depth"):
        assert f'<option value="{value}" selected>' in text
    nonsense = "metric=nonsense&palette=nonsense&scale=nonsense&axis="
    text = page.get(f"{address}?panel=tree&{nonsense}", headers=PARTIAL).text
    for value in ("loss/total", "viridis", "rank", "step"):
        assert f'<option value="{value}" selected>' in text


def test_a_checkpoint_of_a_private_experiment_is_hidden_from_others(branch, root):
    Experiment.objects.update(visibility=Visibility.PRIVATE)
    client = Client()
    client.force_login(get_user_model().objects.create_user("eve", password="a long enough one"))
    assert client.get(f"/checkpoints/{root.pk}/").status_code == 404
    assert act(client, root, "mark", {"tag": "mine"}).status_code == 404
    assert act(client, root, "delete", {}).status_code == 404
    root.refresh_from_db()
    assert root.tag == ""


def test_tag_note_and_star_are_set_and_a_taken_tag_is_refused_beside_its_field(page, root, leaf):
    assert act(page, root, "mark", {"tag": "best", "note": "a\nb"}).status_code == 200
    assert act(page, root, "mark", {"starred": "1"}).status_code == 200
    root.refresh_from_db()
    assert (root.tag, root.note, root.starred) == ("best", "a\nb", True)
    assert "would be taken for a checkpoint&#x27;s id" in act(page, leaf, "mark", {"tag": "12"}).text
    refused = act(page, leaf, "mark", {"tag": "best", "note": "kept"})
    assert refused.status_code == 422
    assert f'id="mark-{leaf.pk}-tag_error"' in refused.text
    assert "kept</textarea>" in refused.text
    assert act(page, root, "mark", {"tag": "", "note": ""}, partial=False).status_code == 302
    root.refresh_from_db()
    assert (root.tag, root.starred) == ("", True)


@pytest.mark.parametrize(
    ("data", "names"),
    [
        ({"tasks": "all"}, ["Edges", "Pixels"]),
        ({"tasks": "none"}, []),
        ({"tasks": ["", "edges"]}, ["Edges"]),
        ({"tasks": ""}, []),
        ({}, ["Edges", "Pixels"]),
    ],
)
def test_a_fork_takes_the_tasks_that_were_asked_for(page, root, data, names):
    answer = act(page, root, "fork", {"name": "side", **data})
    assert answer.status_code == 200, answer.text
    made = Branch.objects.get(name="side")
    assert made.head == root
    assert sorted(made.tasks.values_list("name", flat=True)) == names
    assert f"/w/{root.experiment.slug}/side/" in answer.text


def test_a_fork_takes_all_tasks_along_unless_they_are_unticked(page, root):
    shown = page.get(f"/checkpoints/{root.pk}/").text
    ticked = re.findall(r'<input type="checkbox" name="tasks" value="(\w+)"[^>]* checked>', shown)
    assert ticked == ["pixels", "edges"]


def test_a_fork_under_a_taken_name_is_refused_and_kept_open(page, root):
    answer = act(page, root, "fork", {"name": "main", "tasks": "none"})
    assert answer.status_code == 422
    assert f'id="fork-{root.pk}-name_error"' in answer.text
    assert f'id="act-fork-{root.pk}" name="act" open' in answer.text
    assert Branch.objects.count() == 1


def test_a_checkpoint_becomes_the_head_of_a_branch(page, branch, root, leaf):
    Branch.objects.filter(pk=branch.pk).update(head=leaf)
    loaded = act(page, root, "load", {"branch": str(branch.pk)})
    assert loaded.status_code == 200, loaded.text
    branch.refresh_from_db()
    assert branch.head == root
    refused = act(page, root, "load", {"branch": "999"})
    assert refused.status_code == 422
    assert "&#x27;999&#x27; is not a branch" in refused.text


def test_expanding_queues_a_job_and_offers_only_what_fits(page, branch, root):
    shown = page.get(f"/checkpoints/{root.pk}/").text
    assert '<option value="factor_group">' in shown
    assert f'name="branch_name" value="grown-{root.pk}"' in shown  # its branch has another head
    data = {"where": "latent", "amount": "4", "start": "random", "seed": "1", "branch_name": "b1"}
    answer = act(page, root, "expand", data)
    assert answer.status_code == 200, answer.text
    job = Job.objects.get(kind=JobKind.EXPAND)
    assert job.spec["expansion"]["amount"] == 4
    refused = act(page, root, "expand", {"where": "latent", "amount": "0", "branch_name": "b2"})
    assert refused.status_code == 422
    assert f'id="expand-{root.pk}-amount_error"' in refused.text


def test_a_leaf_is_deleted_and_the_deletion_undone_in_its_place(page, branch, root, leaf):
    gone = act(page, leaf, "delete", {})
    assert gone.status_code == 200
    assert "1 checkpoint deleted" in gone.text
    assert not Checkpoint.objects.filter(pk=leaf.pk).exists()
    which = Checkpoint.everything.get(pk=leaf.pk).deletion
    assert f'value="{which}"' in gone.text
    keep = reverse("trees:experiment-keep", args=[branch.experiment.slug])
    back = page.post(keep, {"restore": str(which), "restored": "1"}, headers=PARTIAL)
    assert "Restored" in back.text
    assert Checkpoint.objects.filter(pk=leaf.pk).exists()


def test_a_panel_whose_checkpoint_was_deleted_says_so_and_offers_to_undo_it(page, user, leaf):
    made = deletion.delete_checkpoint(actor=user, checkpoint=leaf)
    answer = page.get(f"/checkpoints/{leaf.pk}/", headers=PARTIAL)
    assert answer.status_code == 200
    assert f'value="{made.id}"' in answer.text
    assert page.get(f"/checkpoints/{leaf.pk}/").status_code == 404


def test_a_whole_subtree_goes_only_when_asked_for(page, root, leaf):
    assert "Delete it and the 1 that grew from it" in page.get(f"/checkpoints/{root.pk}/").text
    refused = act(page, root, "delete", {})
    assert refused.status_code == 422
    assert Checkpoint.objects.count() == 2
    assert "2 checkpoints deleted" in act(page, root, "delete", {"subtree": "1"}).text
    assert Checkpoint.objects.count() == 0


def test_what_something_depends_on_cannot_be_deleted_and_the_page_says_why(page, branch, root):
    Branch.objects.filter(pk=branch.pk).update(head=root)
    shown = page.get(f"/checkpoints/{root.pk}/").text
    assert "it is the head of branch &#x27;main&#x27;" in shown
    assert f"Delete checkpoint {root.pk}" not in shown
    refused = act(page, root, "delete", {})
    assert refused.status_code == 422
    assert "head of branch" in refused.text
    assert Checkpoint.objects.filter(pk=root.pk).exists()


def test_an_unknown_action_is_not_found(page, root):
    assert act(page, root, "explode", {}).status_code == 404


def test_without_scripts_forms_lead_back_to_a_page(page, branch, root, leaf):
    forked = act(page, root, "fork", {"name": "side"}, partial=False)
    assert forked["Location"] == f"/w/{branch.experiment.slug}/side/"
    gone = act(page, leaf, "delete", {}, partial=False)
    assert gone["Location"] == f"/experiments/{branch.experiment.slug}/"
    assert "1 checkpoint deleted" in page.get(gone["Location"]).text


def test_retention_tells_what_would_go_before_it_goes(page, branch, root, leaf):
    address = f"/experiments/{branch.experiment.slug}/keep/"
    saved = page.post(address, {"last": "1", "best": "0", "metric": "loss/total"}, headers=PARTIAL)
    assert saved.status_code == 200
    assert "would remove <b>0</b> checkpoints and the weights of <b>1</b> more" in folded(saved)
    root.refresh_from_db()
    assert root.weights_pruned_at is None
    page.post(address, {"prune": "1"}, headers=PARTIAL)
    root.refresh_from_db()
    assert root.weights_pruned_at is not None
    assert "weights pruned" in page.get(f"/checkpoints/{root.pk}/").text
    refused = page.post(address, {"last": "-1"}, headers=PARTIAL)
    assert refused.status_code == 422
    assert 'id="retention-last_error"' in refused.text


@pytest.mark.parametrize("typed", [{"last": "-1"}, {"best": "many"}, {"last": "99999999999"}])
def test_a_retention_that_is_refused_stands_in_its_field_without_a_script_too(page, branch, root, typed):
    refused = page.post(f"/experiments/{branch.experiment.slug}/keep/", typed)
    assert refused.status_code == 422
    (name, value), *_ = typed.items()
    assert f'id="retention-{name}_error"' in refused.text
    assert f'value="{value}"' in refused.text
    assert 'id="tree-title"' in refused.text


def test_a_policy_by_a_number_that_nothing_measures_is_told_on_the_page_that_can_change_it(
    page, branch, root
):
    Experiment.objects.update(retention={"metric": "beauty"})
    shown = page.get(f"/experiments/{branch.experiment.slug}/")
    assert shown.status_code == 200
    assert "&#x27;beauty&#x27; is not measured of these checkpoints; known: loss/total" in shown.text
    assert 'id="retention-metric"' in shown.text


def test_an_empty_file_is_refused_once(page):
    file = SimpleUploadedFile("model.acc.zip", b"")
    answer = page.post("/experiments/new/import/", {"file": file})
    assert answer.status_code == 422
    assert answer.text.count("model.acc.zip") == 1
    assert "The submitted file is empty" not in answer.text


def test_the_plan_of_a_large_tree_is_made_when_it_is_asked_for(page, branch, root, monkeypatch):
    monkeypatch.setattr("accsite.apps.trees.pages.tree.PLANNED_AT_ONCE", 0)
    address = f"/experiments/{branch.experiment.slug}/"
    opened = page.get(address).text
    assert "Work out what pruning would remove" in opened
    assert "Pruning now would remove" not in opened
    assert "Pruning now would remove" in page.get(f"{address}?panel=prune&plan=1", headers=PARTIAL).text


def test_a_list_of_experiments_has_best_and_last_activity(page, root, leaf):
    text = page.get("/experiments/").text
    assert ">0.25<" in text
    assert "Import a checkpoint from another installation" in text


def test_importing_nothing_is_refused_beside_the_field(page, db):
    answer = page.post("/experiments/new/import/", {})
    assert answer.status_code == 422
    assert "choose a file that ACC exported" in answer.text
    assert not Experiment.objects.exists()


def test_what_is_behind_more_is_shown_again_where_it_was_refused(page, root):
    assert f'id="act-more-{root.pk}" open' not in folded(page.get(f"/checkpoints/{root.pk}/"))
    refused = act(page, root, "expand", {"op": "latent", "amount": "-1"}, partial=False)
    assert refused.status_code == 422
    assert f'id="act-more-{root.pk}" open' in folded(refused)
    assert f'id="act-expand-{root.pk}" name="act" open' in folded(refused)
    forked = act(page, root, "fork", {"name": "main", "tasks": "none"})
    assert f'id="act-more-{root.pk}" open' not in folded(forked)
    loaded = act(page, root, "load", {"branch": "999"}, partial=False)
    assert f'id="act-more-{root.pk}" open' in folded(loaded)
    assert f'id="act-load-{root.pk}" name="act" open' in folded(loaded)


def test_a_checkpoint_offers_three_things_and_all_others_behind_more(page, root):
    shown = folded(page.get(f"/checkpoints/{root.pk}/"))
    acts, more = shown.split('<div class="acts">', 1)[1].split(f'id="act-more-{root.pk}"', 1)
    buttons = re.findall(r'<(?:a|button|summary)[^>]*class="btn"[^>]*>([^<]+)<', acts)
    assert [each.strip() for each in buttons] == ["Fork…", "Evaluate", "Latent"]
    for word in ("Load", "Export", "Delete…"):
        assert f">{word}</summary>" in more


def test_a_page_of_a_larger_tree_takes_no_more_queries(page, branch, root, leaf):
    def asked() -> int:
        with CaptureQueriesContext(connection) as queries:
            assert page.get(f"/experiments/{branch.experiment.slug}/?node={root.pk}").status_code == 200
        return len(queries)

    few = asked()
    for number in range(6):
        side = Branch.objects.create(
            experiment=branch.experiment, name=f"side {number}", slug=f"side-{number}", forked_from=root
        )
        grown = rows.make_checkpoint(side, rows.make_job(side, state="SUCCEEDED"), parent=root, step=30)
        Branch.objects.filter(pk=side.pk).update(head=grown)
    assert asked() == few


@pytest.mark.django_db(transaction=True)
def test_a_tree_hears_when_a_branch_begins_to_grow_and_when_it_no_longer_does(branch, task, user):
    topic = f"checkpoints:{branch.experiment_id}"

    def heard() -> int:
        return live.versions([topic])[topic]

    before = heard()
    job = jobs.submit_training(actor=user, branch=branch, train={"steps": 5})
    begun = heard()
    assert begun > before
    control.cancel(actor=user, job=job)
    assert heard() > begun


def test_a_branch_that_is_in_its_first_training_is_not_called_untrained(
    page: Client, branch: Branch, root: Checkpoint
) -> None:
    address = f"/experiments/{branch.experiment.slug}/"
    assert "not trained yet" in page.get(address).text
    rows.make_job(branch, state="RUNNING", step=7)
    shown = page.get(address).text
    assert "not trained yet" not in shown
    assert '<span class="soft">training</span>' in shown


def test_what_pruning_keeps_is_said_with_why(page: Client, branch: Branch, root: Checkpoint) -> None:
    Branch.objects.filter(pk=branch.pk).update(head=root)
    Checkpoint.objects.filter(pk=root.pk).update(starred=True)
    assert re.search(
        r"Kept: 1 (as head of a branch|with a star)\.",
        folded(page.get(f"/experiments/{branch.experiment.slug}/")),
    )
