// Curves of several trainings: means with bands, drawn from what an address answers. One such chart stands on a page:
// an element [data-means] with a plot, a status, a form (which loss, log) and a legend that says where to ask.

import { LossChart } from "./chart.js";

let shown = ""; // the address of what is drawn
let drawn = null; // what it answered
let chart = null;
let log = true;
let chosen = ""; // another loss than the page was made with

const part = (selector) => document.querySelector(`[data-means] ${selector}`);
const legend = () => part("[data-curves]");

document.addEventListener("click", ({ target }) => {
	const button = target.closest?.("[data-means] [data-log]");
	if (!button) return;
	log = !log;
	button.ariaPressed = String(log);
	draw();
});
document.addEventListener("submit", (event) => {
	if (event.target.querySelector("#curve")) event.preventDefault();
});

// Show another loss; the page stays.
export function choose(curve) {
	chosen = curve;
	look();
}

// Ask for the curves where the page wants others than are drawn, or (again) where they may have grown.
export async function look(again = false) {
	const list = legend();
	if (!list) {
		[shown, drawn, chart] = ["", null, null];
		return;
	}
	const { moving } = list.dataset;
	const url = new URL(list.dataset.curves, location.href);
	if (chosen) url.searchParams.set("curve", chosen);
	const curves = url.pathname + url.search;
	if (curves === shown && !(again && moving !== undefined)) return draw();
	shown = curves;
	const said = part("[role=status]");
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

const words = (name) => name.replace(/^(raw|metric)\//, "");
function offer({ name, names }) {
	part("#curve").replaceChildren(...names.map((each) => new Option(words(each), each, each === name, each === name)));
}

function draw() {
	const host = part(".plot");
	if (!drawn || !host) return;
	if (chart?.host !== host) chart = new LossChart(host, { onZoom: () => {}, onCursor: () => {}, ticks });
	const looks = new Map([...legend().children].map(({ dataset }) => [dataset.key, dataset]));
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

document.addEventListener("acc:theme", draw);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
