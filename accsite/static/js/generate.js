// The preview of a generator: eight images for the parameters as they stand, and the same as texts to copy.

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
	for (const { name, value } of form().elements) if (name.startsWith("params-") && value !== "") params[name.slice(7)] = value;
	const { generator } = form().dataset;
	return { generator, params, seed: form().elements.seed.value || "0" };
}

// Copying says what would be sent if the button were pressed now.
function describe({ generator, params, seed }) {
	const place = form().querySelector(".copy-as");
	const { n, name } = form().elements;
	const body = { generator, params, seed: Number(seed) || 0, ...(n.value && { n: Number(n.value) }), ...(name.value && { name: name.value }) };
	place.dataset.body = JSON.stringify(body);
	const options = Object.entries(params).flatMap(([key, value]) => ["--param", `${key}=${value}`]);
	place.dataset.cli = JSON.stringify(["generate", generator, ...(n.value ? ["--n", n.value] : []), "--seed", seed, ...(name.value ? ["--name", name.value] : []), ...options]);
}

function say(text, bad = false) {
	said.textContent = text;
	said.classList.toggle("bad", bad);
}

function mark(errors) {
	for (const old of form().querySelectorAll(".error[data-preview]")) {
		const input = old.parentElement.querySelector("input, select");
		input.removeAttribute("aria-invalid");
		input.removeAttribute("aria-describedby");
		old.remove();
	}
	const rest = [];
	for (const [where, messages] of Object.entries(errors)) {
		const text = [messages].flat().join(" ");
		const key = where.replace(/^params\./, "");
		const input = form().elements[`params-${key}`] ?? (key === "seed" ? form().elements.seed : null);
		if (!input) {
			rest.push(text);
			continue;
		}
		const place = input.closest(".field");
		place.querySelector(".error")?.remove();
		const error = Object.assign(document.createElement("span"), { className: "error", id: `${input.id}_error`, textContent: text });
		error.dataset.preview = "";
		place.append(error);
		input.setAttribute("aria-invalid", "true");
		input.setAttribute("aria-describedby", error.id);
	}
	return rest;
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
		for (const [name, value] of Object.entries({ href: url, width: width * n, height, x: -i * width })) image.setAttribute(name, value);
		const all = targets.map((target) => `${target.name.replaceAll("_", " ")} ${words(target, columns[target.name][i])}`);
		svg.setAttribute("aria-label", `Image ${i + 1}: ${all.join(", ")}`);
		const caption = figure.querySelector("figcaption");
		caption.textContent = targets.slice(0, 2).map((target) => words(target, columns[target.name][i])).join("\n");
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
		const response = await fetch(preview.dataset.url, {
			method: "POST",
			headers: { "Content-Type": "application/json", "X-CSRFToken": form().elements.csrfmiddlewaretoken.value },
			body: JSON.stringify({ ...wanted, form: page }),
			signal: running.signal,
		});
		if (response.status === 409) return;
		const found = await response.json();
		if (text !== last) return;
		const rest = mark(response.status === 422 ? found.errors : {});
		if (response.ok) draw(found);
		else say(response.status === 422 ? rest.join(" ") || "see the marked fields" : found.detail || "no preview", true);
	} catch (error) {
		if (error.name === "AbortError") return;
		last = "";
		say("The server could not be reached.", true);
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
