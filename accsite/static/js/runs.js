// The table of runs: choices that show themselves, ticks of a whole page, and the curves of the rows whose eye is open.

import { LossChart } from "./chart.js";

const $ = (selector) => document.querySelector(selector);
const $$ = (selector) => [...document.querySelectorAll(selector)];

let shown = ""; // the address of what is drawn
let drawn = null; // what it answered
let chart = null;
let log = true;

document.addEventListener("change", ({ target }) => {
	if (target.matches("[data-submit]")) target.form.requestSubmit();
	if (target.matches("[data-tick-all]"))
		for (const box of $$("#runs [name=run]")) box.checked = target.checked;
	if (target.id === "curve") choose(target.value);
});
document.addEventListener("click", ({ target }) => {
	const button = target.closest?.("#curve-form [data-log]");
	if (!button) return;
	log = !log;
	button.ariaPressed = String(log);
	draw();
});
document.addEventListener("submit", (event) => {
	if (event.target.id === "curve-form") event.preventDefault();
});

// The address holds what is looked at, so that it can be given to others.
function choose(curve) {
	const url = new URL(location.href);
	url.searchParams.set("curve", curve);
	location.assign(url);
}

async function look(again = false) {
	const legend = $("#runs-legend");
	if (!legend) {
		[shown, drawn, chart] = ["", null, null];
		return;
	}
	const { curves, moving } = legend.dataset;
	if (curves === shown && !(again && moving !== undefined)) return draw();
	shown = curves;
	const said = $("#runs-said");
	try {
		const answer = await fetch(curves, { headers: { Accept: "application/json" } });
		if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
		const found = await answer.json();
		if (curves !== shown) return;
		drawn = found;
		said.textContent = found.lines.length ? "" : "These runs have no loss so far.";
		offer(found);
		draw();
	} catch (error) {
		shown = "";
		said.textContent = `The curves could not be loaded: ${error.message}.`;
	}
}

const words = (name) => name.replace(/^raw\//, "");
function offer({ name, names }) {
	const select = $("#curve");
	select.replaceChildren(...names.map((each) => new Option(words(each), each, each === name, each === name)));
}

function draw() {
	const host = $("#runs-plot");
	if (!drawn || !host) return;
	if (chart?.host !== host) chart = new LossChart(host, { onZoom: () => {}, onCursor: () => {}, ticks });
	const looks = new Map($$("#runs-legend li").map(({ dataset }) => [dataset.key, dataset]));
	const lines = drawn.lines.filter(({ key }) => looks.has(key));
	const none = Array(drawn.steps.length).fill(null);
	const series = lines.map(({ key, label }) => {
		const { slot, dash } = looks.get(key);
		return { name: key, slot: Number(slot), dash: Number(dash), title: label, base: null };
	});
	const columns = new Map(lines.map(({ key, mean, low, high }) => [key, [low ?? none, high ?? none, mean]]));
	const range = [0, Math.max(1, drawn.steps.at(-1) ?? 1)];
	chart.draw(series, [drawn.steps, columns], range, log, ticks);
}
const ticks = (tick) => (Number.isInteger(tick) ? tick.toLocaleString("en") : "");

document.addEventListener("htmx:after:swap", () => {
	const address = $("#runs")?.dataset.address;
	if (address && address !== location.pathname + location.search) history.replaceState(history.state, "", address);
	look(true);
});
document.addEventListener("acc:theme", draw);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
look();
