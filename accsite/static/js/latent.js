// The panel of a latent: what it needs is loaded by the first touch, and its state stands in the address.

const root = document.getElementById("latent");
const params = () => new URLSearchParams(location.search);
const links = () => [...root.querySelectorAll("[data-checkpoint]")];
const heads = () => links().map(({ dataset }) => +dataset.checkpoint);
const decoderOf = (pk) => links().find(({ dataset }) => +dataset.checkpoint === pk).dataset.decoder;
const KEYS = ["seed", "image", "by", "axis", "part"];
let loading = null;

function asked() {
	const given = params();
	const image = given.get("image")?.match(/^(.+):(\d+)$/);
	const by = (given.get("by") ?? "").split(",").map((pair) => pair.split(":").map(Number));
	return {
		seed: given.has("seed") ? Math.max(0, Math.floor(+given.get("seed") || 0)) : undefined,
		dataset: image?.[1],
		row: image && +image[2],
		by: by.filter(([d, sd]) => Number.isInteger(d) && d >= 0 && Number.isFinite(sd)),
		axis: given.get("axis"),
		part: Math.min(1, Math.max(0, +given.get("part") || 0)),
	};
}

function remember({ seed, dataset, row, by, axis, part }) {
	const given = params();
	for (const key of KEYS) given.delete(key);
	if (dataset) given.set("image", `${dataset}:${row}`);
	else if (seed !== undefined) given.set("seed", seed);
	if (by.length) given.set("by", by.map((pair) => pair.join(":")).join(","));
	if (axis) given.set("axis", axis);
	if (part) given.set("part", part);
	const query = `?${given}`.replaceAll("%3A", ":").replaceAll("%2C", ",");
	if (query !== location.search) history.replaceState(history.state, "", query + location.hash);
}

async function load() {
	const [{ Hand }, { ServerSource }] = await Promise.all([import("./hand.js"), import("./latent_socket.js")]);
	const server = new ServerSource(root.dataset.socket);
	const weights = root.hasAttribute("data-alone") ? "its weights" : "the newest weights";
	const caption = () => `decoded by ${weights}${hand.source === server ? "" : ", in the browser"}`;
	const hand = new Hand(root, server, { heads, remember, caption });
	hand.restore(asked());
	return { hand, server };
}
const loaded = () => (loading ??= load());

// What the very first touch was is done once the rest is there.
async function first(event) {
	const begun = loading !== null;
	const { hand } = await loaded();
	if (begun) return;
	if (event.type === "input") hand.onInput(event.target);
	else if (event.target.matches("[data-shuffle]")) hand.shuffle();
	else if (event.target.matches("[data-centre]")) hand.back();
	else if (event.target.matches("[data-play]")) hand.play();
}

async function here(button) {
	const { hand, server } = await loaded();
	if (hand.source !== server) {
		hand.source.close();
		hand.source = server;
	} else {
		const { HereSource } = await import("./latent_here.js");
		const source = new HereSource(server, root.dataset.worker, decoderOf);
		hand.say("The decoder is being brought here…");
		try {
			await Promise.all(heads().map((pk) => source.load(pk)));
			hand.source = source;
		} catch (error) {
			source.close();
			return hand.say(error.message, true);
		}
	}
	button.setAttribute("aria-pressed", String(hand.source !== server));
	hand.touched = performance.now();
	hand.draw();
}

async function send(button) {
	const { hand, server } = await loaded();
	button.disabled = true;
	hand.say("The file is being made…");
	try {
		const file = await import("./latent_file.js");
		file.save(await file.page(hand, server, decoderOf), root.dataset.name);
		hand.say("The file is saved: it opens without a network, by a double click.");
	} catch (error) {
		hand.say(error.message, true);
	}
	button.disabled = false;
}

if (root?.dataset.socket) {
	for (const group of root.querySelectorAll("[data-width]")) group.style.setProperty("--wide", group.dataset.width);
	const { seed, dataset, row, part } = asked();
	const set = (name, values) => Object.assign(root.querySelector(`[data-${name}]`) ?? {}, values);
	if (seed !== undefined) set("seed", { value: seed });
	if (dataset) {
		set("dataset", { value: dataset });
		set("row", { value: row, disabled: false });
	}
	set("between", { value: part });
	root.addEventListener("input", first);
	root.addEventListener("click", (event) => {
		const { target } = event;
		if (target.matches("[data-here]")) here(target);
		else if (target.matches("[data-send]")) send(target);
		else if (target.matches("[data-shuffle], [data-centre], [data-play]")) first(event);
	});
	let known = heads().join();
	document.addEventListener("htmx:after:swap", async () => {
		if (heads().join() === known) return;
		known = heads().join();
		if (known) for (const part of root.querySelectorAll("[inert]")) part.inert = false; // the first one is saved
		if (loading) (await loading).hand.replaced();
	});
}
