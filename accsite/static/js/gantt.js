// A run over time: bars that are at work grow by the clock of the page, between what the server tells of them.

const EVERY_MS = 500;
const chart = () => document.querySelector("[data-gantt]");

let began = 0; // when the run began, by the clock of this page, in ms
let timer = null;

function grow() {
	const gantt = chart();
	if (!gantt) return stop();
	const now = (Date.now() - began) / 1000;
	const span = Math.max(Number(gantt.dataset.span), now);
	const percent = (seconds) => `${((100 * seconds) / span).toFixed(3)}%`;
	for (const mark of gantt.querySelectorAll("[data-at]"))
		mark.setAttribute(mark.tagName === "circle" ? "cx" : "x", percent(Number(mark.dataset.at)));
	for (const bar of gantt.querySelectorAll("[data-from]")) {
		const from = Number(bar.dataset.from);
		const to = "running" in bar.dataset ? now : Number(bar.dataset.to);
		bar.setAttribute("x", percent(from));
		bar.setAttribute("width", percent(Math.max(to - from, span / 250)));
	}
}

function stop() {
	clearInterval(timer);
	timer = null;
}

// Each answer of the server sets the clock anew; a run that has ended needs none.
function follow() {
	stop();
	const gantt = chart();
	if (!gantt || !("running" in gantt.dataset)) return;
	began = Date.now() - 1000 * Number(gantt.dataset.now);
	timer = setInterval(grow, EVERY_MS);
}

let shown = null;
function changed() {
	const now = chart()?.dataset.now;
	if (now === shown) return;
	shown = now;
	follow();
}
document.addEventListener("htmx:after:swap", changed);
changed();
