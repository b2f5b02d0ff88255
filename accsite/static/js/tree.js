// An experiment as a tree that is drawn, walked by keys and read node by node. Only what is in view is drawn.

import { compact } from "./numbers.js";
import { colour } from "./tree_colours.js";
import { decode, fold, label, place, quantiles } from "./tree_plan.js";

const SVG = "http://www.w3.org/2000/svg";
const LANE = 58;
const TOP = 30;
const AHEAD_PX = 400;
const READ_AFTER_MS = 180;
const panel = () => document.getElementById("tree");
const plot = () => document.getElementById("tree-plot");

const state = { nodes: [], items: [], plan: null, wire: null, all: false, open: new Set(), chosen: 0, focus: null };
state.chosen = Number(new URLSearchParams(location.search).get("node")) || 0;

function make(tag, attributes = {}, ...children) {
	const element = document.createElementNS(SVG, tag);
	for (const [name, value] of Object.entries(attributes))
		if (value !== null && value !== false) element.setAttribute(name, value);
	element.append(...children);
	return element;
}

const metric = () => document.getElementById("tree-metric").value;
const palette = () => panel().querySelector("[name=palette]").value;
const y = (item) => TOP + item.lane * LANE;

let asked = 0;
async function load() {
	const mine = ++asked;
	const response = await fetch(`${panel().dataset.tree}?metric=${encodeURIComponent(metric())}`, {
		headers: { Accept: "application/json" },
	});
	if (mine !== asked) return;
	if (!response.ok) return say(`The tree could not be fetched: the server answered ${response.status}.`);
	state.wire = await response.json();
	if (mine !== asked) return;
	state.nodes = decode(state.wire);
	build();
}

function say(text) {
	plot()?.replaceChildren(Object.assign(document.createElement("p"), { className: "empty", textContent: text }));
}

// Fold, place and draw anew; what was in focus stays so.
function build() {
	if (!plot()) return;
	state.items = fold(state.nodes, state);
	state.plan = place(state.items);
	const had = state.focus?.node.id ?? state.chosen;
	state.focus = state.items.find(({ nodes }) => nodes.some(({ id }) => id === had)) ?? state.items.at(-1) ?? null;
	const focused = plot().contains(document.activeElement) && document.activeElement !== plot();
	const svg = make("svg", { width: state.plan.width, height: TOP + state.plan.lanes.length * LANE });
	state.lines = make("g", { class: "lines", "aria-hidden": "true" });
	state.shapes = make("g", { role: "tree", "aria-label": `Checkpoints, coloured by ${state.wire.metric}` });
	svg.append(state.lines, state.shapes);
	const [left, top] = [plot().scrollLeft, plot().scrollTop];
	plot().replaceChildren(svg);
	plot().scrollTo(left, top);
	if (!state.shown && state.focus) reveal(state.focus);
	state.shown = true;
	draw();
	legend();
	if (focused) elementOf(state.focus)?.focus({ preventScroll: true });
	const button = panel().querySelector("[data-tree-all]");
	button.setAttribute("aria-pressed", state.all);
}

// The items near the window, and the lines that cross it.
let drawn = "";
function draw() {
	const { scrollLeft, scrollTop, clientWidth, clientHeight } = plot();
	const inside = (item) =>
		item.x > scrollLeft - AHEAD_PX &&
		item.x < scrollLeft + clientWidth + AHEAD_PX &&
		y(item) > scrollTop - AHEAD_PX &&
		y(item) < scrollTop + clientHeight + AHEAD_PX;
	const near = state.items.filter((item) => inside(item) || item === state.focus);
	const crossing = state.items.filter(
		(item) =>
			item.parent &&
			item.x > scrollLeft - AHEAD_PX &&
			item.parent.x < scrollLeft + clientWidth + AHEAD_PX &&
			y(item) > scrollTop - AHEAD_PX &&
			y(item.parent) < scrollTop + clientHeight + AHEAD_PX,
	);
	const held = elementOf(state.focus) === document.activeElement;
	state.lines.replaceChildren(...crossing.map(line));
	state.shapes.replaceChildren(...near.map(shape));
	if (held) elementOf(state.focus)?.focus({ preventScroll: true });
	drawn = `${Math.round(scrollLeft / 200)} ${Math.round(scrollTop / 200)}`;
}

function line(item) {
	const from = item.parent;
	if (from.lane === item.lane) return make("path", { d: `M${from.x} ${y(from)}H${item.x}` });
	return make("path", { d: `M${from.x} ${y(from)}V${y(item) - 8}q0 8 8 8H${item.x}`, class: "fork" });
}

const SHAPES = {
	autosave: () => make("circle", { r: 4 }),
	manual: () => make("circle", { r: 4 }),
	final: () => make("circle", { r: 7 }),
	stopped: () => make("rect", { x: -6, y: -6, width: 12, height: 12 }),
	expanded: () => make("path", { d: "M0-9 9 0 0 9-9 0z" }),
	imported: () => make("path", { d: "M-8-6H8L0 8z" }),
};

function words(item) {
	const { node, nodes, run } = item;
	const alarms = [...new Set(nodes.map((each) => each.alarms).filter(Boolean))].map((raised) => `alarm: ${raised}`);
	if (run) {
		const [first, last] = [node, nodes.at(-1)].map(({ step }) => step.toLocaleString("en"));
		const folded = `${nodes.length} checkpoints folded, steps ${first} to ${last}, branch ${node.branch.name}`;
		return [folded, ...alarms].join(", ");
	}
	const marks = [
		...alarms,
		node.starred && "starred",
		node.best && `best ${state.wire.metric}`,
		node.pruned && "weights pruned",
		...node.heads.map((name) => `head of ${name}`),
	].filter(Boolean);
	const value = node.value === null ? `no ${state.wire.metric}` : `${state.wire.metric} ${compact(node.value)}`;
	return [
		`${node.tag || `checkpoint ${node.id}`}, step ${node.step.toLocaleString("en")}`,
		node.kind,
		`branch ${node.branch.name}`,
		value,
		...marks,
	].join(", ");
}

function shape(item) {
	const { node, run, nodes } = item;
	const chosen = nodes.some(({ id }) => id === state.chosen);
	const siblings = item.parent ? item.parent.children : state.items.filter(({ parent }) => !parent);
	const group = make("g", {
		role: "treeitem",
		class: "tree-node",
		transform: `translate(${item.x} ${y(item)})`,
		tabindex: item === state.focus ? 0 : -1,
		"aria-level": item.depth + 1,
		"aria-setsize": siblings.length,
		"aria-posinset": siblings.indexOf(item) + 1,
		"aria-selected": chosen && !run,
		"aria-expanded": run ? "false" : null,
		"data-id": node.id,
		"data-kind": run ? "run" : node.kind,
		"data-pruned": (!run && node.pruned) || null,
	});
	if (chosen && !run) group.append(make("circle", { r: 14, class: "chosen" }));
	if (node.heads.length && !run) group.append(make("circle", { r: 11, class: "head" }));
	const body = run ? make("rect", { x: -18, y: -9, width: 36, height: 18, rx: 9 }) : SHAPES[node.kind]();
	body.classList.add("mark");
	if (!run && node.level !== null && !node.pruned) body.setAttribute("fill", colour(node.level, palette()));
	if (!run && node.level !== null && node.pruned) body.setAttribute("stroke", colour(node.level, palette()));
	group.append(body);
	const text = make("text", { "aria-hidden": "true", y: run ? 4 : 22, class: node.tag && !run ? "tag" : "" });
	text.textContent = label(item);
	group.append(text);
	const alarmed = nodes.some(({ alarms }) => alarms);
	if (alarmed) {
		const warning = make("text", { "aria-hidden": "true", x: run ? 20 : 11, y: -7, class: "alarm" });
		warning.textContent = "⚠";
		group.append(warning);
	}
	if (!run && (node.starred || node.best)) {
		const star = make("text", { "aria-hidden": "true", x: alarmed ? 24 : 11, y: -7, class: "star" });
		star.textContent = node.starred ? "★" : "";
		if (node.best) star.textContent += "best";
		group.append(star);
	}
	if (item === state.plan.lanes[item.lane][0]) {
		const name = make("text", { "aria-hidden": "true", x: -8, y: -20, class: "branch" });
		name.textContent = node.branch.name + (node.branch.job ? " ▸" : "");
		group.append(name);
	}
	const title = make("title");
	title.textContent = words(item);
	group.append(title);
	return group;
}

// The colours go by rank, so the bar says what stands at its ends and in its middle.
function legend() {
	const place = document.getElementById("tree-legend");
	const { metric: name, metrics } = state.wire;
	const found = quantiles(state.nodes);
	if (!found) return void (place.textContent = state.nodes.length ? `${name} is not measured of any of these` : "");
	const [low, middle, high] = found;
	const text = (textContent, className = "") =>
		Object.assign(document.createElement("span"), { textContent, className });
	const better = `${name}, ${metrics[name] ? "higher" : "lower"} is better`;
	if (low === high) return place.replaceChildren(text(`all ${compact(low)}`), text(`${better}; grey: none`, "soft"));
	const part = (_, i) => make("rect", { x: i * 5, width: 5.5, height: 12, fill: colour(i / 23, palette()) });
	const bar = make("svg", { width: 120, height: 12, "aria-hidden": "true" }, ...Array.from({ length: 24 }, part));
	const words = `by rank, half below ${compact(middle)}; ${better}; grey: none`;
	place.replaceChildren(text(compact(low)), bar, text(compact(high)), text(words, "soft"));
}

const elementOf = (item) => item && state.shapes?.querySelector(`[data-id="${item.node.id}"]`);

function reveal(item) {
	const box = plot();
	const [left, top] = [item.x - 80, y(item) - TOP];
	if (left < box.scrollLeft) box.scrollLeft = left;
	if (item.x + 80 > box.scrollLeft + box.clientWidth) box.scrollLeft = item.x + 80 - box.clientWidth;
	if (top < box.scrollTop) box.scrollTop = top;
	if (y(item) + 30 > box.scrollTop + box.clientHeight) box.scrollTop = y(item) + 30 - box.clientHeight;
}

let reading = null;
function focus(item, read = true) {
	if (!item) return;
	state.focus = item;
	reveal(item);
	draw();
	elementOf(item)?.focus({ preventScroll: true });
	clearTimeout(reading);
	if (read && !item.run) reading = setTimeout(choose, READ_AFTER_MS, item.node.id);
}

// Show a node beside the tree, and say so in the address.
async function choose(id, { push = false } = {}) {
	clearTimeout(reading);
	state.chosen = id;
	const known = state.items.find(({ nodes }) => nodes.some((node) => node.id === id));
	if (known?.run) build();
	else if (known) draw();
	const query = new URLSearchParams(location.search);
	query.set("node", id);
	history[push ? "pushState" : "replaceState"](null, "", `?${query}`);
	const shown = document.getElementById("node");
	if (shown.dataset.nodeId === String(id)) return;
	await htmx.ajax("GET", panel().dataset.node.replace("/0/", `/${id}/`), { target: "#node", swap: "outerHTML" });
}

const first = (lane) => state.plan.lanes[lane]?.[0];
const nearest = (lane, x) => state.plan.lanes[lane]?.reduce((a, b) => (Math.abs(b.x - x) < Math.abs(a.x - x) ? b : a));
const MOVES = {
	ArrowRight: (item) => item.children.find(({ lane }) => lane === item.lane) ?? item.children[0],
	ArrowLeft: (item) => item.parent,
	ArrowDown: (item) => nearest(item.lane + 1, item.x),
	ArrowUp: (item) => nearest(item.lane - 1, item.x),
	Home: () => first(0),
	End: (item) => state.plan.lanes[item.lane].at(-1),
};

function enter(item) {
	if (!item.run) return choose(item.node.id, { push: true });
	state.open.add(item.node.id);
	build();
	focus(
		state.items.find(({ node }) => node === item.node),
		false,
	);
}

document.addEventListener("keydown", (event) => {
	const element = event.target.closest?.(".tree-node");
	if (!element || event.ctrlKey || event.metaKey || event.altKey) return;
	const item = state.items.find(({ node }) => node.id === Number(element.dataset.id));
	if (MOVES[event.key]) focus(MOVES[event.key](item));
	else if (event.key === "Enter" || event.key === " ") enter(item);
	else return;
	event.preventDefault();
	event.stopImmediatePropagation();
});

document.addEventListener("click", (event) => {
	const { target } = event;
	const element = target.closest(".tree-node");
	if (element) {
		const item = state.items.find(({ node }) => node.id === Number(element.dataset.id));
		focus(item, false);
		return enter(item);
	}
	if (target.closest("[data-tree-all]")) {
		state.all = !state.all;
		state.open.clear();
		build();
		return;
	}
	const link = target.closest("a[data-node]");
	if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
	event.preventDefault();
	choose(Number(link.dataset.node), { push: true });
	state.focus = state.items.find(({ nodes }) => nodes.some(({ id }) => id === state.chosen)) ?? state.focus;
	if (state.focus) {
		reveal(state.focus);
		draw();
	}
	document.getElementById("node").scrollIntoView({ block: "nearest" });
});

document.addEventListener("change", async ({ target }) => {
	if (!target.form?.matches(".tree-tools")) return;
	const query = new URLSearchParams(location.search);
	for (const name of ["metric", "palette"]) query.set(name, target.form.elements[name].value);
	history.replaceState(null, "", `?${query}`);
	if (target.name === "palette") return build();
	await load();
	query.set("panel", "checkpoints");
	htmx.ajax("GET", `?${query}`, { target: "#checkpoints", swap: "outerMorph" });
});

addEventListener("popstate", () => {
	const id = Number(new URLSearchParams(location.search).get("node"));
	if (id) choose(id);
});

let pending = 0;
document.addEventListener(
	"scroll",
	({ target }) => {
		if (target !== plot() || pending) return;
		pending = requestAnimationFrame(() => {
			pending = 0;
			const { scrollLeft, scrollTop } = plot();
			if (drawn !== `${Math.round(scrollLeft / 200)} ${Math.round(scrollTop / 200)}`) draw();
		});
	},
	true,
);

// The panel comes anew when a checkpoint was made, marked or deleted.
let shown = panel().dataset.topics;
document.addEventListener("htmx:after:swap", () => {
	if (document.querySelector("#node[data-gone]")) state.chosen = 0;
	if (panel()?.dataset.topics === shown) return;
	shown = panel().dataset.topics;
	if (plot()) load();
});
if (plot()) load();
