"""A checkpoint is known by four numbers: its loss, what was measured of its tasks, and of the whole."""

from __future__ import annotations

from accsite.apps.training.models import Branch
from accsite.apps.training.tests import rows
from accsite.apps.trees.pages.figures import key_figures

TASKS = [{"key": key, "name": key.upper()} for key in ("pixels", "kl", "digit")]


def test_what_was_measured_of_tasks_comes_before_their_losses(branch: Branch) -> None:
    checkpoint = rows.make_checkpoint(branch, spec={"tasks": TASKS})
    found = {
        "loss/total": 0.5,
        "loss/pixels": 0.1,
        "loss/kl": 40.0,
        "metric/pixels/psnr on digits": 20.0,
        "metric/pixels/ssim on digits": 0.9,
        "metric/digit/accuracy on digits": 0.98,
        "metric/kl/loss on digits": 41.0,
        "metric/ufr on digits": 0.3,
    }
    shown = [(figure.name, figure.of, figure.value) for figure in key_figures(checkpoint, found)]
    assert shown == [
        ("total loss", "weighted", 0.5),
        ("PIXELS", "psnr", 20.0),
        ("DIGIT", "accuracy", 0.98),
        ("factoring", "ufr", 0.3),
    ]


def test_losses_fill_the_places_and_each_number_tells_whether_it_is_better_than_before(
    branch: Branch,
) -> None:
    losses = {"total": 0.5, "raw/pixels": 0.25, "raw/kl": 2.0}
    parent = rows.make_checkpoint(branch, losses=losses, spec={"tasks": TASKS})
    child = rows.make_checkpoint(
        branch, parent=parent, losses={**losses, "total": 0.25}, spec={"tasks": TASKS}
    )
    found = {"loss/total": 0.25, "loss/pixels": 0.25, "loss/kl": 4.0}
    figures = {figure.name: (figure.of, figure.before, figure.better) for figure in key_figures(child, found)}
    assert figures == {
        "total loss": ("weighted", 0.5, True),
        "PIXELS": ("loss", 0.25, None),
        "KL": ("loss", 2.0, False),
    }


def test_a_checkpoint_of_which_nothing_is_known_has_no_numbers(branch: Branch) -> None:
    assert key_figures(rows.make_checkpoint(branch), {}) == []
