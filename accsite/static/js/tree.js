// An experiment as a tree that is drawn, walked by keys and read node by node. Only what is in view is drawn.

import { compact } from "./numbers.js";
import { colour } from "./tree_colours.js";
import { decode, fold, label, level, place, quantiles } from "./tree_plan.js";

const SVG = "http://www.w3.org/2000/svg";
const LANE = 64;
const TOP = 40;
const AHEAD_PX = 400;
const READ_AFTER_MS = 180;
const NAMES_PX = 152; // the names of the branches, at the left
const NARROW_PX = 560; // from where on they stand over their lines instead
const HEAD_PX = 132; // picture and value at the end of a line
const panel = () => document.getElementById("tree");
const plot = () => document.getElementById("tree-plot");
const page = () => document.querySelector(".tree-page");

const state = { nodes: [], items: [], plan: null, wire: null, all: false, open: new Set(), chosen: 0, focus: null };
const asked = () => Number(new URLSearchParams(location.search).get("node")) || 0;
state.chosen = asked();

function make(tag, attributes = {}, ...children) {
	const element = document.createElementNS(SVG, tag);
	for (const [name, value] of Object.entries(attributes))
		if (value !== null && value !== false) element.setAttribute(name, value);
	element.append(...children);
	return element;
}
const html = (tag, properties = {}, ...children) => {
	const element = Object.assign(document.createElement(tag), properties);
	element.append(...children);
	return element;
};

const chosenOf = (name) => panel().querySelector(`.tree-tools [name=${name}]`).value;
const metric = () => chosenOf("metric");
const y = (item) => TOP + item.lane * LANE;

let request = 0;
async function load() {
	const mine = ++request;
	const response = await fetch(`${panel().dataset.tree}?metric=${encodeURIComponent(metric())}`, {
		headers: { Accept: "application/json" },
	});
	if (mine !== request) return;
	if (!response.ok) return say(`The tree could not be fetched: the server answered ${response.status}.`);
	state.wire = await response.json();
	if (mine !== request) return;
	state.nodes = decode(state.wire, chosenOf("scale"));
	build();
}

function say(text) {
	plot()?.replaceChildren(html("p", { className: "empty", textContent: text }));
}

// Fold, place and draw anew; what was in focus stays so.
function build() {
	if (!plot() || !state.wire) return;
	if (due) cancelAnimationFrame(due.frame);
	showCard(null);
	// Asked once: the width of the plot, read between two marks that are drawn, would lay out all of it for each.
	state.width = plot().clientWidth;
	state.narrow = state.width < NARROW_PX;
	state.palette = chosenOf("palette");
	const names = state.narrow ? 0 : NAMES_PX;
	state.items = fold(state.nodes, state);
	state.plan = place(state.items, {
		branches: state.wire.branches,
		by: chosenOf("axis"),
		width: state.width,
		left: names + 28,
		right: names ? HEAD_PX : 64,
	});
	const had = state.focus?.node.id ?? state.chosen;
	state.focus = state.items.find(({ nodes }) => nodes.some(({ id }) => id === had)) ?? state.items.at(-1) ?? null;
	const focused = plot().contains(document.activeElement) && document.activeElement !== plot();
	const { lanes, width } = state.plan;
	const height = TOP + (lanes.length - 1) * LANE + 44;
	const svg = make("svg", { width, height });
	state.lines = make("g", { class: "lines", "aria-hidden": "true" });
	state.shapes = make("g", { role: "tree", "aria-label": `Checkpoints, coloured by ${state.wire.metric}` });
	// What is written beside the marks is a layer of its own: the nodes say it in whole words themselves.
	state.texts = make("g", { class: "tree-words", "aria-hidden": "true" });
	const yet = make("g", { class: "lines", "aria-hidden": "true" }, ...lanes.flatMap(idle));
	svg.append(yet, state.lines, state.shapes, state.texts);
	state.shown = { lines: new Map(), shapes: new Map(), texts: new Map() };
	const { left, top } = due ?? { left: plot().scrollLeft, top: plot().scrollTop };
	const body = html("div", { className: "tree-body" }, namesOf(lanes, names, height), svg);
	body.style.setProperty("width", `${width}px`);
	plot().replaceChildren(axis(width), body);
	legend();
	panel().querySelector("[data-tree-all]").setAttribute("aria-pressed", state.all);
	due = { left, top, focused: focused || due?.focused, frame: requestAnimationFrame(settle) };
}

// The second half of a build, before the next frame is shown: to scroll lays out all that was built, and what is drawn
// hangs on where that leads. Done at once it would be one long task.
let due = null;
function settle() {
	if (!due || !plot()) return;
	const { left, top, focused, frame } = due;
	cancelAnimationFrame(frame);
	due = null;
	plot().scrollTo(left, top);
	if (!state.revealed && state.focus) reveal(state.focus);
	state.revealed = true;
	draw();
	if (focused) elementOf(state.focus)?.focus({ preventScroll: true });
}

// The steps along the top, which stay while the lanes are scrolled.
function axis(width) {
	const svg = make("svg", { width, height: 26, "aria-hidden": "true" });
	for (const { x, words } of state.plan.ticks) {
		const text = make("text", { x, y: 16 });
		text.textContent = words;
		svg.append(text, make("path", { d: `M${x} 22v4` }));
	}
	const box = html("div", { className: "tree-axis" }, svg);
	box.style.setProperty("width", `${width}px`);
	return box;
}

// The branches by name, which stay at the left while the lines are scrolled; a second line of one is told so.
function namesOf(lanes, width, height) {
	const seen = new Set();
	const list = html("ul", { className: width ? "tree-names" : "tree-names over" });
	list.style.setProperty("height", `${height}px`);
	list.style.setProperty("margin-bottom", `${-height}px`);
	lanes.forEach(({ branch, idle }, at) => {
		const again = seen.has(branch);
		seen.add(branch);
		const link = html("a", { href: `/w/${state.wire.experiment}/${branch.slug}/`, title: branch.name });
		link.append(...long(branch.name));
		const item = html("li", {}, link);
		if (again) item.classList.add("again");
		const words = again ? "another line" : branch.job ? `job ${branch.job} at work` : idle ? "not trained yet" : "";
		if (words) item.append(html("span", { textContent: words, className: branch.job && !again ? "at-work" : "" }));
		item.style.setProperty("top", `${TOP + at * LANE}px`);
		list.append(item);
	});
	return list;
}
const TAIL = 8;
function long(name) {
	if (name.length <= 16) return [name];
	const parts = [name.slice(0, -TAIL), name.slice(-TAIL)].map((textContent) =>
		html("span", { textContent, ariaHidden: "true" })
	);
	return [html("span", { className: "middle" }, html("span", { className: "vh", textContent: name }), ...parts)];
}

// The items near the window, and the lines that cross it: what comes into view is made, what leaves it is removed, and
// what stays is left alone.
let drawn = "";
function draw() {
	const { scrollLeft, scrollTop, clientWidth, clientHeight } = plot();
	const [left, right] = [scrollLeft - AHEAD_PX, scrollLeft + clientWidth + AHEAD_PX];
	const [top, bottom] = [scrollTop - AHEAD_PX, scrollTop + clientHeight + AHEAD_PX];
	const inside = (item) => item.x > left && item.x < right && y(item) > top && y(item) < bottom;
	const crosses = (item) =>
		item.x > left && (item.parent?.x ?? 0) < right && y(item) > top && y(item.parent ?? item) < bottom;
	keep(state.shown.lines, state.lines, crosses, line);
	keep(state.shown.shapes, state.shapes, (item) => inside(item) || item === state.focus, shape);
	keep(state.shown.texts, state.texts, inside, beside);
	for (const [item, element] of state.shown.shapes) {
		const chosen = !item.run && item.node.id === state.chosen;
		write(element, "tabindex", item === state.focus ? "0" : "-1");
		write(element, "aria-selected", String(chosen));
	}
	drawn = `${Math.round(scrollLeft / 200)} ${Math.round(scrollTop / 200)}`;
}

// Most stay as they are, and what is written anew is styled anew.
function write(element, name, value) {
	if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

// The elements of a layer, in the order of the items: who reads the tree without seeing it goes along that.
function keep(made, layer, near, make) {
	for (const [item, element] of made)
		if (!near(item)) {
			element.remove();
			made.delete(item);
		}
	let next = null;
	for (let i = state.items.length - 1; i >= 0; i--) {
		const item = state.items[i];
		if (!made.has(item)) {
			if (!near(item)) continue;
			made.set(item, layer.insertBefore(make(item), next));
		}
		next = made.get(item);
	}
}

const BEND = 12;
const path = (from, x, down) =>
	from.y === down
		? `M${from.x} ${down}H${x}`
		: `M${from.x} ${from.y}V${down - BEND}q0 ${BEND} ${BEND} ${BEND}H${Math.max(x, from.x + BEND)}`;

// The line to an item, and over it what differs from where it came from, as far as there is room.
function line(item) {
	const from = item.parent ?? (item.node.kind === "imported" ? null : { x: state.plan.ticks[0]?.x ?? 0, seed: true });
	const found = make("g");
	if (!from) return found;
	const start = { x: from.x, y: from.seed ? y(item) : y(from) };
	const forks = start.y !== y(item);
	found.append(make("path", { d: path(start, item.x, y(item)), class: forks ? "fork" : "" }));
	if (from.seed) found.append(make("circle", { cx: from.x, cy: y(item), r: 3, class: "seed" }));
	if (!item.node.edge) return found;
	const left = from.x + (forks ? 10 : from.run ? 22 : 12);
	const room = item.x - left - (item.run ? 22 : 12);
	const most = Math.floor(room / 5.7);
	const words = make("text", { x: left, y: y(item) - 7, class: "edge" });
	const { edge } = item.node;
	words.textContent = edge.length <= most ? edge : `${edge.slice(0, Math.max(1, most - 1))}…`;
	found.append(words);
	return found;
}

// A branch that nothing was trained on: where it would go on from.
function idle(lane, at) {
	if (!lane.idle) return [];
	const down = TOP + at * LANE;
	const x = lane.from.x + 44;
	return [
		make("path", { d: path({ x: lane.from.x, y: y(lane.from) }, x - 7, down), class: "fork" }),
		make("circle", { cx: x, cy: down, r: 7, class: lane.branch.job ? "yet live-yet" : "yet" }),
	];
}

const SHAPES = {
	autosave: () => make("circle", { r: 5 }),
	manual: () => make("circle", { r: 5 }),
	final: () => make("circle", { r: 8 }),
	stopped: () => make("rect", { x: -7, y: -7, width: 14, height: 14, rx: 2 }),
	expanded: () => make("path", { d: "M0-10 10 0 0 10-10 0z" }),
	imported: () => make("path", { d: "M-9-7H9L0 9z" }),
};

const called = (node) => node.tag || `${node.branch.name} at step ${node.step.toLocaleString("en")}`;
const measured = (node) =>
	node.value === null ? `no ${state.wire.metric}` : `${state.wire.metric} ${compact(node.value)}`;

// The total is a sum by weights: the lowest of all is not the best where these differ.
const ofWeights = () => state.wire.metric === "loss/total";

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
		node.best && (ofWeights() ? "lowest total loss, weights may differ" : `best ${state.wire.metric}`),
		node.pruned && "weights pruned",
		...node.heads.map((name) => `head of ${name}`),
		node.edge && `differs by ${node.edge}`,
	].filter(Boolean);
	return [
		`${node.tag || `checkpoint ${node.id}`}, step ${node.step.toLocaleString("en")}`,
		node.kind,
		`branch ${node.branch.name}`,
		measured(node),
		...marks,
	].join(", ");
}

// Where a branch grows at this moment: at what its job saved last, or else at its head.
function growing({ nodes, node, run }) {
	const { branch } = node;
	if (run || !branch.job) return false;
	const newest = state.nodes.findLast(({ job }) => job === branch.job);
	return newest ? nodes.includes(newest) : branch.head === node.id;
}

function shape(item) {
	const { node, run } = item;
	const siblings = item.parent ? item.parent.children : state.items.filter(({ parent }) => !parent);
	const group = make("g", {
		role: "treeitem",
		class: "tree-node",
		transform: `translate(${item.x} ${y(item)})`,
		"aria-label": words(item),
		"aria-level": item.depth + 1,
		"aria-setsize": siblings.length,
		"aria-posinset": siblings.indexOf(item) + 1,
		"aria-expanded": run ? "false" : null,
		"data-id": node.id,
		"data-kind": run ? "run" : node.kind,
		"data-pruned": (!run && node.pruned) || null,
	});
	const reach = ends(item) ? 32 + (node.picture ? 40 : 0) + 66 : 32;
	const hit = { x: run ? -22 : -16, y: -20, width: run ? 44 : reach, height: 40, rx: 16, class: "hit" };
	group.append(make("rect", hit));
	if (growing(item)) group.append(make("circle", { r: 12, class: "live" }));
	if (!run) group.append(make("circle", { r: 15, class: "chosen" }));
	if (node.heads.length && !run) group.append(make("circle", { r: 11.5, class: "head" }));
	const body = run ? make("rect", { x: -18, y: -10, width: 36, height: 20, rx: 10 }) : SHAPES[node.kind]();
	body.classList.add("mark");
	if (!run && node.level !== null && !node.pruned) body.setAttribute("fill", colour(node.level, state.palette));
	if (!run && node.level !== null && node.pruned) body.setAttribute("stroke", colour(node.level, state.palette));
	group.append(body);
	return group;
}

// Tag, alarm, star and best, above and under a mark; and at the end of a line its newest picture, as the model makes
// it, and its value.
function beside(item) {
	const { node, run, nodes } = item;
	const found = make("g", { transform: `translate(${item.x} ${y(item)})`, "data-of": node.id });
	const add = (textContent, attributes) => {
		const text = make("text", attributes);
		text.textContent = textContent;
		found.append(text);
	};
	if (label(item)) add(label(item), { y: run ? 4 : 25, class: run ? "of-run" : "tag" });
	const alarmed = nodes.some(({ alarms }) => alarms);
	if (alarmed) add("⚠", { x: run ? 20 : 10, y: -10, class: "alarm" });
	if (run) return found;
	const praise = [node.starred && "★", node.best && (ofWeights() ? "lowest" : "best")].filter(Boolean).join(" ");
	if (praise) add(praise, { x: 0, y: alarmed ? -22 : -16, class: "star" });
	if (!ends(item)) return found;
	if (node.picture) {
		const [url, width, height, tileWidth, tileHeight] = node.picture;
		const box = { x: 22, y: -20, width: 40, height: 40, viewBox: `0 ${tileHeight} ${tileWidth} ${tileHeight}` };
		const image = make("image", { href: url, width, height, class: "pixels" });
		found.append(make("svg", { ...box, preserveAspectRatio: "xMidYMid slice" }, image));
	}
	if (node.value !== null) add(compact(node.value), { x: node.picture ? 70 : 22, y: 4, class: "value" });
	return found;
}
const ends = (item) => !item.run && item === state.plan.lanes[item.lane].items.at(-1) && !state.narrow;

// What the node under the pointer or the focus is, beside it. It takes no pointer, and is read by nobody: the node
// itself says the same.
const card = () => document.getElementById("tree-card");
function showCard(item) {
	const box = card();
	if (!box) return;
	if (!item || item.run) return void (box.hidden = true);
	const { node } = item;
	const rows = [
		[state.wire.metric, node.value === null ? "not measured" : compact(node.value)],
		["step", node.step.toLocaleString("en")],
		node.tag && ["branch", node.branch.name],
		["saved", `${node.kind}, ${when(node.at)}`],
		node.edge && ["differs by", node.edge],
		node.alarms && ["alarm", node.alarms],
	].filter(Boolean);
	const list = html("dl", {});
	for (const [name, value] of rows) list.append(html("dt", { textContent: name }), html("dd", { textContent: value }));
	const parts = [html("b", { textContent: called(node) }), list];
	if (node.picture) {
		const [src, width, height, tileWidth, tileHeight] = node.picture;
		const box = make("svg", {
			class: "thumb",
			viewBox: `0 0 ${Math.min(width, 5 * tileWidth)} ${2 * tileHeight}`,
		});
		box.append(make("image", { href: src, width, height, class: "pixels" }));
		parts.unshift(box);
	}
	box.replaceChildren(...parts);
	box.hidden = false;
	const outer = panel().getBoundingClientRect();
	const mark = elementOf(item)?.querySelector(".mark").getBoundingClientRect();
	if (!mark) return void (box.hidden = true);
	const [width, height] = [box.offsetWidth, box.offsetHeight];
	const middle = mark.left + mark.width / 2 - outer.left;
	const x = Math.max(8, Math.min(outer.width - width - 8, middle - width / 2));
	const below = mark.bottom + 24 + height < innerHeight;
	const top = below ? mark.bottom - outer.top + 18 : mark.top - outer.top - height - 18;
	box.style.setProperty("translate", `${x}px ${top}px`);
}
const clock = new Intl.DateTimeFormat("en", {
	day: "numeric",
	month: "short",
	hour: "2-digit",
	minute: "2-digit",
	hour12: false,
});
const when = (at) => (at ? clock.format(at) : "");

// What the colours mean. By rank, the bar says what stands at its ends and in its middle.
function legend() {
	const place = document.getElementById("tree-legend");
	const { metric: name, metrics } = state.wire;
	const found = quantiles(state.nodes);
	if (!found) return void (place.textContent = state.nodes.length ? `${name} is not measured of any of these` : "");
	const [low, middle, high] = found;
	const text = (textContent, className = "") => html("span", { textContent, className });
	const better = `${name}, ${metrics[name] ? "higher" : "lower"} is better`;
	if (low === high) return place.replaceChildren(text(`all ${compact(low)}`), text(`${better}; grey: none`, "soft"));
	const palette = chosenOf("palette");
	const part = (_, i) => make("rect", { x: i * 6, width: 6.5, height: 10, fill: colour(i / 23, palette) });
	const bar = make("svg", { width: 144, height: 10, "aria-hidden": "true" }, ...Array.from({ length: 24 }, part));
	const how = chosenOf("scale") === "size" ? `by size, the outermost alike` : `by rank, half below ${compact(middle)}`;
	place.replaceChildren(text(compact(low)), bar, text(compact(high)), text(`${how}; ${better}; grey: none`, "soft"));
}

const elementOf = (item) => state.shown?.shapes.get(item);

function reveal(item) {
	settle();
	const box = plot();
	const [left, top] = [item.x - 80 - (state.narrow ? 0 : NAMES_PX), y(item) - TOP];
	if (left < box.scrollLeft) box.scrollLeft = left;
	if (item.x + 80 > box.scrollLeft + box.clientWidth) box.scrollLeft = item.x + 80 - box.clientWidth;
	if (top < box.scrollTop) box.scrollTop = top;
	if (y(item) + 60 > box.scrollTop + box.clientHeight) box.scrollTop = y(item) + 60 - box.clientHeight;
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

// The sheet beside the tree is closed: the tree takes its place.
function close({ push = true } = {}) {
	const query = new URLSearchParams(location.search);
	query.delete("node");
	if (push) history.pushState(null, "", query.size ? `?${query}` : location.pathname);
	state.chosen = 0;
	document.getElementById("node").replaceWith(document.getElementById("node-none").content.cloneNode(true));
	draw();
	elementOf(state.focus)?.focus({ preventScroll: true });
}

const first = (lane) => state.plan.lanes[lane]?.items[0];
const nearest = (lane, x) =>
	state.plan.lanes[lane]?.items.reduce((a, b) => (Math.abs(b.x - x) < Math.abs(a.x - x) ? b : a));
function aside(item, by) {
	let lane = item.lane + by;
	while (state.plan.lanes[lane]?.idle) lane += by;
	return nearest(lane, item.x);
}
const MOVES = {
	ArrowRight: (item) => item.children.find(({ lane }) => lane === item.lane) ?? item.children[0],
	ArrowLeft: (item) => item.parent,
	ArrowDown: (item) => aside(item, 1),
	ArrowUp: (item) => aside(item, -1),
	Home: () => first(0),
	End: (item) => state.plan.lanes[item.lane].items.at(-1),
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

const itemOf = (element) => state.items.find(({ node }) => node.id === Number(element.dataset.id));

document.addEventListener("keydown", (event) => {
	const element = event.target.closest?.(".tree-node");
	if (!element || event.ctrlKey || event.metaKey || event.altKey) return;
	const item = itemOf(element);
	if (MOVES[event.key]) focus(MOVES[event.key](item));
	else if (event.key === "Enter" || event.key === " ") enter(item);
	else return;
	event.preventDefault();
	event.stopImmediatePropagation();
});
// Escape closes the sheet, but first what is open within it, and never while somebody types. Asked on the way down:
// on the way up a menu has closed itself already.
document.addEventListener("keydown", ({ key, target }) => key === "Escape" && closable(target) && close(), true);
function closable(target) {
	const within = target.closest?.(".tree-page");
	const busy = target.closest?.("input, textarea, select, details[open]") || document.querySelector("dialog[open]");
	return within && !busy && document.getElementById("node").dataset.nodeId;
}

document.addEventListener("click", (event) => {
	const { target } = event;
	const element = target.closest(".tree-node");
	if (element) {
		const item = itemOf(element);
		focus(item, false);
		return enter(item);
	}
	if (target.closest("[data-tree-all]")) {
		state.all = !state.all;
		state.open.clear();
		build();
		return;
	}
	if (event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
	if (target.closest("[data-node-close]")) {
		event.preventDefault();
		return close();
	}
	const link = target.closest("a[data-node]");
	if (!link || !page()) return;
	event.preventDefault();
	choose(Number(link.dataset.node), { push: true });
	state.focus = state.items.find(({ nodes }) => nodes.some(({ id }) => id === state.chosen)) ?? state.focus;
	if (state.focus) {
		reveal(state.focus);
		draw();
	}
	document.getElementById("node").scrollIntoView({ block: "nearest" });
});

for (const [event, shows] of [
	["pointerover", true],
	["focusin", true],
	["pointerout", false],
	["focusout", false],
])
	document.addEventListener(event, ({ target }) => {
		const element = target.closest?.(".tree-node");
		if (!element || (shows && event === "focusin" && !element.matches(":focus-visible"))) return;
		showCard(shows ? itemOf(element) : null);
	});

const AGAIN = new Set(["palette", "axis", "scale"]);
document.addEventListener("change", async ({ target }) => {
	if (!target.form?.matches(".tree-tools")) return;
	const query = new URLSearchParams(location.search);
	for (const { name, value } of target.form.querySelectorAll("select")) query.set(name, value);
	history.replaceState(null, "", `?${query}`);
	if (target.name === "scale") level(state.nodes, target.value);
	if (AGAIN.has(target.name)) return build();
	await load();
	query.set("panel", "checkpoints");
	htmx.ajax("GET", `?${query}`, { target: "#checkpoints", swap: "outerMorph" });
});

addEventListener("popstate", () => {
	if (asked()) choose(asked());
	else if (document.getElementById("node").dataset.nodeId) close({ push: false });
});

let pending = 0;
document.addEventListener(
	"scroll",
	({ target }) => {
		if (target !== plot() || pending) return;
		pending = requestAnimationFrame(() => {
			pending = 0;
			if (card()?.hidden === false) showCard(null);
			const { scrollLeft, scrollTop } = plot();
			if (drawn !== `${Math.round(scrollLeft / 200)} ${Math.round(scrollTop / 200)}`) draw();
		});
	},
	true,
);

// The tree fills what is beside the sheet, however wide that is.
const sized = new ResizeObserver(() => plot() && state.wire && plot().clientWidth !== state.width && build());

// The panel comes anew when a checkpoint was made, marked or deleted.
let shown = panel().dataset.topics;
document.addEventListener("htmx:after:swap", () => {
	if (document.querySelector("#node[data-gone]")) state.chosen = 0;
	if (panel()?.dataset.topics === shown) return;
	shown = panel().dataset.topics;
	if (plot()) begin();
});
function begin() {
	sized.disconnect();
	sized.observe(plot());
	load();
}
if (plot()) begin();
