// The losses that led to the checkpoints of a comparison: a chart for each task, a curve in it for each checkpoint.

import { LossChart } from "./chart.js";
import { Points } from "./points.js";

const MOST_COLUMNS = 600;
const root = () => document.querySelector("[data-losses]");
const $$ = (selector) => [...root().querySelectorAll(selector)];
const held = new Map(); // address of a job's points -> its Points, shared by all that grew from it
const charts = new Map(); // host -> LossChart
let wanted = 0;

// The view's state is the address: &smooth=.6&y=log&from=&to=
const DEFAULTS = { smooth: "0.6", y: "log", from: "", to: "" };
const state = { ...DEFAULTS };
function readAddress() {
	const query = new URLSearchParams(location.search);
	for (const name in DEFAULTS) state[name] = query.get(name) ?? DEFAULTS[name];
	if (!(Number(state.smooth) >= 0 && Number(state.smooth) < 1)) state.smooth = DEFAULTS.smooth;
	if (!(Number(state.to) > Number(state.from))) state.from = state.to = "";
}
function setState(changes) {
	Object.assign(state, changes);
	const url = new URL(location.href);
	for (const [name, value] of Object.entries(state))
		if (value === DEFAULTS[name]) url.searchParams.delete(name);
		else url.searchParams.set(name, value);
	history.replaceState(history.state, "", url);
	redraw();
}

// [{ letter, title, slot, step, parts: [{ points, first, until }] }]
const sides = () =>
	$$("[data-side]").map(({ dataset: { side, title, slot, step, line } }) => ({
		letter: side,
		title,
		slot: Number(slot),
		step: Number(step),
		parts: line ? JSON.parse(line) : [],
	}));
const names = () => $$("[data-series]").map(({ dataset }) => dataset.series);

function pointsOf({ job, points, first, until }) {
	if (!held.has(points)) {
		const made = new Points(job, points, names());
		held.set(points, made);
		made.load(until - first).then(redraw, ({ message }) => {
			document.getElementById("losses-said").textContent = `Job ${job} could not be loaded: ${message}.`;
		});
	}
	return held.get(points);
}

// What is looked at: a part that was chosen, else all there is of a task.
function span(until) {
	if (state.from !== "") return [Number(state.from), Number(state.to)];
	return [0, Math.max(1, until - 1)];
}

// Return [{ steps, columns }] of what is held of a side, job after job, as steps of its branch.
function drawnOf({ parts }, [from, to], smooth) {
	return parts.flatMap((part) => {
		const points = pointsOf(part);
		const [begin, end] = [Math.max(0, from - part.first), Math.min(to, part.until - 1) - part.first];
		if (!points.end || begin > end) return [];
		const [x, columns] = points.view(begin, end, names(), smooth);
		return x.length ? [{ steps: x.map((step) => step + part.first), columns }] : [];
	});
}

// One axis for all of a chart's curves: so many steps each column, with the least, the most and the last of them.
function joined(found, [from, to]) {
	const gap = ({ steps }) => steps.reduce((most, step, i) => Math.max(most, i ? step - steps[i - 1] : 0), 1);
	const gaps = found.flat().map((part) => Math.ceil(gap(part)));
	const width = Math.max(1, Math.ceil((to - from + 1) / MOST_COLUMNS), ...gaps);
	const count = Math.ceil((to - from + 1) / width);
	const x = Array.from({ length: count }, (_, k) => from + k * width + (width - 1) / 2);
	const gather = (parts, name) => {
		const [lows, highs, line] = [0, 1, 2].map(() => Array(count).fill(null));
		for (const { steps, columns } of parts) {
			const [low, high, last] = columns.get(name);
			steps.forEach((step, i) => {
				const k = Math.min(count - 1, Math.max(0, Math.floor((step - from) / width)));
				if (low[i] != null) lows[k] = lows[k] == null ? low[i] : Math.min(lows[k], low[i]);
				if (high[i] != null) highs[k] = highs[k] == null ? high[i] : Math.max(highs[k], high[i]);
				if (last[i] != null) line[k] = last[i];
			});
		}
		return [lows, highs, line];
	};
	return [x, gather];
}

function draw() {
	if (!root()) return;
	const all = sides();
	const looks = new Map(); // until -> [axis, what is drawn of each side, x, gather]; most tasks go to the same step
	for (const host of $$("[data-series]")) {
		const { until } = host.dataset;
		if (!looks.has(until)) {
			const axis = span(Number(until));
			const found = all.map((side) => drawnOf(side, axis, Number(state.smooth)));
			looks.set(until, [axis, found, ...joined(found, axis)]);
		}
		const [axis, found, x, gather] = looks.get(until);
		if (!charts.has(host)) charts.set(host, new LossChart(host, { onZoom: zoom, onCursor: () => {}, ticks }));
		const curves = all.map(({ letter, slot, title }) => ({ name: letter, slot, dash: slot, title, base: null }));
		const columns = new Map(all.map(({ letter }, i) => [letter, gather(found[i], host.dataset.series)]));
		charts.get(host).draw(curves, [x, columns], axis, state.y === "log", ticks);
	}
	const [range, output] = $$("#losses-controls [name=smooth], #losses-controls output");
	range.value = state.smooth;
	output.textContent = Number(state.smooth).toFixed(2).replace(/^0/, "");
	root().querySelector("[data-log]").ariaPressed = state.y === "log";
	root().querySelector("[data-whole]").disabled = state.from === "";
}
const ticks = (tick) => (Number.isInteger(tick) ? tick.toLocaleString("en") : "");

function redraw() {
	wanted ||= requestAnimationFrame(() => {
		wanted = 0;
		draw();
	});
}

// A part of a long history is fetched anew, as finely as it can be drawn.
async function zoom(from, to) {
	if (from == null) return setState({ from: "", to: "" });
	const [first, last] = [Math.max(0, Math.floor(from)), Math.ceil(to)];
	if (last <= first) return;
	setState({ from: String(first), to: String(last) });
	await look();
}
async function look() {
	const [from, to] = span(Math.max(...sides().map(({ step }) => step)));
	const parts = sides().flatMap((side) => side.parts);
	const asked = new Set(parts.map((part) => [part.first, pointsOf(part)]));
	await Promise.all(
		[...asked].map(([first, points]) => points.zoom(Math.max(0, from - first), Math.max(0, to - first)).catch(() => {})),
	);
	redraw();
}

document.addEventListener("input", ({ target }) => {
	if (target.closest("#losses-controls") && target.name === "smooth") setState({ smooth: target.value });
});
document.addEventListener("click", ({ target }) => {
	const button = target.closest?.("#losses-controls button");
	if (button && "log" in button.dataset) setState({ y: state.y === "log" ? "linear" : "log" });
	if (button && "whole" in button.dataset) zoom(null, null);
});
for (const event of ["acc:theme", "htmx:after:swap"]) document.addEventListener(event, redraw);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
readAddress();
draw();
