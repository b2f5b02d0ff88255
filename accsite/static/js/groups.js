// The latent drawn as a bar whose factor groups have borders to drag, or to move with the arrow keys.
// The fields below the bar are what is sent; the bar draws them and writes into them.

const SVG = "http://www.w3.org/2000/svg";
const HEIGHT = 38;
const KEYS = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -4, PageUp: 4 };
const bar = () => document.getElementById("groups-bar");
const list = () => document.querySelector("#groups ol");
const latent = () =>
	Math.min(4096, Math.max(1, Math.floor(+document.querySelector("#plugin-fields [name=latent_dim]").value) || 1));

function make(tag, attributes, ...children) {
	const element = document.createElementNS(SVG, tag);
	for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
	element.append(...children);
	return element;
}

// The rows that hold a range within the latent, from left to right.
function rows() {
	return [...list().children]
		.map((li, index) => {
			const [name, start, end] = ["name", "start", "end"].map((key) => li.querySelector(`[name=group-${key}]`));
			return {
				li,
				index,
				name,
				start,
				end,
				from: start.value === "" ? NaN : +start.value,
				to: end.value === "" ? NaN : +end.value,
			};
		})
		.filter(
			({ from, to }) => Number.isInteger(from) && Number.isInteger(to) && from >= 0 && from < to && to <= latent(),
		)
		.sort((a, b) => a.from - b.from);
}

function free(found = rows()) {
	const parts = [];
	let at = 0;
	for (const { from, to } of found) {
		if (from > at) parts.push([at, from]);
		at = Math.max(at, to);
	}
	if (at < latent()) parts.push([at, latent()]);
	return parts;
}

// A border belongs to one group, or to two that touch; it moves between its neighbours.
function borders(found) {
	const made = [];
	found.forEach((row, i) => {
		const before = found[i - 1];
		const after = found[i + 1];
		const title = row.name.value || `group ${row.index + 1}`;
		if (before?.to === row.from)
			made.push({
				id: `${before.index}|${row.index}`,
				at: row.from,
				least: before.from + 1,
				most: row.to - 1,
				label: `Border of ${before.name.value || `group ${before.index + 1}`} and ${title}`,
				fields: [before.end, row.start],
			});
		else
			made.push({
				id: `${row.index}<`,
				at: row.from,
				least: before?.to ?? 0,
				most: row.to - 1,
				label: `Beginning of ${title}`,
				fields: [row.start],
			});
		if (after?.from !== row.to)
			made.push({
				id: `${row.index}>`,
				at: row.to,
				least: row.from + 1,
				most: after?.from ?? latent(),
				label: `End of ${title}`,
				fields: [row.end],
			});
	});
	return made;
}

let held = null; // the border being dragged
function draw() {
	if (!bar()) return;
	const width = bar().clientWidth || 600;
	const x = (dimension) => 1 + (dimension / latent()) * (width - 2);
	const found = rows();
	const focused = document.activeElement?.dataset?.border;
	// A group's hue is that of its place in the latent, here as wherever it is shown.
	const others = [...list().children].filter((li) => !found.some((row) => row.li === li));
	for (const [i, li] of [...found.map(({ li }) => li), ...others].entries()) li.dataset.slot = i % 8;
	const parts = free(found).map(([from, to]) =>
		make("rect", {
			class: "free",
			x: x(from),
			width: x(to) - x(from),
			height: HEIGHT,
			"data-from": from,
			"data-to": to,
		}),
	);
	const ticks =
		latent() <= 128
			? Array.from({ length: latent() - 1 }, (_, i) =>
					make("path", { class: "tick", d: `M${x(i + 1)} ${HEIGHT - 5}v5` }),
				)
			: [];
	const filled = found.map((row, i) => {
		const place = { x: x(row.from), width: x(row.to) - x(row.from) };
		return make(
			"g",
			{ "data-slot": i % 8, "data-part": row.index },
			make("rect", { class: "part", ...place, height: HEIGHT }),
			make("rect", { class: "edge", ...place, y: HEIGHT - 4, height: 4 }),
		);
	});
	const names = found.map((row) => {
		const text = make("text", { x: x(row.from) + 8, y: HEIGHT / 2 + 3 });
		const room = Math.floor((x(row.to) - x(row.from) - 16) / 7);
		text.textContent = room > 2 ? row.name.value.slice(0, room) : "";
		return text;
	});
	const range = ({ from, to, name }) => make("title", {}, `${name.value || "a group"} ${from}:${to}`);
	filled.forEach((part, i) => part.append(range(found[i])));
	const grips = borders(found).map((border) => {
		const grip = make("rect", { class: "grip", x: -5, y: 2, width: 10, height: HEIGHT - 4, rx: 3 });
		const wide = make("rect", { x: -12, y: -4, width: 24, height: HEIGHT + 8, fill: "transparent" });
		return make(
			"g",
			{
				role: "slider",
				tabindex: 0,
				"aria-label": border.label,
				"aria-valuenow": border.at,
				"aria-valuemin": border.least,
				"aria-valuemax": border.most,
				"aria-valuetext": `before dimension ${border.at}`,
				"data-border": border.id,
				transform: `translate(${x(border.at)} 0)`,
			},
			wide,
			grip,
		);
	});
	bar().replaceChildren(...parts, ...filled, ...ticks, ...names, ...grips);
	if (focused) bar().querySelector(`[data-border="${focused}"]`)?.focus({ preventScroll: true });
}

function move(id, to) {
	const border = borders(rows()).find((each) => each.id === id);
	if (!border) return;
	const at = Math.max(border.least, Math.min(border.most, to));
	if (at === border.at) return;
	for (const field of border.fields) field.value = at;
	changed();
}

// Whoever draws the model hears of it as of typing.
function changed() {
	draw();
	list().querySelector("input")?.dispatchEvent(new Event("input", { bubbles: true }));
}

const at = ({ clientX }) => {
	const box = bar().getBoundingClientRect();
	return Math.round(((clientX - box.left) / box.width) * latent());
};
document.addEventListener("pointerdown", (event) => {
	const grip = event.target.closest?.("[data-border]");
	if (!grip) return;
	event.preventDefault();
	held = grip.dataset.border;
	grip.focus();
});
document.addEventListener("pointermove", (event) => held && move(held, at(event)));
for (const end of ["pointerup", "pointercancel"]) document.addEventListener(end, () => (held = null));
document.addEventListener("keydown", (event) => {
	const grip = event.target.closest?.("[data-border]");
	if (!grip || !(event.key in KEYS || event.key === "Home" || event.key === "End")) return;
	event.preventDefault();
	const now = Number(grip.getAttribute("aria-valuenow"));
	const ends = { Home: "aria-valuemin", End: "aria-valuemax" };
	move(grip.dataset.border, event.key in ends ? Number(grip.getAttribute(ends[event.key])) : now + KEYS[event.key]);
});

// A new group takes a free part, or half of the widest group.
function add(from, to) {
	if (from === undefined) {
		const part = free().sort((a, b) => b[1] - b[0] - (a[1] - a[0]))[0];
		if (part) [from, to] = part;
		else {
			const widest = rows().reduce((a, b) => (b.to - b.from > a.to - a.from ? b : a));
			if (widest.to - widest.from < 2) return;
			[from, to] = [Math.floor((widest.from + widest.to) / 2), widest.to];
			widest.end.value = from;
		}
	}
	const inputs = (li) => [...li.querySelectorAll("input")];
	let li = [...list().children].find((each) => inputs(each).every(({ value }) => value === ""));
	if (!li) {
		li = list().lastElementChild.cloneNode(true);
		const index = list().children.length;
		for (const input of inputs(li)) input.id = input.id.replace(/\d+$/, index);
		for (const input of inputs(li))
			if (input.hasAttribute("aria-label"))
				input.setAttribute("aria-label", input.getAttribute("aria-label").replace(/\d+$/, index + 1));
		li.querySelector(".vh").textContent = `Name of group ${index + 1}`;
		list().append(li);
	}
	const [name, start, end] = inputs(li);
	[name.value, start.value, end.value] = ["", from, to];
	changed();
	name.focus();
}
document.addEventListener("click", ({ target }) => {
	const free = target.closest?.("#groups-bar .free");
	if (free) add(+free.dataset.from, +free.dataset.to);
	const part = target.closest?.("#groups-bar [data-part]");
	if (part) list().children[part.dataset.part].querySelector("[name=group-name]").select();
	if (target.closest("[data-add-group]")) add();
	const remove = target.closest("[data-remove-group]");
	if (!remove) return;
	for (const input of remove.closest("li").querySelectorAll("input")) input.value = "";
	changed();
});

document.addEventListener("input", ({ target }) => /^(group-|latent_dim)/.test(target.name ?? "") && draw());
document.addEventListener("htmx:after:swap", draw);
addEventListener("resize", draw);
draw();
