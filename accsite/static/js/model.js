// A model drawn: that of the form as it stands, fetched anew at each pause in typing, or that of a checkpoint once it
// is asked for. A layer is pointed at with the mouse or the arrow keys, and opened in a sheet beside it.

import { mark } from "./beside.js";

const WAIT_MS = 200;
const BUSY_MS = 250; // sooner than that nobody needs to be told
const OF_NO_ACCOUNT = new Set(["csrfmiddlewaretoken", "name", "visibility", "seed"]);
const MOVES = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 };
const page = Math.random().toString(36).slice(2); // of one page the last request wins, on the server too
const panel = () => document.getElementById("model");
const body = () => panel().querySelector("[data-drawn]");
const form = () => document.getElementById("plugin-fields");
const sheet = () => document.getElementById("model-sheet");
const layers = () => [...panel().querySelectorAll("a.model-layer")];
const row = (number) => panel().querySelector(`tr[data-layer="${number}"]`);

function say(text, bad = false) {
	const place = document.getElementById("model-said");
	place.textContent = text;
	place.classList.toggle("bad", bad);
}

// What is read, scrolled to, opened and pointed at stays where it is.
function draw(html) {
	const scroll = body().querySelector(".model-scroll");
	const left = scroll?.scrollLeft ?? 0;
	const open = body().querySelector("details")?.open ?? false;
	const at = document.activeElement?.closest?.("a.model-layer")?.dataset.id;
	body().innerHTML = html;
	delete body().dataset.stale;
	const fresh = body().querySelector(".model-scroll");
	if (fresh) fresh.scrollLeft = left;
	const table = body().querySelector("details");
	if (table) table.open = open;
	rove(layers().find(({ dataset }) => dataset.id === at));
	if (at) layers().find(({ tabIndex }) => tabIndex === 0)?.focus({ preventScroll: true });
}

// One stop for Tab; the arrow keys go on from there.
function rove(to) {
	const all = layers();
	for (const each of all) each.tabIndex = -1;
	const first = to ?? all[0];
	if (first) first.tabIndex = 0;
	return first;
}

let last = ""; // what was asked for last
let running = null;
let timer = null;
async function ask() {
	if (!form() || !panel()?.dataset.draft) return;
	const data = new FormData(form());
	const architecture = new URL(form().action).searchParams.get("architecture") ?? "";
	const text = JSON.stringify([architecture, ...[...data].filter(([name]) => !OF_NO_ACCOUNT.has(name))]);
	if (text === last) return;
	last = text;
	running?.abort();
	running = new AbortController();
	const busy = setTimeout(() => (panel().dataset.state = "busy"), BUSY_MS);
	try {
		const query = new URLSearchParams({ architecture, page });
		const response = await fetch(`${panel().dataset.draft}?${query}`, {
			method: "POST",
			body: data,
			signal: running.signal,
		});
		if (!response.ok) throw new Error(`the server answered ${response.status}`);
		const found = await response.json();
		if (text !== last || found.superseded) return;
		tell(found);
	} catch (error) {
		if (error.name === "AbortError") return;
		last = "";
		say(`No drawing: ${error.message}.`, true);
	} finally {
		clearTimeout(busy);
		if (text === last || !last) delete panel().dataset.state;
	}
}

function tell({ html, errors = {}, groups = [] }) {
	const rest = mark(form(), errors);
	document.getElementById("groups-error")?.remove();
	if (groups.length) {
		const error = paragraph(groups.join(" "));
		Object.assign(error, { id: "groups-error", className: "error errors", role: "alert" });
		document.querySelector("#groups ol").before(error);
	}
	if (html) {
		draw(html);
		say("");
		return;
	}
	body().dataset.stale = "";
	say(rest.join(" ") || "see what is marked in the form", true);
}

function soon() {
	clearTimeout(timer);
	timer = setTimeout(ask, WAIT_MS);
}

document.addEventListener("input", ({ target }) => target.form && target.form === form() && soon());
// The form is fetched anew when another architecture is chosen, and when a plugin has changed.
document.addEventListener("htmx:after:swap", ({ target }) => {
	if (!target.closest?.("#plugin-form")) return;
	last = "";
	ask();
});

// A preset fills the form; what it does not speak of stays as it was typed.
document.addEventListener("click", async (event) => {
	const preset = event.target.closest?.("a[data-preset]");
	if (!preset || event.ctrlKey || event.metaKey || !form()) return;
	event.preventDefault();
	const url = new URL(preset.href);
	for (const name of ["name", "dataset", "channels", "height", "width", "seed", "visibility"])
		if (form().elements[name]) url.searchParams.set(name, form().elements[name].value);
	const response = await fetch(url, { headers: { "HX-Request": "true" } });
	if (!response.ok) return;
	const fresh = new DOMParser().parseFromString(await response.text(), "text/html").getElementById("plugin-form");
	document.getElementById("plugin-form").replaceWith(fresh);
	htmx.process(fresh);
	history.replaceState(history.state, "", url);
	fresh.dispatchEvent(new CustomEvent("htmx:after:swap", { bubbles: true }));
});

// The model of a checkpoint is drawn by its own code, which a page that is only opened does not run.
async function kept() {
	if (panel().dataset.state) return;
	panel().dataset.state = "busy";
	say("");
	try {
		const response = await fetch(panel().dataset.kept, { headers: { "HX-Request": "true" } });
		if (!response.ok) throw new Error(`the server answered ${response.status}`);
		const asked = body().contains(document.activeElement);
		draw(await response.text());
		if (asked) rove()?.focus({ preventScroll: true });
	} catch (error) {
		say(`No drawing: ${error.message}.`, true);
	} finally {
		delete panel().dataset.state;
	}
}

// What a layer is given, what it gives, and its line in the table are lit with it.
function light(number, on) {
	if (!on && number === opened) return; // until its sheet is closed
	const own = `[data-from="${number}"], [data-to="${number}"], [data-layer="${number}"]`;
	for (const each of panel().querySelectorAll(own)) each.toggleAttribute("data-lit", on);
}
for (const [begin, end] of [
	["pointerover", "pointerout"],
	["focusin", "focusout"],
]) {
	const of = ({ target }) => target.closest?.("#model [data-layer]")?.dataset.layer;
	document.addEventListener(begin, (event) => of(event) && light(of(event), true));
	document.addEventListener(end, (event) => of(event) && light(of(event), false));
}

document.addEventListener("keydown", (event) => {
	if (event.key === "Escape" && sheet()?.open) return close();
	const at = event.target.closest?.("a.model-layer");
	if (!at || !(event.key in MOVES || event.key === "Home" || event.key === "End")) return;
	event.preventDefault();
	const all = layers();
	const here = all.indexOf(at);
	const to = { Home: 0, End: all.length - 1 }[event.key] ?? here + MOVES[event.key];
	const next = all[Math.max(0, Math.min(all.length - 1, to))];
	rove(next).focus();
	next.scrollIntoView({ block: "nearest", inline: "nearest" });
});

let opener = null; // what opened the sheet, and the number of its layer
let opened = "";
function close() {
	unlight();
	sheet().close();
	delete panel().dataset.sheet;
	opener?.isConnected && opener.focus({ preventScroll: true });
}

function unlight() {
	const before = opened;
	opened = "";
	if (before) light(before, false);
}

function pair(name, value) {
	const term = Object.assign(document.createElement("dt"), { textContent: name });
	return [term, Object.assign(document.createElement("dd"), { textContent: value })];
}

function open(number) {
	const line = row(number);
	if (!line) return;
	const heads = [...line.closest("table").querySelectorAll("thead th")].map((each) => each.textContent.trim());
	const cells = [...line.cells].map((each) => each.textContent.trim().replace(/\s+/g, " "));
	sheet().querySelector("h3").textContent = cells[0];
	const facts = heads.slice(1).flatMap((name, i) => (cells[i + 1] ? pair(name, cells[i + 1]) : []));
	sheet().querySelector("[data-facts]").replaceChildren(...facts);
	unlight();
	opened = number;
	light(number, true);
	if (!sheet().open) sheet().show();
	panel().dataset.sheet = "";
	opener.scrollIntoView({ block: "nearest", inline: "nearest" });
	pictures(line);
}

const paragraph = (text) =>
	Object.assign(document.createElement("p"), { className: "soft small", textContent: text });

let shown = null; // the line whose pictures are wanted
async function pictures(line) {
	shown = line;
	const place = sheet().querySelector("[data-pictures]");
	const { sort, attention } = panel().dataset;
	if (!sort) return place.replaceChildren(paragraph("Its pictures come with the first checkpoint that is evaluated."));
	const { shows, group } = line.dataset;
	if (!shows) {
		const words = "No pictures are made of this layer, but of the latent, and of attention where there is some.";
		return place.replaceChildren(paragraph(words));
	}
	place.replaceChildren(paragraph("…"));
	const url = shows === "sort" ? sort : attention;
	const response = await fetch(url, { headers: { "HX-Request": "true" } });
	if (shown !== line) return;
	const found = new DOMParser().parseFromString(await response.text(), "text/html").getElementById("tab");
	if (!response.ok || !found)
		return place.replaceChildren(paragraph(`No pictures: the server answered ${response.status}.`));
	for (const extra of found.querySelectorAll(":scope > header, .inset")) extra.remove();
	const sorted = [...found.querySelectorAll(".sorted")];
	const own = sorted.filter((each) => each.querySelector("h3").textContent.trim().startsWith(group));
	for (const each of own.length ? sorted : []) if (!own.includes(each)) each.remove();
	const all = Object.assign(document.createElement("a"), { href: url, textContent: "All of them, with options" });
	place.replaceChildren(...found.children, all);
}

document.addEventListener("click", (event) => {
	if (event.target.closest?.("[data-close-sheet]")) return close();
	if (event.target.closest?.("a[data-draw]") && !event.ctrlKey && !event.metaKey) {
		event.preventDefault();
		return kept();
	}
	const at = event.target.closest?.("a.model-layer");
	if (!at || event.ctrlKey || event.metaKey) return;
	event.preventDefault();
	opener = at;
	rove(at);
	open(at.dataset.layer);
});

if (panel()) {
	rove();
	if (panel().dataset.draft) ask();
}
