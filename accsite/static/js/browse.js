// One dataset's page: histograms that are brushed, samples that are read by pointer and keys, all of it in the address.

const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];
const form = () => document.getElementById("browse");
const LEAST_PX = 4;

let wanted = 0;
async function show(url, push = true) {
	const mine = ++wanted;
	form().setAttribute("aria-busy", "true");
	try {
		await htmx.ajax("GET", url, { target: "#browse", swap: "outerMorph" });
	} finally {
		if (mine === wanted) form().removeAttribute("aria-busy");
	}
	if (mine !== wanted) return;
	for (const field of form().elements) {
		if (field.type === "checkbox") field.checked = field.defaultChecked;
		else if (field instanceof HTMLInputElement && field !== document.activeElement) field.value = field.defaultValue;
	}
	if (push) history.pushState(null, "", url);
}

// Classes go as one field, page and empty fields not at all.
function address() {
	const query = new Map();
	for (const [name, value] of new FormData(form()))
		if (value !== "") query.set(name, query.has(name) ? `${query.get(name)},${value}` : value);
	const text = new URLSearchParams([...query]).toString().replaceAll("%2C", ",");
	return text ? `${form().getAttribute("action")}?${text}` : form().getAttribute("action");
}
const apply = () => show(address());

document.addEventListener("change", ({ target }) => target.form && target.form === form() && apply());
document.addEventListener("submit", (event) => {
	if (event.target !== form()) return;
	event.preventDefault();
	apply();
});
document.addEventListener("click", (event) => {
	const cleared = event.target.closest("[data-clear]");
	if (cleared) {
		clear(cleared.dataset.clear);
		apply();
		return;
	}
	const link = event.target.closest("#browse a[href^='?']");
	if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
	event.preventDefault();
	show(location.pathname + (link.getAttribute("href") === "?" ? "" : link.getAttribute("href")));
});
addEventListener("popstate", () => show(location.pathname + location.search, false));

const fields = (target) =>
	["min", "max", "in"].map((kind) => $$(`[name="${CSS.escape(`${target}.${kind}`)}"]`, form()));
function clear(target) {
	const [[least], [greatest], ticks] = fields(target);
	if (least) least.value = greatest.value = "";
	for (const tick of ticks) tick.checked = false;
}

// A brush: drag over the bars. A click takes the range away, or turns one class on or off.
let brush = null;
function at({ clientX }) {
	const box = brush.svg.getBoundingClientRect();
	return Math.max(0, Math.min(1, (clientX - box.left) / box.width));
}
document.addEventListener("pointerdown", (event) => {
	const svg = event.target.closest?.("#browse .hist");
	if (!svg || event.button) return;
	brush = { svg, from: 0, px: event.clientX };
	brush.from = at(event);
	svg.setPointerCapture(event.pointerId);
});
document.addEventListener("pointermove", (event) => {
	if (!brush || Math.abs(event.clientX - brush.px) < LEAST_PX) return;
	const [low, high] = [brush.from, at(event)].sort((a, b) => a - b);
	const span = brush.svg.querySelector(".span");
	span.setAttribute("x", low * 300);
	span.setAttribute("width", Math.max(0.01, (high - low) * 300));
});
document.addEventListener("pointercancel", () => (brush = null));
document.addEventListener("pointerup", (event) => {
	if (!brush) return;
	const { svg, from, px } = brush;
	const [begin, end] = [from, at(event)].sort((a, b) => a - b);
	brush = null;
	const { target, kind, low, high } = svg.dataset;
	const [first, width] = [Number(low), Number(high) - Number(low)];
	const moved = Math.abs(event.clientX - px) >= LEAST_PX;
	const [[least], [greatest], ticks] = fields(target);
	if (ticks.length) {
		const classes = [begin, end].map((part) => Math.min(ticks.length - 1, Math.floor(part * ticks.length)));
		ticks.forEach((tick, i) => {
			const inside = i >= classes[0] && i <= classes[1];
			if (moved) tick.checked = inside;
			else if (inside) tick.checked = !tick.checked;
		});
	} else if (moved) {
		const digits = (value) => (kind === "class" ? value : Number(value.toPrecision(4)));
		least.value = kind === "class" ? Math.ceil(first + begin * width) : digits(first + begin * width);
		greatest.value = kind === "class" ? Math.floor(first + end * width) : digits(first + end * width);
	} else if (least.value || greatest.value) clear(target);
	else return;
	apply();
});

// Samples: one stop for the Tab key, arrows within; what is under the pointer or the focus is read below.
function say({ target }) {
	const sample = target.closest?.("[data-arrows] svg");
	if (sample) document.getElementById("said").textContent = sample.getAttribute("aria-label");
}
document.addEventListener("pointerover", say);
document.addEventListener("focusin", say);
document.addEventListener("keydown", (event) => {
	const sample = event.target.closest?.("[data-arrows] svg");
	if (!sample) return;
	const all = $$("[data-arrows] svg");
	const top = all[0].getBoundingClientRect().top;
	const below = all.findIndex((other) => other.getBoundingClientRect().top > top + 2);
	const across = below > 0 ? below : all.length; // how many stand beside each other
	const move = {
		ArrowLeft: -1,
		ArrowRight: 1,
		ArrowUp: -across,
		ArrowDown: across,
		Home: -all.length,
		End: all.length,
	}[event.key];
	if (!move) return;
	event.preventDefault();
	const i = all.indexOf(sample);
	const toEnd = ["Home", "End"].includes(event.key);
	const next = all[toEnd ? Math.max(0, Math.min(all.length - 1, i + move)) : i + move];
	if (!next) return;
	for (const other of all) other.setAttribute("tabindex", other === next ? 0 : -1);
	next.focus();
});
