// The preview of a generator: eight images for the parameters as they stand, and the same as texts to copy.

import { mark } from "./beside.js";

const WAIT_MS = 250;
const preview = document.getElementById("preview");
const said = document.getElementById("preview-said");
const figures = [...preview.querySelectorAll("figure")];
const page = Math.random().toString(36).slice(2); // of one page the last request wins, on the server too
const form = () => document.getElementById("plugin-fields");

let last = ""; // what was asked for last
let running = null;
let timer = null;

function values() {
	const params = {};
	for (const { name, value, type } of form().elements)
		if (name.startsWith("params-") && value !== "" && type !== "hidden") params[name.slice(7)] = value;
	return { generator: form().dataset.generator, params, seed: form().elements.seed.value || "0" };
}

// Copying says what would be sent if the button were pressed now.
function describe({ generator, params, seed }) {
	const place = form().querySelector(".copy-as");
	const { n, name } = form().elements;
	const body = {
		generator,
		params,
		seed: Number(seed) || 0,
		...(n.value && { n: Number(n.value) }),
		...(name.value && { name: name.value }),
	};
	place.dataset.body = JSON.stringify(body);
	const options = Object.entries(params).flatMap(([key, value]) => ["--param", `${key}=${value}`]);
	place.dataset.cli = JSON.stringify([
		"generate",
		generator,
		...(n.value ? ["--n", n.value] : []),
		"--seed",
		seed,
		...(name.value ? ["--name", name.value] : []),
		...options,
	]);
}

function say(text, bad = false) {
	said.textContent = text;
	said.classList.toggle("bad", bad);
}

function words(target, value) {
	return target.kind === "class" ? String(target.labels?.[value] ?? value) : String(Number(value.toPrecision(3)));
}

function draw({ url, n, width, height, targets, values: columns }) {
	figures.forEach((figure, i) => {
		figure.hidden = i >= n;
		if (i >= n) return;
		const svg = figure.querySelector("svg");
		const image = svg.querySelector("image");
		svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
		for (const [name, value] of Object.entries({ href: url, width: width * n, height, x: -i * width }))
			image.setAttribute(name, value);
		const all = targets.map(
			(target) => `${target.name.replaceAll("_", " ")} ${words(target, columns[target.name][i])}`,
		);
		svg.setAttribute("aria-label", `Image ${i + 1}: ${all.join(", ")}`);
		const caption = figure.querySelector("figcaption");
		caption.textContent = targets
			.slice(0, 2)
			.map((target) => words(target, columns[target.name][i]))
			.join("\n");
		figure.title = all.join(", ");
	});
	const names = targets.slice(0, 2).map(({ name }) => name.replaceAll("_", " "));
	say(names.length ? `below each: ${names.join(", ")}` : "eight images");
}

async function ask() {
	if (!form()) return;
	const wanted = values();
	describe(wanted);
	const text = JSON.stringify(wanted);
	if (text === last) return;
	last = text;
	running?.abort();
	running = new AbortController();
	preview.dataset.state = "busy";
	try {
		const response = await fetch(
			`${preview.dataset.url}?generator=${encodeURIComponent(wanted.generator)}&page=${page}`,
			{
				method: "POST",
				body: new FormData(form()),
				signal: running.signal,
			},
		);
		if (!response.ok) throw new Error(`the server answered ${response.status}`);
		const found = await response.json();
		if (text !== last || found.superseded) return;
		const rest = mark(form(), found.errors ?? {});
		if (found.errors) say(rest.join(" ") || "see the marked fields", true);
		else draw(found);
	} catch (error) {
		if (error.name === "AbortError") return;
		last = "";
		say(`No preview: ${error.message}.`, true);
	}
	if (text === last || !last) delete preview.dataset.state;
}

function soon() {
	clearTimeout(timer);
	timer = setTimeout(ask, WAIT_MS);
}

document.addEventListener("input", ({ target }) => target.form === form() && soon());
// The form is fetched anew when another generator is chosen, and when a plugin has changed.
document.addEventListener("htmx:after:swap", () => {
	last = "";
	ask();
});
ask();
