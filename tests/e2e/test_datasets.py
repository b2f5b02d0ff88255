"""Datasets in the browser: made with a preview, browsed with a brush, uploaded, removed and taken back, compared."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Page

from tests.e2e.conftest import Site, Watched
from tests.e2e.test_pages import assert_accessible
from tests.stack import DATASET

# The first test starts the whole platform.
pytestmark = pytest.mark.timeout(600)
NAME, N = "Plain shapes", 60
PREVIEW = "document.getElementById('preview')"
PREVIEWED = """[...document.querySelectorAll('#preview svg')].filter((svg) =>
  svg.querySelector('image').getAttribute('href') && svg.getAttribute('aria-label').includes('shape')).length === 8"""
LOADED = "[...document.images].every((image) => image.complete && image.naturalWidth > 0)"


@pytest.fixture(scope="module")
def shapes(site: Site) -> Any:
    """Return the dataset that ``test_generate`` makes, or make it."""
    from accsite.apps.datasets.models import Dataset
    from accsite.apps.datasets.services import generation

    if not Dataset.objects.filter(name=NAME).exists():
        job = generation.submit_generation(
            actor=site.admin, generator="Shapes", params={"size": 24, "classes": 3}, n=N, seed=5, name=NAME
        )
        site.stack.state(job, "SUCCEEDED")
    return Dataset.objects.get(name=NAME)


def fill(page: Page, field: str, value: str) -> None:
    """Fill in a field of the generator's form."""
    page.locator(f"#plugin-fields [name='{field}']").fill(value)


def test_generate_with_a_preview(site: Site, visit: Callable[..., Watched]) -> None:
    watched, elsewhere = visit(site.admin), visit(site.admin)
    elsewhere.open(f"{site.bench}tasks/")
    elsewhere.page.locator("#live[data-state=live]").wait_for()
    page = watched.page
    watched.open("/datasets/new/?generator=Shapes")
    watched.until(PREVIEWED)
    picture = page.locator("#preview image").first.get_attribute("href")

    # What is refused is told beside its field, and taken back once it is right.
    fill(page, "params-classes", "99")
    page.locator(".field:has([name='params-classes']) .error", has_text="'99' is above").wait_for()
    fill(page, "params-classes", "3")
    fill(page, "params-size", "24")
    watched.until(f"{PREVIEWED} && !{PREVIEW}.dataset.state")
    page.locator("#plugin-fields .error").wait_for(state="detached")
    assert page.locator("#preview image").first.get_attribute("href") != picture

    fill(page, "n", str(N))
    fill(page, "seed", "5")
    fill(page, "name", NAME)
    page.get_by_role("button", name="Generate", exact=True).click()
    page.wait_for_url("**/datasets/")
    page.get_by_role("link", name=NAME, exact=True).wait_for()
    option = elsewhere.page.locator("select[name=dataset] option", has_text=NAME)
    option.wait_for(state="attached")
    watched.until(LOADED)
    watched.assert_clean()
    elsewhere.assert_clean()


def test_what_exists_is_offered(site: Site, shapes: Any, visit: Callable[..., Watched]) -> None:
    watched = visit(site.admin)
    watched.open(f"/datasets/new/?from={shapes.slug}")
    watched.page.get_by_role("button", name="Generate", exact=True).click()
    watched.page.get_by_text("have made").wait_for()
    watched.page.get_by_role("link", name="Open it").click()
    watched.page.wait_for_url(f"**/datasets/{shapes.slug}/")


def test_a_brush_over_a_histogram_filters_the_samples(
    site: Site, shapes: Any, visit: Callable[..., Watched]
) -> None:
    watched = visit(site.admin)
    page = watched.page
    watched.open(f"/datasets/{shapes.slug}/")
    page.locator("#live[data-state=live]").wait_for()
    scale = page.locator(".hist[data-target=scale]")
    scale.scroll_into_view_if_needed()
    box = scale.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 2, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 20, steps=4)
    page.mouse.up()
    page.locator("#samples-range", has_text=f"chosen of {N}").wait_for()
    assert "scale.max=" in page.url
    # Drawn evenly, half of the range is half of the samples; the table of counts adds up.
    shown = page.locator("[data-arrows] figure").count()
    assert shown == pytest.approx(N / 2, abs=2)
    sums = "[...document.querySelectorAll('.target:has([data-target=scale]) tfoot td')].map((td) => +td.textContent)"
    assert page.evaluate(sums) == [N, shown]
    most = float(page.get_by_label("Greatest scale").input_value())
    first = page.locator("[data-arrows] svg").first
    first.hover()
    said = page.locator("#said").inner_text()
    assert "scale " in said
    assert float(said.split("scale ")[1].split(",")[0]) <= most + 0.01

    page.get_by_label("Sort by").select_option("x")
    page.wait_for_url("**sort=x**")
    page.locator(".target:has([data-target=scale])").get_by_role("button", name="Clear").click()
    page.locator("#samples-range", has_text=f"1 to {N} of {N}").wait_for()
    page.go_back()
    page.locator("#samples-range", has_text=f"chosen of {N}").wait_for()
    watched.assert_clean()


def test_upload_remove_and_take_back(site: Site, visit: Callable[..., Watched]) -> None:
    watched = visit(site.admin)
    page = watched.page
    watched.open("/datasets/import/")
    file = io.BytesIO()
    images = np.random.default_rng(0).integers(0, 2, (30, 20, 20), dtype=np.uint8)
    np.savez(file, images=images, digit=np.arange(30) % 10)
    page.get_by_label("File", exact=True).set_input_files(
        {"name": "noise.npz", "mimeType": "application/octet-stream", "buffer": file.getvalue()}
    )
    page.get_by_text("NumPy arrays (.npz)").wait_for()
    page.get_by_role("button", name="Look what is in it").click()
    page.wait_for_url("**/datasets/import/*/")
    page.get_by_text("under a tenth of what uint8 holds").wait_for()
    watched.until(f"{LOADED} && document.querySelectorAll('#preview svg image').length === 8")
    assert page.get_by_label("Scale").input_value() == "0..1"

    # What is changed is said to be no longer what the preview shows; another look shows it.
    assert not page.get_by_label("Unit of digit").is_visible()
    page.get_by_label("Name of digit").fill("Ziffer")
    page.get_by_label("Resize to").fill("2")
    page.get_by_text("changed since this preview").wait_for()
    page.get_by_role("button", name="Preview again").click()
    page.get_by_text("each side may be 8 to").wait_for()
    # A browser writes down that a page came with the status of a refusal.
    assert "status of 422" in watched.problems.pop()
    assert page.get_by_label("Name of digit").input_value() == "Ziffer"
    page.get_by_label("Resize to").fill("16 x 12")
    first = page.url
    page.get_by_role("button", name="Preview again").click()
    page.wait_for_url(lambda url: url != first)
    page.locator("#preview-said", has_text="16").wait_for()
    page.get_by_role("img", name="Histogram of Ziffer").wait_for()
    page.get_by_role("button", name="Import", exact=True).click()
    page.wait_for_url("**/datasets/")
    page.get_by_role("link", name="noise", exact=True).click()
    page.get_by_text("30 of 1").wait_for()
    assert page.locator("#imported").get_by_text("Ziffer").is_visible()

    page.get_by_role("button", name="Delete").click()
    page.wait_for_url("**/datasets/")
    page.get_by_text("noise was removed.").wait_for()
    assert page.get_by_role("link", name="noise", exact=True).count() == 0
    page.get_by_role("button", name="Undo").click()
    page.get_by_role("link", name="noise", exact=True).wait_for()
    watched.assert_clean()


def looked_at(site: Site, *, scale: str = "") -> str:
    """Return the page of a look at an archive with columns of each kind, a split, and images of 13 bits."""
    from django.core.files.uploadedfile import SimpleUploadedFile

    from accsite.apps.datasets.services import imports, uploads

    rng, n = np.random.default_rng(1), 60
    file = io.BytesIO()
    np.savez(
        file,
        images=rng.integers(0, 8000, (n, 24, 24)).astype(np.uint16),
        latents=rng.normal(size=(n, 3)),
        kind=rng.choice(["heart", "square", "ellipse"], n),
        orientation=rng.uniform(0, 360, n),
        split=np.repeat(["train", "test"], [40, 20]),
        a_column_with_a_name_that_is_longer_than_a_phone_is_wide=np.arange(n) % 7,
        index=np.arange(n),
    )
    job = imports.submit_import(
        actor=site.admin,
        upload=uploads.keep(SimpleUploadedFile("things seen by the camera.npz", file.getvalue())),
        changes={"scale": scale} if scale else None,
        look=True,
    )
    site.stack.state(job, "SUCCEEDED")
    return f"/datasets/import/{job.pk}/"


FITS = "document.documentElement.scrollWidth <= window.innerWidth"


def test_the_page_of_a_look_is_clear_of_obstacles_and_fits_every_screen(
    site: Site, visit: Callable[..., Watched]
) -> None:
    watched = visit(site.admin)
    page = watched.page
    asked, clear = looked_at(site), looked_at(site, scale="0..8191")
    for where in (asked, clear):
        watched.open(where)
        page.get_by_role("button", name="Import", exact=True).wait_for()
        page.wait_for_load_state("networkidle")
        assert page.evaluate("window.shift") < 0.05
        assert_accessible(watched, where)
    page.get_by_label("Resize to").fill("2")
    page.get_by_role("button", name="Preview again").click()
    page.get_by_text("each side may be 8 to").wait_for()
    assert "status of 422" in watched.problems.pop()
    assert_accessible(watched, f"{clear} refused")
    # A phone, and a screen of 1280 at 200 %, on which a pixel of the page is two of the screen.
    for width, height in ((320, 640), (640, 400)):
        page.set_viewport_size({"width": width, "height": height})
        for where in (asked, clear):
            watched.open(where)
            page.get_by_role("button", name="Import", exact=True).wait_for()
            assert page.evaluate(FITS), (where, width)
            assert_accessible(watched, f"{where} at {width}")
    watched.assert_clean()


def test_a_look_is_decided_previewed_and_imported_by_the_keyboard(
    site: Site, visit: Callable[..., Watched]
) -> None:
    watched = visit(site.admin)
    page = watched.page
    watched.open(looked_at(site))
    page.get_by_text("13 bits of the 16").first.wait_for()
    page.get_by_label("Scale").focus()
    page.keyboard.press("Control+A")
    page.keyboard.type("0..8191")
    name = page.get_by_label("Name of kind")
    name.focus()
    page.keyboard.press("Control+A")
    page.keyboard.type("shape")
    first = page.url
    page.get_by_role("button", name="Preview again").focus()
    page.keyboard.press("Enter")
    page.wait_for_url(lambda url: url != first)
    page.get_by_role("img", name="Histogram of shape").wait_for()
    page.get_by_role("button", name="Import", exact=True).focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/datasets/")
    page.get_by_role("link", name="things seen by the camera", exact=True).first.click()
    page.get_by_text("40 training, 20 test, as it came with the data").wait_for()
    watched.assert_clean()


def test_a_look_is_read_and_imported_without_scripts(site: Site, visit: Callable[..., Watched]) -> None:
    state = visit(site.admin).page.context.storage_state()
    watched = visit(storage_state=state, java_script_enabled=False)
    page = watched.page
    watched.open(looked_at(site, scale="0..8191"))
    page.get_by_label("Name of kind").fill("form")
    page.get_by_label("Resize to").fill("2")
    page.get_by_role("button", name="Preview again").click()
    page.get_by_text("each side may be 8 to").wait_for()
    assert page.get_by_label("Name of kind").input_value() == "form"
    page.get_by_label("Resize to").fill("12")
    page.get_by_role("button", name="Preview again").click()
    page.wait_for_url("**/datasets/import/*/")
    job = int(page.url.rstrip("/").rpartition("/")[2])
    from accsite.apps.jobs.models import Job

    site.stack.state(Job.objects.get(pk=job), "SUCCEEDED")
    page.reload()
    assert page.get_by_role("img", name="Histogram of form").is_visible()
    page.get_by_label("Name of the dataset").fill("Seen without scripts")
    page.get_by_role("button", name="Import", exact=True).click()
    page.wait_for_url("**/datasets/")
    site.stack.state(Job.objects.filter(kind="import").latest("pk"), "SUCCEEDED")
    page.reload()
    page.get_by_role("link", name="Seen without scripts", exact=True).click()
    page.get_by_text(re.compile("60 of 1 . 12 . 12")).wait_for()


def test_one_that_is_in_use_says_by_whom(site: Site, visit: Callable[..., Watched]) -> None:
    watched = visit(site.admin)
    watched.open(f"/datasets/{DATASET}/")
    assert "cannot be deleted" in watched.page.locator("#users").inner_text()
    assert watched.page.get_by_role("button", name="Delete").count() == 0


def test_a_dataset_leads_on_to_training_on_it(site: Site, shapes: Any, visit: Callable[..., Watched]) -> None:
    watched = visit(site.admin)
    page = watched.page
    watched.open("/datasets/")
    page.get_by_role("link", name=NAME, exact=True).click()
    page.wait_for_url(f"**/datasets/{shapes.slug}/")
    page.get_by_text("Train on this").click()
    page.get_by_role("link", name="In a new experiment").click()
    page.wait_for_url("**/experiments/new/**")
    assert page.get_by_label("Images like those of").input_value() == shapes.slug
    watched.assert_clean()


def test_a_file_is_dropped_on_the_zone(site: Site, visit: Callable[..., Watched]) -> None:
    watched = visit(site.admin)
    page = watched.page
    watched.open("/datasets/import/")
    page.locator("#drop").wait_for()
    page.evaluate("""() => {
        const files = new DataTransfer();
        files.items.add(new File([new Uint8Array(16)], "images.npy"));
        for (const type of ["dragover", "drop"]) document.querySelector("#drop strong").dispatchEvent(
            new DragEvent(type, { bubbles: true, cancelable: true, dataTransfer: files }));
    }""")
    page.get_by_text("no kind that is known by how it begins (.npy)").wait_for()
    assert page.evaluate("document.querySelector('#drop [type=file]').files[0].name") == "images.npy"
    watched.assert_clean()


def test_compare_two(site: Site, shapes: Any, visit: Callable[..., Watched]) -> None:
    watched = visit(site.admin)
    page = watched.page
    watched.open("/datasets/compare/")
    page.get_by_label("A", exact=True).select_option(shapes.slug)
    page.get_by_label("B", exact=True).select_option(shapes.slug)
    page.get_by_role("button", name="Compare").click()
    page.wait_for_url("**/compare/?a=**")
    # Beside itself nothing differs: each sample is its own neighbour.
    table = page.get_by_role("group", name="Nearest neighbours").locator("table")
    rows = [row.inner_text().split()[-3:] for row in table.locator("tr").all()]
    assert rows[0] == rows[1] == ["7", "8", "9"]
    assert rows[2] == ["0.000"] * 3
    counts = page.evaluate("""[...document.querySelectorAll('.shared > div:first-child tbody tr')]
        .map((row) => [...row.querySelectorAll('td')].map((td) => +td.textContent))""")
    assert sum(ours for ours, _ in counts) == N
    assert all(ours == theirs for ours, theirs in counts)
    watched.until(LOADED)
    watched.assert_clean()


def test_without_scripts_pages_read_and_forms_submit(
    site: Site, shapes: Any, visit: Callable[..., Watched]
) -> None:
    state = visit(site.admin).page.context.storage_state()
    watched = visit(storage_state=state, java_script_enabled=False)
    page = watched.page
    watched.open(f"/datasets/{shapes.slug}/")
    page.get_by_label("Least scale").fill("5")
    page.get_by_role("button", name="Show").first.click()
    page.wait_for_url("**scale.min=5**")
    assert f"chosen of {N}" in page.locator("#samples-range").inner_text()
    watched.open("/datasets/new/?generator=ShapesGrid")
    page.get_by_label("classes").fill("99")
    page.get_by_role("button", name="Generate", exact=True).click()
    assert "'99' is above" in page.locator(".field .error").inner_text()
    assert page.get_by_label("classes").input_value() == "99"
