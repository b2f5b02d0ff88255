// The loss chart of a page: joins the points of a job, the address bar, the legend and the socket.

import { LossChart } from "./chart.js";
import { keys } from "./app.js";
import { unwatch, watch } from "./live.js";
import { compact } from "./numbers.js";
import { Points } from "./points.js";

const panel = document.getElementById("loss");
const job = () => document.getElementById("job").dataset; // the job to show, as its header says
const $ = (selector) => panel.querySelector(selector);
const $$ = (selector) => [...document.querySelectorAll(selector)];
const legend = () => $$("#legend button[data-series]");
let points = null;
let wanted = 0;

// The view's state is the address: ?smooth=.6&y=log&x=time&v=weighted&from=&to=&hide=a,b&overlay=41,40
const DEFAULTS = {
	smooth: "0.6",
	y: "log",
	x: "step",
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
function showControls() {
	for (const name of ["smooth", "v", "x"]) $(`[name=${name}]`).value = state[name];
	$("output").textContent = Number(state.smooth).toFixed(2).replace(/^0/, "");
	for (const button of $$("[data-flip]")) button.ariaPressed = state[button.dataset.flip] === button.dataset.on;
	$("[data-reset]").hidden = !state.from;
	$("#curves").open = Boolean(state.curves);
	const hidden = new Set(state.hide.split(","));
	for (const button of legend()) button.setAttribute("aria-pressed", !hidden.has(button.dataset.series));
	const laid = new Set(state.overlay.split(","));
	for (const box of $$("[data-overlay]")) box.checked = laid.has(box.dataset.overlay);
}

// What is not always needed is fetched when it is: each module has attach(view), whose draw() follows the chart's.
const view = {
	panel,
	state,
	DEFAULTS,
	job,
	legend,
	setState,
	showControls,
	redraw,
	range,
	zoom,
	at: (step) => step,
	step: (x) => x,
	points: () => points,
};
const PARTS = {
	overlay: [() => state.overlay, () => import("./overlay.js")],
	curves: [() => state.curves, () => import("./curves.js")],
	table: [() => state.table, () => import("./table.js")],
	clock: [() => state.x === "time", () => import("./clock.js")],
	marks: [() => document.querySelector("#events [data-step]"), () => import("./marks.js")],
	health: [() => job().active, () => import("./health.js")],
};
const parts = {};
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
	onCursor: (x, values) => {
		$(".at").textContent = x == null ? "" : `step ${Math.round(view.step(x)).toLocaleString("en")}`;
		showValues(values, x != null);
	},
}));
Object.assign(panel, { view, chart });
function redraw() {
	wanted ||= requestAnimationFrame(() => {
		wanted = 0;
		draw();
	});
}
view.curve = ({ dataset: { series } }) => (state.v === "raw" ? series : series.replace("raw/", "weighted/"));
view.ticks = (tick) => (Number.isInteger(tick) ? tick.toLocaleString("en") : "");
view.look = (names, [from, to], smooth = Number(state.smooth)) => {
	const [x, columns] = points.view(from, to, names, smooth);
	return [x.map(view.at), columns];
};
function draw() {
	fetchParts();
	if (!points) return;
	for (const name in parts) parts[name].ready?.();
	const shown = legend().filter((button) => button.ariaPressed === "true" && points.has(view.curve(button)));
	const series = shown.map((button) => ({ name: view.curve(button), slot: Number(button.dataset.slot) }));
	const span = range();
	const axis = span.map(view.at);
	const based = state.base || state.v !== "raw" ? [] : shown.filter(({ dataset }) => dataset.base);
	chart.baselines = based.map(({ dataset }) => ({ slot: dataset.slot, value: Number(dataset.base) }));
	const names = series.map(({ name }) => name);
	chart.draw(series, view.look(names, span), axis, state.y === "log", view.ticks);
	for (const name in parts) parts[name].draw?.(span, axis);
	$(".over").hidden = points.end > 0;
	if (!$(".at").textContent) showValues();
}
function range() {
	if (state.from !== "") return [Number(state.from), Math.max(Number(state.to), Number(state.from) + 1)];
	const last = Math.max(1, points.end - 1, ...Object.values(parts).map((part) => part.last?.() ?? 0));
	if (!job().active) return [0, last];
	let to = Number(job().total) || last; // room for what is to come, so that the curve grows and the axis rests
	while (to / 2 > last && to > 100) to /= 2;
	return [0, Math.max(to, last)];
}
function showValues(values, pointed = false) {
	// While a panel of another job is on its way, its numbers are not those of the points held.
	if (Number(document.getElementById("legend").dataset.of) !== points?.job) return;
	for (const button of legend()) {
		const name = view.curve(button);
		const last = points?.last(name);
		// Under the pointer stands what was drawn there, and nothing where nothing was.
		const value = pointed ? values.get(name) : last;
		if (pointed || value != null) button.querySelector("b").textContent = compact(value);
		const cell = state.v === "raw" && document.querySelector(`#jobs [data-job="${points?.job}"] [data-loss="${name}"]`);
		if (cell && last != null) cell.textContent = compact(last);
	}
}

async function zoom(from, to, push = true) {
	if (from != null) await points?.zoom(from, to).catch(() => {});
	const whole = from == null;
	const shown = { from: whole ? "" : String(Math.max(0, Math.floor(from))), to: whole ? "" : String(Math.ceil(to)) };
	setState(shown, push);
}

// The job shown: its points come from REST, then from the socket.
async function follow() {
	const id = Number(job().job);
	if ((points?.job ?? 0) === id) return redraw();
	if (points) {
		if (!document.querySelector(`[data-active][data-job="${points.job}"]`)) unwatch(points.job);
		setState({ from: "", to: "" }, false);
	}
	panel.points = points = id ? new Points(id, job().points) : null;
	$("#chart-export").hidden = !points;
	if (!points) return;
	$("[data-csv]").href = `${job().points}?format=csv`;
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
	for (const name in parts) parts[name].frame?.(frame.header);
	points.frame(frame)?.then(redraw, () => {});
	redraw();
});
document.addEventListener("acc:job", ({ detail }) => {
	if (detail.id === points?.job && detail.step > points.end && detail.ended) points.heal().then(redraw, () => {});
});
document.addEventListener("acc:reconnected", () => points?.heal().then(redraw, () => {}));
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
	document.addEventListener(type, (event) => event.target.closest("#loss, #jobs") && handle(event));
$("#curves").addEventListener("toggle", handle);
keys.push(
	{ keys: "l", help: "log or linear losses", action: () => $("[data-flip=y]").click() },
	{ keys: "r", help: "reset the zoom", action: () => zoom(null, null) },
	{ keys: "t", help: "to the Train form", action: () => document.getElementById("train-steps")?.focus() },
);
