"""In a real browser an experiment begins with a method, is trained by a worker, and shows all of its curves."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.e2e.conftest import Site, Watched
from tests.e2e.test_journey import train
from tests.stack import DATASET

# The first test starts the whole platform.
pytestmark = [pytest.mark.timeout(600), pytest.mark.long(60)]
STEPS = 60
COLUMNS = "[...document.getElementById('loss').points.columns.keys()]"
END = "document.getElementById('loss').points?.end ?? 0"


def test_a_factor_vae_is_chosen_trained_and_its_curves_are_drawn(
    site: Site, visit: Callable[..., Watched]
) -> None:
    from accsite.apps.training.models import Experiment

    watched = visit(site.admin)
    page = watched.page
    watched.open(f"/experiments/new/?dataset={DATASET}")
    page.get_by_label("Method", exact=True).select_option("FactorVAE")
    page.locator("#method [name='method-hidden']").fill("32")
    assert "Kim & Mnih (2018)" in page.locator("#method").inner_text()
    assert page.locator("#plugin-choice").input_value() == "BurgessVAE"
    page.locator("[name=name]").fill("a factor vae")
    page.locator("[name='params-channels']").fill("4")
    page.get_by_role("button", name="Create the experiment").click()
    page.wait_for_url(lambda url: "/new/" not in url)

    made = Experiment.objects.get(name="a factor vae")
    assert made.method["name"] == "FactorVAE"
    assert made.method["params"]["hidden"] == 32
    branch = made.branches.get()
    watched.open(f"/w/{made.slug}/{branch.slug}/")
    watched.page.locator("#live[data-state=live]").wait_for()
    job = train(watched, STEPS)
    site.stack.state(job, "SUCCEEDED", seconds=240)
    job.refresh_from_db()
    assert job.spec["train"]["optimizer"] == "adam"
    watched.until(f"({END}) === {STEPS}")

    # The discriminator's task has two losses: one that the encoder learns from, one that it learns from itself.
    key = branch.tasks.get(task_class="DiscriminatorTask").key
    parts = {f"part/{key}/total_correlation", f"part/{key}/discriminator"}
    assert parts <= set(page.evaluate(COLUMNS))
    legend = page.locator("#legend")
    for name in ("total_correlation", "discriminator", "Reconstruction", "KL divergence"):
        legend.get_by_text(name).first.wait_for()
    page.locator(f"#more-{branch.tasks.get(key=key).pk}").click()
    page.get_by_text("the sum of discriminator, total_correlation").wait_for()
    watched.assert_clean()
