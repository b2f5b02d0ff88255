// What was measured: choices that show themselves, linked steps of traversals, scrubbing, opacity, pictures to save.

const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];

// A choice shows what it chose.
document.addEventListener("change", ({ target }) => target.matches("[data-submit]") && target.form.requestSubmit());

// Traversals: the step under the pointer is marked in every figure beside it, with its value in each.
function mark(linked, step) {
	for (const group of $$("[data-step]", linked)) {
		const on = group.dataset.step === step;
		if (group.classList.contains("on") !== on) group.classList.toggle("on", on);
		if (on) group.closest("figure").querySelector(".readout").textContent = group.dataset.words;
	}
	if (step === null) for (const output of $$(".readout", linked)) output.textContent = "";
}
document.addEventListener("pointerover", ({ target }) => {
	const group = target.closest?.("[data-step]");
	const linked = group?.closest("[data-linked]");
	if (linked) mark(linked, group.dataset.step);
});
document.addEventListener("pointerout", ({ target, relatedTarget }) => {
	const linked = target.closest?.("[data-step]")?.closest("[data-linked]");
	if (linked && !relatedTarget?.closest?.("[data-step]")) mark(linked, null);
});

// Scrubbing: the same images at each step of the branch that is kept; all are fetched with the first touch.
const fetched = new Map();
document.addEventListener("input", ({ target }) => {
	if (target.dataset.frames) scrub(target);
	if ("opacity" in target.dataset) fade(target);
});
function scrub(range) {
	const figure = range.closest("[data-scrub]");
	const frames = range.dataset.frames.split(" ").map((pair) => pair.split(/:(.*)/));
	for (const [, url] of frames) if (!fetched.has(url)) fetched.set(url, Object.assign(new Image(), { src: url }));
	const [step, url] = frames[range.value];
	const image = figure.querySelector("img");
	image.dataset.keep = "src alt";
	image.src = url;
	image.alt = image.alt.replace(/at step \d+/, `at step ${step}`);
	range.nextElementSibling.textContent = Number(step).toLocaleString("en");
	const link = figure.querySelector("[data-shown]");
	Object.assign(link, { href: url, download: link.download.replace(/\d+\.png$/, `${step}.png`) });
}

// A film: the steps one after the other, from the first again once the last was shown; a hand on the range ends it.
const FRAME_MS = 350;
let film = null;
function stop() {
	clearInterval(film?.timer);
	if (film) Object.assign(film.button, { textContent: "Play", ariaPressed: "false" });
	film = null;
}
function play(button) {
	const running = film?.button === button;
	stop();
	if (running) return;
	const range = button.parentElement.querySelector("[data-frames]");
	const show = (place) => {
		range.value = place;
		scrub(range);
	};
	if (Number(range.value) === Number(range.max)) show(0);
	Object.assign(button, { textContent: "Pause", ariaPressed: "true" });
	const next = () => (Number(range.value) < Number(range.max) ? show(Number(range.value) + 1) : stop());
	film = { button, timer: setInterval(next, FRAME_MS) };
}
document.addEventListener("click", ({ target }) => {
	const button = target.closest("[data-play]");
	if (button) play(button);
});
document.addEventListener("pointerdown", ({ target }) => target.dataset?.frames && stop());
document.addEventListener("htmx:after:swap", () => film && !film.button.isConnected && stop());

function fade(range) {
	document.querySelector(".attention").style.setProperty("--map-opacity", range.value / 100);
	range.nextElementSibling.textContent = `${range.value} %`;
}

// A figure as a PNG; the module that draws it is fetched with the first.
document.addEventListener("click", async ({ target }) => {
	const name = target.closest("[data-save]")?.dataset.save;
	if (!name) return;
	const figure =
		name === "*" ? document.getElementById("compared") : document.querySelector(`[data-figure="${CSS.escape(name)}"]`);
	const { save } = await import("./figure.js");
	await save(figure, name === "*" ? `comparison-${figure.dataset.tab}` : name);
});

// A list of checkpoints: what is ticked can be compared, two or more of them, and no more than stand side by side.
const picks = document.getElementById("picks");
function pick() {
	const ticked = $$("[name=pick]:checked", picks).length;
	const most = Number(picks.dataset.most);
	for (const box of $$("[name=pick]", picks)) box.disabled = ticked >= most && !box.checked;
	const button = document.getElementById("compare-picked");
	button.disabled = ticked < 2;
	button.textContent = ticked > 1 ? `Compare ${ticked}` : "Compare";
	const more = ticked === 1 ? "One more to compare with." : `Tick two to ${most} checkpoints.`;
	document.getElementById("picked-said").textContent = ticked > 1 ? "" : more;
}
if (document.getElementById("compare-picked")) {
	picks.addEventListener("change", pick);
	addEventListener("pageshow", pick);
}
