"""In a real browser a latent is taken in hand: by sliders, from images, side by side, in the page, in a sent file."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from playwright.sync_api import Browser, Error, Locator, Page
from torch import nn

from acc.api import Decoded, ImageShape, Model, ModelSpec
from acc.models.export import decoder_to_onnx
from tests.e2e.conftest import Site, Watched, at_rest
from tests.e2e.test_pages import assert_accessible
from tests.stack import DATASET

# The first test starts the whole platform.
pytestmark = pytest.mark.timeout(600)

# Of a copy: a canvas that is read again and again is told of as slow.
PIXELS = """(canvas) => {
  const copy = Object.assign(document.createElement("canvas"), { width: canvas.width, height: canvas.height });
  const context = copy.getContext("2d", { willReadFrequently: true });
  context.drawImage(canvas, 0, 0);
  return [...context.getImageData(0, 0, copy.width, copy.height).data].filter((_, at) => at % 4 === 0);
}"""
SHOWN = "[data-picture='0'] canvas:not([hidden])"


@pytest.fixture(scope="module")
def branch(site: Site) -> Any:
    """A branch of its own with two ends of trainings, at rest."""
    return at_rest(site, "in the hand")


@pytest.fixture(scope="module")
def ends(branch: Any) -> list[Any]:
    return list(branch.experiment.checkpoints.filter(kind="final").order_by("pk"))


def pixels(picture: Locator) -> list[int]:
    """Return the red of what a canvas shows."""
    return picture.evaluate(PIXELS)


def taken(watched: Watched, where: str = SHOWN) -> list[int]:
    """Return what the first picture shows, once something is drawn."""
    watched.page.locator(where).wait_for()
    return pixels(watched.page.locator(where))


def changed(watched: Watched, before: list[int]) -> list[int]:
    """Return what the first picture shows, once it is something else than before."""
    for _ in range(200):
        if (now := pixels(watched.page.locator(SHOWN))) != before:
            return now
        watched.page.wait_for_timeout(50)
    raise AssertionError(f"the picture stays as it is: {said(watched.page)}")


def said(page: Page) -> str:
    return page.locator("[data-sentence]").inner_text()


def settled(watched: Watched, wanted: str) -> None:
    watched.until(f"location.search.includes({wanted!r})")


def test_the_picture_follows_the_slider_on_the_workbench_and_opening_it_asks_nothing(
    site: Site, branch: Any, visit: Callable[..., Watched]
) -> None:
    watched = visit(site.admin)
    page = watched.page
    sockets: list[str] = []
    page.on("websocket", lambda socket: sockets.append(socket.url))
    watched.open(f"/w/{branch.experiment.slug}/{branch.slug}/")
    page.locator("#live[data-state=live]").wait_for()
    page.wait_for_timeout(500)
    assert not [url for url in sockets if "/ws/latent/" in url], "nothing is asked before the first touch"
    assert not [url for url in watched.requests if url.endswith("hand.js")]
    assert page.locator(SHOWN).count() == 0
    assert set(page.locator(".latent-axis output").all_inner_texts()) <= {"\u2013", ""}, (
        "nothing is known of them yet"
    )
    watched.assert_still()

    digit = page.get_by_role("slider", name="digit", exact=True)
    digit.press("ArrowRight")
    first = taken(watched)
    assert "seed" not in said(page), "it begins at the middle"
    digit.press("End")
    last = changed(watched, first)
    settled(watched, "axis=digit")
    assert digit.input_value() == "3"
    assert "3.00 standard deviations" in (digit.get_attribute("aria-valuetext") or "")
    assert page.locator("[data-strip] canvas:not([hidden])").count() == 7
    assert pixels(page.locator("[data-strip] canvas").last) == last, "the strip ends where the slider does"

    box = page.get_by_role("slider", name="free").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + 8, box["y"] + box["height"] / 2, steps=8)
    page.mouse.up()
    changed(watched, last)
    settled(watched, "axis=free")
    page.locator("#latent summary").first.click()
    page.get_by_role("slider", name="2", exact=True).press("Home")
    settled(watched, "axis=d2")
    assert_accessible(watched, "the workbench with a latent in the hand")
    watched.assert_clean()
    watched.assert_still()


def test_a_latent_is_in_its_address_with_the_seed_it_was_drawn_by(
    site: Site, ends: list[Any], visit: Callable[..., Watched]
) -> None:
    watched = visit(site.admin)
    page = watched.page
    watched.open(f"/latent/?a={ends[0].pk}")
    page.get_by_label("seed").fill("77")
    drawn = taken(watched)
    settled(watched, "seed=77")
    page.get_by_role("slider", name="digit", exact=True).press("End")
    moved = changed(watched, drawn)
    settled(watched, "by=")
    assert "seed 77" in said(page)

    again = visit(site.admin)
    again.open(page.url.removeprefix(site.url))
    assert again.page.locator(SHOWN).count() == 0
    assert again.page.get_by_label("seed").input_value() == "77"
    again.page.get_by_role("slider", name="digit", exact=True).press("End")
    assert taken(again) == moved
    again.page.get_by_role("button", name="Back to its start").click()
    assert changed(again, moved) == drawn
    again.page.get_by_role("button", name="Shuffle").click()
    changed(again, drawn)
    again.assert_clean()


def test_it_begins_at_any_image_and_up_to_four_stand_beside_each_other_with_their_mixture(
    site: Site, ends: list[Any], visit: Callable[..., Watched]
) -> None:
    watched = visit(site.admin)
    page = watched.page
    watched.open(f"/latent/?a={ends[0].pk}&b={ends[1].pk}")
    page.get_by_label("image of").select_option(DATASET)
    first = taken(watched)
    settled(watched, f"image={DATASET}:0")
    page.get_by_label("number of the image").fill("5")
    a = changed(watched, first)
    page.locator("[data-picture='1'] canvas:not([hidden])").wait_for()
    b = pixels(page.locator("[data-picture='1'] canvas"))
    assert a != b
    page.get_by_role("slider", name="A to B").press("End")
    mixed = changed(watched, a)
    settled(watched, "part=1")
    assert np.abs(np.subtract(mixed, a)).sum() > 0
    page.get_by_role("button", name="Play").click()
    changed(watched, mixed)
    page.get_by_role("button", name="Stop").click()
    assert_accessible(watched, "two checkpoints in the hand")
    watched.assert_clean()
    watched.assert_still()


def test_a_decoder_in_the_page_has_torch_s_numbers_and_is_loaded_only_when_asked_for(
    site: Site, ends: list[Any], visit: Callable[..., Watched]
) -> None:
    from acc.evaluation.hand import LatentHand
    from workers.job.materials import classes_of, load_checkpoint

    watched = visit(site.admin)
    page = watched.page
    watched.open(f"/latent/?a={ends[0].pk}&b={ends[1].pk}&seed=5")
    assert watched.open(f"/latent/{ends[0].pk}/decoder.onnx").status == 404, "nobody has asked for it"
    watched.open(f"/latent/?a={ends[0].pk}&b={ends[1].pk}&seed=5")
    page.get_by_role("slider", name="digit", exact=True).press("End")
    by_server = taken(watched)
    page.wait_for_timeout(300)
    assert not [url for url in watched.requests if "onnx" in url.replace("decoder.onnx", "")]
    page.get_by_role("button", name="Decode in the browser").click()
    page.locator("[data-here][aria-pressed=true]").wait_for()
    page.wait_for_timeout(500)
    here = pixels(page.locator(SHOWN))
    assert np.abs(np.subtract(here, by_server)).max() <= 1, "of 255, where both round"

    made = load_checkpoint(ends[0])
    hand = LatentHand(made, classes_of(made.header.spec.plugins), None)
    latents = np.stack([hand.draw(seed) for seed in range(4)])
    found = page.evaluate(
        """async ([address, rows, shape]) => {
          const { Decoder } = await import("/static/js/onnx.js");
          const decoder = new Decoder(await (await fetch(address)).arrayBuffer());
          return rows.map((row) => [...decoder.run(Float32Array.from(row), shape).data]);
        }""",
        [f"/latent/{ends[0].pk}/decoder.onnx", latents.reshape(4, -1).tolist(), list(hand.reach.shape)],
    )
    np.testing.assert_allclose(np.array(found).ravel(), hand.images(latents).numpy().ravel(), atol=1e-4)
    page.get_by_role("slider", name="A to B").press("End")
    changed(watched, here)
    assert [problem for problem in watched.problems if "404" not in problem] == []
    assert page.evaluate("window.reports") == []


def test_what_is_sent_as_one_file_opens_without_a_network(
    site: Site, ends: list[Any], visit: Callable[..., Watched], browser: Browser, tmp_path: Path
) -> None:
    watched = visit(site.admin)
    page = watched.page
    watched.open(f"/latent/?a={ends[0].pk}&b={ends[1].pk}&seed=9")
    page.get_by_role("slider", name="digit", exact=True).press("End")
    shown = taken(watched)
    with page.expect_download() as saving:
        page.get_by_role("button", name="Save as one file").click()
    file = tmp_path / "sent.html"
    saving.value.save_as(file)
    assert site.url not in file.read_text(), "it knows nothing of where it is from"
    assert "csrf" not in file.read_text()
    watched.assert_clean()

    context = browser.new_context(offline=True)
    try:
        sent = context.new_page()
        problems: list[str] = []
        sent.on("pageerror", lambda error: problems.append(str(error)))
        sent.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
        sent.goto(file.as_uri())
        sent.locator(SHOWN).wait_for()
        alone = pixels(sent.locator(SHOWN))
        assert np.abs(np.subtract(alone, shown)).max() <= 1
        sent.get_by_role("slider", name="free").press("Home")
        sent.wait_for_timeout(1000)
        moved = pixels(sent.locator(SHOWN))
        assert moved != alone
        sent.get_by_role("slider", name="A to B").press("End")
        sent.get_by_role("button", name="Shuffle").click()
        sent.wait_for_timeout(1000)
        assert pixels(sent.locator(SHOWN)) != moved
        sent.get_by_role("button", name="Play").click()
        sent.get_by_role("button", name="Stop").wait_for()
        assert problems == []
    finally:
        context.close()


ASK = """(pk) => new Promise((done) => {
  const socket = new WebSocket(location.origin.replace("http", "ws") + "/ws/latent/");
  socket.binaryType = "arraybuffer";
  const question = JSON.stringify({ id: 1, ask: "open", checkpoint: pk });
  socket.onopen = () => socket.send(new TextEncoder().encode(`${question}\\n`));
  socket.onmessage = ({ data }) => done(new TextDecoder().decode(data));
  socket.onclose = () => done("closed");
})"""


LINES = """async (pk) => {
  const { ServerSource } = await import("/static/js/latent_socket.js");
  const source = new ServerSource("/ws/latent/");
  const why = (asked) => asked.then(() => "answered", (error) => error.message);
  await source.open(pk);
  const { socket } = source.line;
  const told = socket.onclose; // it comes when it likes: here, while the next socket has a question
  socket.onclose = null;
  socket.close();
  await source.connect();
  const asked = why(source.open(pk));
  await source.connect();
  told({ reason: "" });
  const found = [await asked];
  source.line.socket.send(new Uint8Array(110_000));
  found.push(await why(source.open(pk)));
  await source.open(pk);
  source.line.socket.send = () => {};
  window.late = why(source.open(pk));
  await source.connect();
  return found;
}"""


def test_each_socket_has_its_own_questions_and_none_waits_for_ever(
    site: Site, ends: list[Any], visit: Callable[..., Watched]
) -> None:
    watched = visit(site.admin)
    watched.open("/devices/")
    watched.page.clock.install()
    answered, closed = watched.page.evaluate(LINES, ends[0].pk)
    assert answered == "answered", "an older socket's end is none of the newer one"
    assert "has at most" in closed, "the reason of the server is shown"
    watched.page.clock.fast_forward(20_000)
    assert "has not answered" in watched.page.evaluate("window.late")


def test_who_may_not_see_an_experiment_gets_no_pixel_of_it(site: Site, visit: Callable[..., Watched]) -> None:
    from accsite.apps.training.models import Visibility

    branch = at_rest(site, "hidden in the hand")
    branch.refresh_from_db()
    experiment, pk = branch.experiment, branch.head_id
    watched = visit(site.guest)
    watched.open("/devices/")
    assert '"shape"' in watched.page.evaluate(ASK, pk)
    experiment.visibility, experiment.owner = Visibility.PRIVATE, site.admin
    experiment.save()
    watched.page.wait_for_timeout(1100)
    assert "you may not see it" in watched.page.evaluate(ASK, pk)
    for path in (f"/latent/?a={pk}", f"/latent/{pk}/decoder.onnx", f"/latent/branch/{branch.pk}/heads/"):
        assert watched.open(path).status == 404, path
    assert "there is no such checkpoint" in visit_and_ask(visit, site.guest, 987_654)


def visit_and_ask(visit: Callable[..., Watched], user: Any, pk: int) -> str:
    watched = visit(user)
    watched.open("/devices/")
    return watched.page.evaluate(ASK, pk)


class Layered(Model):
    """A plugin's decoder of many kinds of layers, of colour."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__(spec)
        self.begin = nn.Linear(spec.latent_dim, 256)
        self.layers = nn.Sequential(
            *(nn.BatchNorm2d(16), nn.LeakyReLU(0.2), nn.Upsample(scale_factor=2), nn.ReflectionPad2d(1)),
            *(nn.Conv2d(16, 12, 3), nn.GroupNorm(3, 12), nn.SiLU()),
            *(nn.ConvTranspose2d(12, 8, 3, stride=2, padding=1, output_padding=1, groups=2), nn.ELU()),
            *(nn.InstanceNorm2d(8, affine=True), nn.Upsample(scale_factor=2, mode="bilinear")),
            *(nn.Conv2d(8, 8, 3, padding=2, dilation=2, groups=4), nn.GELU("tanh"), nn.AvgPool2d(2)),
            nn.Upsample(size=(28, 28), mode="bilinear", align_corners=True),
            *(nn.Conv2d(8, 3, 1), nn.Softplus(), nn.Hardtanh(-2, 2)),
        )

    def posterior(self, x_BCHW: torch.Tensor) -> tuple[torch.Tensor, None]:  # noqa: N803 - as its base
        return x_BCHW.flatten(1)[:, : self.latent_dim], None

    def decode_logits(self, z: torch.Tensor) -> Decoded:
        drawn = self.layers(self.begin(z).view(-1, 16, 4, 4))
        drawn = drawn - drawn.mean(dim=(2, 3), keepdim=True)
        drawn = torch.where(drawn > 0, drawn, drawn.abs().sqrt())
        return Decoded(torch.stack([drawn, drawn.flip(3)]).amax(0) * drawn.std(dim=1, keepdim=True))


def test_a_decoder_of_many_kinds_of_layers_has_torch_s_numbers_and_one_of_others_is_refused_by_name(
    site: Site, visit: Callable[..., Watched]
) -> None:
    torch.manual_seed(0)
    image = ImageShape(channels=3, height=28, width=28)
    model = Layered(ModelSpec(architecture="Layered", latent_dim=6, image=image)).eval()
    latents = torch.randn(3, 6)
    file = base64.b64encode(decoder_to_onnx(model, (6,))).decode()
    watched = visit(site.admin)
    watched.open("/devices/")
    run = """async ([file, rows]) => {
      const { Decoder } = await import("/static/js/onnx.js");
      const decoder = new Decoder(Uint8Array.from(atob(file), (letter) => letter.charCodeAt(0)).buffer);
      return rows.map((row) => [...decoder.run(Float32Array.from(row), [6]).data]);
    }"""
    found = watched.page.evaluate(run, [file, latents.tolist()])
    with torch.no_grad():
        np.testing.assert_allclose(np.array(found).ravel(), model.decode(latents).numpy().ravel(), atol=1e-4)

    def summed(z: torch.Tensor) -> Decoded:
        return Decoded(torch.cumsum(z, 1)[:, :3, None, None].expand(-1, 3, 28, 28))

    model.decode_logits = summed  # type: ignore[method-assign]
    other = base64.b64encode(decoder_to_onnx(model, (6,))).decode()
    with pytest.raises(Error, match="the decoder uses CumSum, which a page cannot compute"):
        watched.page.evaluate(run, [other, latents.tolist()])
