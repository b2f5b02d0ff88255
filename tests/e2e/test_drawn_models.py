"""The model drawn in a browser: anew at each change of its form, walked by keys, opened layer by layer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

from tests.e2e.conftest import Site, Watched, at_rest
from tests.e2e.test_pages import assert_accessible
from tests.stack import DATASET

# The first test starts the whole platform.
pytestmark = pytest.mark.timeout(600)
TOTAL = "document.querySelector('.model-total b')?.title"
DRAWN = f"!!{TOTAL} && !document.querySelector('[data-drawn]').dataset.stale"


@pytest.fixture(scope="module")
def checkpoint(site: Site) -> Any:
    """A checkpoint that was measured, of an experiment with an older one."""
    return at_rest(site, "drawn").experiment.checkpoints.latest("pk")


@pytest.fixture
def form(site: Site, visit: Callable[..., Watched]) -> Watched:
    """The form of a new experiment, drawn."""
    watched = visit(site.admin)
    watched.open(f"/experiments/new/?architecture=ConvVAE&dataset={DATASET}")  # others make some, too
    watched.until(DRAWN)
    return watched


def draw(watched: Watched) -> None:
    """Ask for the drawing of a checkpoint, which the page alone does not."""
    watched.page.get_by_role("link", name="Draw the model of this checkpoint").click()
    watched.until(DRAWN)


def total(watched: Watched) -> str:
    return str(watched.page.evaluate(TOTAL))


def fill(page: Page, name: str, value: str) -> None:
    page.locator(f"#plugin-fields [name='{name}']").fill(value)


def redrawn(watched: Watched, before: str) -> str:
    """Wait for another model, and return its number of parameters."""
    watched.until(f"{DRAWN} && {TOTAL} !== '{before}'", seconds=10)
    return total(watched)


def test_a_changed_parameter_redraws_and_what_is_wrong_stands_beside_its_field(form: Watched) -> None:
    page = form.page
    before = total(form)
    fill(page, "name", "half typed")
    fill(page, "params-encoder_stages", "5")
    after = redrawn(form, before)
    assert int(after.replace(",", "")) > int(before.replace(",", ""))
    assert page.locator(".model-frame text").text_content() == "\N{MULTIPLICATION SIGN} 5"
    fill(page, "params-depth", "99")
    page.locator(".field:has([name='params-depth']) .error", has_text="'99' is above").wait_for()
    assert page.locator("[data-drawn]").get_attribute("data-stale") == ""
    assert total(form) == after  # what was right last stays in sight
    fill(page, "params-depth", "2")
    redrawn(form, after)
    page.locator("#plugin-fields .field .error").wait_for(state="detached")
    assert page.locator("[name=name]").input_value() == "half typed"
    form.assert_still()
    form.assert_clean()


def test_the_latent_is_divided_by_keys_and_the_drawing_follows(form: Watched) -> None:
    page = form.page
    page.locator("[data-add-group]").click()
    page.keyboard.type("digit")
    page.locator("#model .model-segment text", has_text="digit").wait_for()
    page.locator("#groups-bar [role=slider]").last.focus()
    for _ in range(3):
        page.keyboard.press("PageDown")
    page.locator("#model .model-segment text", has_text="0:4").wait_for()
    page.locator("#model .model-segment text", has_text="4:16").wait_for()
    page.locator("#groups-bar .free").click(position={"x": 80, "y": 10})
    assert page.locator("[name=group-start]").nth(1).input_value() == "4"
    page.keyboard.type("rest")
    page.locator("#model .model-segment text", has_text="rest").wait_for()
    page.locator("[name=group-end]").first.fill("9")
    page.locator("#groups-error", has_text="overlap").wait_for()
    form.assert_clean()


def test_a_preset_fills_the_form_and_leaves_what_it_does_not_speak_of(form: Watched) -> None:
    page = form.page
    before = total(form)
    fill(page, "name", "mine")
    page.locator("a[data-preset]", has_text="Factor slots").click()
    redrawn(form, before)
    assert "architecture=FactorSlotAutoencoder" in page.url
    assert page.locator("#plugin-choice").input_value() == "FactorSlotAutoencoder"
    assert page.locator("[name=name]").input_value() == "mine"
    names = page.locator("[name=group-name]")
    assert [names.nth(i).input_value() for i in range(3)] == ["digit", "thickness", "slant"]
    assert page.locator("a.model-layer[data-slot='1']").count() >= 2
    form.assert_clean()


def test_layers_are_walked_by_arrow_keys_and_opened_beside_the_drawing(form: Watched) -> None:
    page = form.page
    assert page.locator("a.model-layer[tabindex='0']").count() == 1
    page.locator("a.model-layer[tabindex='0']").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    told = page.evaluate("document.activeElement.getAttribute('aria-label')")
    page.keyboard.press("Enter")
    sheet = page.locator("#model-sheet[open]")
    sheet.wait_for()
    assert sheet.locator("h3").inner_text() == told.rpartition("; ")[2].split(",")[0]
    assert page.locator(".model-wire[data-lit]").count() >= 1
    page.keyboard.press("Escape")
    page.locator("#model-sheet:not([open])").wait_for(state="attached")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == told
    asked = len(form.requests)
    page.wait_for_timeout(2000)
    assert len(form.requests) == asked
    form.assert_clean()


def test_a_broken_plugin_is_told_in_a_sentence(
    site: Site, plugins: Path, visit: Callable[..., Watched]
) -> None:
    file = plugins / "models" / "drawn_badly.py"
    source = (plugins / "models" / "linear_autoencoder.py").read_text().replace("LinearAuto", "BadlyDrawn")
    file.write_text(source.replace(".unflatten(1, self.shape)", ""))
    watched = visit(site.admin)
    try:
        watched.open("/experiments/new/")
        watched.page.locator("#live[data-state=live]").wait_for()
        watched.page.locator("option[value=BadlyDrawnencoder]").wait_for(state="attached")
        watched.page.locator("#plugin-choice").select_option("BadlyDrawnencoder")
        watched.page.locator(
            "#model-said", has_text="BadlyDrawnencoder.decode_logits drew a tensor"
        ).wait_for()
        file.write_text(source)
        watched.until(f"{DRAWN} && !document.getElementById('model-said').textContent")
    finally:
        file.unlink()
    watched.assert_clean()


def test_a_checkpoint_shows_its_model_its_heads_and_the_pictures_of_its_latent(
    site: Site, checkpoint: Any, visit: Callable[..., Watched]
) -> None:
    watched = visit(site.admin)
    page = watched.page
    watched.open(f"/checkpoints/{checkpoint.pk}/")
    page.wait_for_timeout(500)
    assert not [url for url in watched.requests if url.endswith("/model/")], "opening a page runs no model"
    page.get_by_role("link", name="Draw the model of this checkpoint").focus()
    page.keyboard.press("Enter")
    watched.until(DRAWN)
    assert page.evaluate("document.activeElement.matches('a.model-layer')")
    page.locator("details.model-table summary").click()
    table = page.locator("#model-table tbody")
    assert table.locator("tr", has_text="ClassificationTask").count() >= 1
    page.locator("a.model-layer[data-form=latent]").click()
    page.locator("#model-sheet .sorted").first.wait_for()
    assert page.locator("#model-sheet .sorted").count() > 1
    page.locator("#model a.model-layer[data-slot='0']").first.click()
    watched.until("document.querySelectorAll('#model-sheet .sorted').length === 1")
    watched.assert_still()
    watched.assert_clean()
    assert_accessible(watched, "the model of a checkpoint")


def test_where_no_pictures_were_made_a_button_makes_them(
    site: Site, checkpoint: Any, visit: Callable[..., Watched]
) -> None:
    from accsite.apps.evaluation.models import Evaluation

    older = checkpoint.experiment.checkpoints.earliest("pk")
    Evaluation.objects.filter(checkpoint=older).delete()
    watched = visit(site.admin)
    page = watched.page
    watched.open(f"/checkpoints/{older.pk}/")
    draw(watched)
    page.locator("a.model-layer[data-form=latent]").click()
    page.locator("#model-sheet [data-pictures]", has_text="Not measured").wait_for()
    page.locator("#model-sheet [data-pictures] form button").click()
    page.wait_for_url(f"**/evaluate/{older.pk}/sort/**")
    page.locator("#tab .sorted").first.wait_for()
    watched.assert_clean()


def test_without_a_script_the_model_is_a_page_and_comes_with_the_form(
    site: Site, checkpoint: Any, visit: Callable[..., Watched]
) -> None:
    state = visit(site.admin).page.context.storage_state()
    watched = visit(storage_state=state, java_script_enabled=False)
    page = watched.page
    watched.open(f"/checkpoints/{checkpoint.pk}/")
    page.get_by_role("link", name="Draw the model of this checkpoint").click()
    page.locator("svg.model-svg").wait_for()
    watched.open(f"/experiments/new/?architecture=ConvVAE&dataset={DATASET}")  # others make some, too
    page.get_by_role("button", name="Draw the model").click()
    page.locator("details.model-table summary").click()
    assert page.locator("#model-table tbody tr").count() > 5
    page.locator("a.model-layer").nth(2).click()
    assert page.url.endswith("#layer-2")


def test_a_phone_scrolls_the_drawing_in_its_own_box(site: Site, visit: Callable[..., Watched]) -> None:
    watched = visit(site.admin)
    watched.page.set_viewport_size({"width": 390, "height": 844})
    watched.open(f"/experiments/new/?architecture=ConvVAE&dataset={DATASET}")  # others make some, too
    watched.until(DRAWN)
    assert watched.page.evaluate("document.documentElement.scrollWidth") <= 390
    assert watched.page.evaluate(
        "(e => e.scrollWidth > e.clientWidth)(document.querySelector('.model-scroll'))"
    )
    assert_accessible(watched, "the form of an experiment")
