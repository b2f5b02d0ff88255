// The loss chart of a page: joins the points of a job, the address bar, the legend and the socket.

import { compact, LossChart } from "./chart.js";
import { keys } from "./app.js";
import { unwatch, watch } from "./live.js";
import { Points } from "./points.js";

const panel = document.getElementById("loss");
const job = () => document.getElementById("job").dataset; // the job to show, as its header says
const $ = (selector) => panel.querySelector(selector);
const legend = () => [...document.querySelectorAll("#legend button[data-series]")];
let points = null;
let wanted = 0;

// The view's state is the address: ?smooth=.6&y=log&from=&to=&hide=a,b
const DEFAULTS = { smooth: "0.6", y: "log", from: "", to: "", hide: "" };
const state = { ...DEFAULTS };
function readAddress() {
	const query = new URLSearchParams(location.search);
	for (const name in DEFAULTS) state[name] = query.get(name) ?? DEFAULTS[name];
	if (!(Number(state.smooth) >= 0 && Number(state.smooth) < 1)) state.smooth = DEFAULTS.smooth;
}
function setState(changes, push = false) {
	Object.assign(state, changes);
	const query = new URLSearchParams(location.search);
	for (const name in DEFAULTS) state[name] === DEFAULTS[name] ? query.delete(name) : query.set(name, state[name]);
	const address = `${location.pathname}${query.size ? `?${query}` : ""}`;
	history[push ? "pushState" : "replaceState"](history.state, "", address);
	showControls();
	redraw();
}
function showControls() {
	$("[name=smooth]").value = state.smooth;
	$("output").textContent = Number(state.smooth).toFixed(2).replace(/^0/, "");
	$("[data-log]").setAttribute("aria-pressed", state.y === "log");
	$("[data-reset]").hidden = !state.from;
	const hidden = new Set(state.hide.split(","));
	for (const button of legend()) button.setAttribute("aria-pressed", !hidden.has(button.dataset.series));
}

// Drawing, at most once a frame of the screen.
const chart = new LossChart($(".plot"), {
	onZoom: (from, to) => zoom(from, to),
	onCursor: (step, values) => {
		$(".at").textContent = step == null ? "" : `step ${Math.round(step).toLocaleString("en")}`;
		showValues(values);
	},
});
function redraw() {
	wanted ||= requestAnimationFrame(() => ((wanted = 0), draw()));
}
function draw() {
	if (!points) return;
	const series = legend()
		.filter((button) => button.getAttribute("aria-pressed") === "true" && points.has(button.dataset.series))
		.map((button) => ({ name: button.dataset.series, slot: Number(button.dataset.slot) }));
	const [from, to] = range();
	chart.markers = [...document.querySelectorAll("#events [data-step]")].map((event) => ({ id: event.id, step: Number(event.dataset.step), text: event.querySelector("span > span").textContent }));
	chart.draw(series, points.view(from, to, series.map(({ name }) => name), Number(state.smooth)), [from, to], state.y === "log");
	$(".over").hidden = points.end > 0;
	if (!$(".at").textContent) showValues();
}
function range() {
	if (state.from !== "") return [Number(state.from), Math.max(Number(state.to), Number(state.from) + 1)];
	const last = Math.max(1, points.end - 1);
	if (!job().active) return [0, last];
	let to = Number(job().total) || last; // room for what is to come, so that the curve grows and the axis rests
	while (to / 2 > last && to > 100) to /= 2;
	return [0, Math.max(to, last)];
}
function showValues(values) {
	for (const button of legend()) {
		const { series } = button.dataset;
		const value = values?.get(series) ?? points?.last(series);
		if (value === value && value != null) button.querySelector("b").textContent = compact(value);
	}
}

async function zoom(from, to, push = true) {
	if (from != null) await points?.zoom(from, to).catch(() => {});
	setState(from == null ? { from: "", to: "" } : { from: String(Math.max(0, Math.floor(from))), to: String(Math.ceil(to)) }, push);
}

// The job shown: its points come from REST, then from the socket.
async function follow() {
	const id = Number(job().job);
	if ((points?.job ?? 0) === id) return redraw();
	if (points) unwatch(points.job);
	panel.points = points = id ? new Points(id, job().points) : null;
	if (!points) return;
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
	points.frame(frame)?.then(redraw, () => {});
	redraw();
});
document.addEventListener("acc:job", ({ detail }) => {
	if (detail.id === points?.job && detail.step > points.end && detail.ended) points.heal().then(redraw, () => {});
});
document.addEventListener("acc:reconnected", () => points?.heal().then(redraw, () => {}));
document.addEventListener("acc:theme", redraw);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
document.addEventListener("htmx:after:swap", () => (showControls(), follow()));
addEventListener("popstate", () => {
	restore();
	zoom(state.from || null, state.to, false);
});

// Controls.
$("[name=smooth]").addEventListener("input", (event) => setState({ smooth: event.target.value }));
$("[data-log]").onclick = () => setState({ y: state.y === "log" ? "linear" : "log" });
$("[data-reset]").onclick = () => zoom(null, null);
document.addEventListener("click", (event) => {
	const button = event.target.closest("#legend button[data-series]");
	if (!button) return;
	const all = legend().map((other) => other.dataset.series);
	const { series } = button.dataset;
	let hidden = state.hide ? state.hide.split(",") : [];
	if (event.altKey) hidden = hidden.length === all.length - 1 && !hidden.includes(series) ? [] : all.filter((name) => name !== series);
	else hidden = hidden.includes(series) ? hidden.filter((name) => name !== series) : [...hidden, series];
	setState({ hide: hidden.join(",") });
});
keys.push(
	{ keys: "l", help: "log or linear losses", action: () => $("[data-log]").click() },
	{ keys: "r", help: "reset the zoom", action: () => zoom(null, null) },
	{ keys: "t", help: "to the Train form", action: () => document.getElementById("train-steps")?.focus() },
);
