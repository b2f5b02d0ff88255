// The loss chart of a page: joins the points of a job, the address bar, the tiles, the legend and the socket.

import { LossChart } from "./chart.js";
import { keys } from "./app.js";
import { unwatch, watch } from "./live.js";
import { compact } from "./numbers.js";
import { Points } from "./points.js";
import { Tiles } from "./tiles.js";

const panel = document.getElementById("loss");
const job = () => document.getElementById("job").dataset; // the job to show, as its header says
const $ = (selector) => panel.querySelector(selector);
const $$ = (selector) => [...document.querySelectorAll(selector)];
const tiles = () => $$("#tiles [data-series]"); // one for each task: what the page knows of its loss
let points = null;
let wanted = 0;

// The view's state is the address: ?smooth=.6&y=log&x=time&of=job&v=weighted&from=&to=&hide=a,b&overlay=41,40
const DEFAULTS = {
	smooth: "0.6",
	y: "log",
	x: "step",
	of: "",
	v: "raw",
	base: "",
	from: "",
	to: "",
	hide: "",
	overlay: "",
	table: "",
	curves: "",
};
const state = { ...DEFAULTS };
function readAddress() {
	const query = new URLSearchParams(location.search);
	for (const name in DEFAULTS) state[name] = query.get(name) ?? DEFAULTS[name];
	if (!(Number(state.smooth) >= 0 && Number(state.smooth) < 1)) state.smooth = DEFAULTS.smooth;
}
const setState = (...changes) => import("./controls.js").then((controls) => controls.setState(view, ...changes));
const isShown = ({ dataset: { series } }) => !state.hide.split(",").includes(series);
function showControls() {
	for (const name of ["smooth", "v", "x"]) $(`[name=${name}]`).value = state[name];
	$("output").textContent = Number(state.smooth).toFixed(2).replace(/^0/, "");
	for (const button of $$("[data-flip]")) button.ariaPressed = state[button.dataset.flip] === button.dataset.on;
	for (const button of $$("[data-pick]")) button.ariaPressed = state[button.dataset.pick] === button.dataset.value;
	$("[data-reset]").hidden = !state.from;
	$("#curves").open = Boolean(state.curves);
	showLegend();
	const laid = new Set(state.overlay.split(","));
	for (const box of $$("[data-overlay]")) box.checked = laid.has(box.dataset.overlay);
}
// The legend has what the tiles have, in their order; a tile is pressed where its curve is alone.
function showLegend() {
	const all = tiles();
	const shown = all.filter(isShown);
	const entries = all
		.map((tile) => `${tile.dataset.series} ${tile.dataset.slot} ${tile.dataset.dash} ${tile.dataset.name}`)
		.join("\n");
	const legend = $("#legend");
	if (legend.shown !== entries) {
		legend.shown = entries;
		legend.replaceChildren(
			...all.map((tile) => {
				const { series, slot, dash } = tile.dataset;
				const button = document.createElement("button");
				button.type = "button";
				Object.assign(button.dataset, { series, slot, dash });
				button.append(...tile.querySelector("[data-large]").cloneNode(true).childNodes);
				return button;
			}),
		);
	}
	const names = new Set(shown.map((tile) => tile.dataset.series));
	for (const button of legend.children) button.ariaPressed = names.has(button.dataset.series);
	const alone = all.length > 1 && shown.length === 1 ? shown[0] : null;
	for (const tile of all) tile.querySelector("[data-large]").ariaPressed = tile === alone;
	$("#loss-title").textContent = shown.length === 1 ? shown[0].dataset.name : "Loss";
}

// What is not always needed is fetched when it is: each module has attach(view), whose draw() follows the chart's.
const view = {
	panel,
	state,
	DEFAULTS,
	job,
	tiles,
	isShown,
	setState,
	showControls,
	redraw,
	range,
	zoom,
	points: () => points,
	flags: [], // what is marked on the chart beside the events: { id, step, text }
};
const PARTS = {
	branch: [() => job().line && state.x === "step" && !state.of, () => import("./branch.js")],
	overlay: [() => state.overlay, () => import("./overlay.js")],
	curves: [() => state.curves, () => import("./curves.js")],
	table: [() => state.table, () => import("./table.js")],
	clock: [() => state.x === "time", () => import("./clock.js")],
	marks: [() => view.flags.length || document.querySelector("#events [data-step]"), () => import("./marks.js")],
	health: [() => job().active, () => import("./health.js")],
};
const parts = {};
const inOrder = () => Object.keys(PARTS).flatMap((name) => parts[name] ?? []);
function fetchParts() {
	for (const [name, [needed, fetched]] of Object.entries(PARTS))
		if (needed() && !parts[name]) {
			parts[name] = {}; // so that it is fetched once
			fetched().then(({ attach }) => {
				parts[name] = attach(view);
				redraw();
			});
		}
}

// Drawing, at most once a frame of the screen.
const chart = (view.chart = new LossChart($(".plot"), {
	onZoom: (from, to) => zoom(from && view.step(from), to && view.step(to)),
	onCursor: (x, values) => view.pictures.point(x, values),
	ticks: (x) => view.ticks(x),
}));
view.pictures = new Tiles(view);
Object.assign(panel, { view, chart });
function redraw() {
	wanted ||= requestAnimationFrame(() => {
		wanted = 0;
		draw();
	});
}
view.curve = ({ dataset: { series } }) => (state.v === "raw" ? series : series.replace("raw/", "weighted/"));
// What stands at a place of the horizontal axis, unless a part says something else: the job's own step.
const byStep = {
	at: (step) => step,
	step: (x) => x,
	ticks: (tick) => (Number.isInteger(tick) ? tick.toLocaleString("en") : ""),
};
Object.assign(view, byStep);
// Fetch series that were not asked for yet, and again the part that is looked at.
view.need = (names) => {
	const more = points.need(names);
	more?.then(() => state.from !== "" && points.zoom(Number(state.from), Number(state.to))).then(redraw, () => {});
};
view.look = (names, [from, to], smooth = Number(state.smooth)) => {
	const part = points.view(from, to, names, smooth);
	const [x, columns] = parts.branch?.join?.(part, from, names, smooth) ?? part;
	return [x.map(view.at), columns];
};
function draw() {
	fetchParts();
	if (!points) return;
	Object.assign(view, byStep, { flags: [] });
	chart.since = null;
	for (const part of inOrder()) part.ready?.();
	const all = tiles();
	view.need(all.map(view.curve));
	const shown = all.filter(
		(tile) => isShown(tile) && (points.has(view.curve(tile)) || parts.branch?.has?.(view.curve(tile))),
	);
	const based = !state.base && state.v === "raw";
	const series = shown.map((tile) => {
		const { slot, dash, name, base } = tile.dataset;
		return {
			name: view.curve(tile),
			slot: Number(slot),
			dash: Number(dash),
			title: name,
			base: based && base ? Number(base) : null,
		};
	});
	chart.baselines = series.filter(({ base }) => base !== null).map(({ slot, base }) => ({ slot, value: base }));
	const span = range();
	const axis = span.map(view.at);
	const [x, columns] = view.look(all.map(view.curve), span);
	chart.draw(series, [x, columns], axis, state.y === "log", view.ticks);
	for (const part of inOrder()) part.draw?.(span, axis);
	view.pictures.draw(x, columns, axis);
	const bare = !points.end && !(parts.branch?.first?.() < 0);
	$(".over").hidden = !bare;
	if (bare && job().state === "CANCELLED" && job().step === "0") $(".over").textContent = "Cancelled before it began.";
	$(".plot").classList.toggle("bare", bare);
	if (!chart.pointed) showValues();
}
function range() {
	if (state.from !== "") return [Number(state.from), Math.max(Number(state.to), Number(state.from) + 1)];
	const first = parts.branch?.first?.() ?? 0;
	const last = Math.max(first < 0 ? 0 : 1, points.end - 1, ...inOrder().map((part) => part.last?.() ?? 0));
	if (!job().active) return [first, last];
	let to = Number(job().total) || last; // room for what is to come, so that the curve grows and the axis rests
	while (to / 2 > last && to > 100) to /= 2;
	return [first, Math.max(to, last)];
}
// The newest loss of each task stands in the list of jobs, too.
function showValues() {
	// While a panel of another job is on its way, its numbers are not those of the points held.
	if (Number(document.getElementById("tiles").dataset.of) !== points?.job) return;
	for (const {
		dataset: { series },
	} of tiles()) {
		const last = points.last(series);
		const cell = document.querySelector(`#jobs [data-job="${points.job}"] [data-loss="${series}"]`);
		if (cell && last != null) cell.textContent = compact(last);
	}
}

async function zoom(from, to, push = true) {
	if (from != null) await points?.zoom(from, to).catch(() => {});
	const whole = from == null;
	const first = Math.min(0, parts.branch?.first?.() ?? 0);
	const shown = {
		from: whole ? "" : String(Math.max(first, Math.floor(from))),
		to: whole ? "" : String(Math.ceil(to)),
	};
	setState(shown, push);
}

// The job shown: its points come from REST, then from the socket.
async function follow() {
	const id = Number(job().job);
	if ((points?.job ?? -1) === id) return redraw();
	if (points) {
		if (!document.querySelector(`[data-active][data-job="${points.job}"]`)) unwatch(points.job);
		setState({ from: "", to: "" }, false);
	}
	panel.points = points = new Points(
		id,
		job().points,
		tiles().map(({ dataset }) => dataset.series),
	);
	$("#chart-export").hidden = !id;
	if (!id) return redraw(); // what the branch begins from is all there is
	for (const link of document.querySelectorAll("[data-export]")) {
		link.href = `${job().points}?format=${link.dataset.export}`;
	}
	Object.assign($("[data-path]").dataset, { path: job().points, cli: JSON.stringify(["jobs", "losses", String(id)]) });
	watch(id);
	try {
		await points.load(Number(job().step));
		if (state.from !== "") await points.zoom(Number(state.from), Number(state.to));
	} catch (error) {
		$(".over").textContent = `The loss history could not be loaded: ${error.message}`;
	}
	redraw();
}

function restore() {
	readAddress();
	showControls();
}
restore();
follow();

document.addEventListener("acc:frame", ({ detail: frame }) => {
	if (frame.header.job !== points?.job) return;
	for (const part of inOrder()) part.frame?.(frame.header);
	points.frame(frame)?.then(redraw, () => {});
	redraw();
});
document.addEventListener("acc:job", ({ detail }) => {
	if (detail.id === points?.job && detail.step > points.end && detail.ended) points.heal().then(redraw, () => {});
});
document.addEventListener("acc:reconnected", () => points?.job && points.heal().then(redraw, () => {}));
document.addEventListener("acc:theme", redraw);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
document.addEventListener("htmx:after:swap", () => {
	showControls();
	follow();
});
addEventListener("popstate", () => {
	restore();
	zoom(state.from || null, state.to, false);
});

// What the controls do is fetched with the first use of one.
function handle({ type, target, altKey }) {
	const { value, checked } = target; // as they are now: a panel may be swapped before the module is here
	import("./controls.js").then((controls) => controls.handle(view, { type, target, altKey, value, checked }));
}
for (const type of ["input", "change", "click"])
	document.addEventListener(type, (event) => event.target.closest("#loss, #jobs, #tiles") && handle(event));
$("#curves").addEventListener("toggle", handle);
keys.push(
	{ keys: "f", help: "the large curve over the full screen", action: () => $("[data-full]").click() },
	{ keys: "l", help: "log or linear losses", action: () => $("[data-flip=y]").click() },
	{ keys: "r", help: "reset the zoom", action: () => zoom(null, null) },
	{ keys: "t", help: "to the next run", action: () => document.getElementById("train-steps")?.focus() },
);
