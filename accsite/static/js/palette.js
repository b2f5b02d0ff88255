// The command palette: whatever has a name, what can be done here, and how the site looks. What this page offers and
// where somebody was is known here; the rest is asked of the server, once for each pause in typing.

import { HOLDS, matching } from "./palette_match.js";
import { recent, remember } from "./recent.js";

const PAUSE_MS = 140;
const SHOWN_RECENT = 6;
const SHOWN_HERE = 8;
const $ = (selector, root = document) => root.querySelector(selector);
const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];

function make(tag, properties = {}, ...children) {
	const { role, ...others } = properties;
	const element = Object.assign(document.createElement(tag), others);
	if (role) element.setAttribute("role", role);
	element.append(...children);
	return element;
}

const words = (text) => text.trim().replace(/\s+/g, " ");

// What can be done to what the page is about: see accsite/actions.
const actions = () =>
	unique(
		$$("summary[data-action]").map((element) => ({
			name: words(element.dataset.action),
			about: "action",
			run: () => openAction(element.parentElement),
		})),
	);

// Every link and button of the page that has a name; a mere number is none.
const OFFERED = "main a[href], main button:not([type=submit]), .where a, #topjob :is(button, summary)";
function here() {
	const seen = $$(OFFERED)
		.filter((element) => element.getClientRects().length)
		.map((element) => ({
			name: words(element.ariaLabel || element.textContent),
			about: element.matches("a") ? "link of this page" : "button of this page",
			url: element.matches("a") ? element.getAttribute("href") : "",
			run: () => element.click(),
		}));
	return unique(seen.filter(({ name }) => /\D{2}/.test(name)));
}

function unique(items) {
	return items.filter(({ name }, at) => name && items.findIndex((other) => other.name === name) === at);
}

function places() {
	return $$(".rail a[data-key]").map((link) => ({
		name: words($("span", link)?.textContent ?? link.textContent),
		about: "page",
		keys: `g ${link.dataset.key}`,
		url: link.getAttribute("href"),
	}));
}

function settings() {
	const now = document.documentElement.dataset.theme;
	const themes = unique(
		$$("[data-set-theme]").map((button) => ({
			name: `Theme: ${button.dataset.setTheme}`,
			about: button.dataset.setTheme === now ? "setting, as it is now" : "setting",
			run: () => button.click(),
		})),
	);
	const help = $("[data-help]");
	const keys = { name: "Keyboard", about: "the keys of this page", keys: "?", run: () => help.click() };
	return help ? [...themes, keys] : themes;
}

// Opens the form of an action, and whatever it lies folded in, with the first field ready to be typed into.
function openAction(details) {
	for (let around = details; around; around = around.parentElement.closest("details")) around.open = true;
	details.scrollIntoView({ block: "center" });
	$("form :is(input:not([type=hidden]), select, textarea, button)", details)?.focus();
}

/** Return how the server is asked: the newest question alone, and never while somebody types. */
function asker(address, told) {
	let timer = null;
	let asking = null;
	let asked = "";
	const stop = () => {
		clearTimeout(timer);
		asking?.abort();
		asking = null;
	};
	const ask = async (text) => {
		asking = new AbortController();
		try {
			const answer = await fetch(`${address}?q=${encodeURIComponent(text)}`, {
				signal: asking.signal,
				headers: { Accept: "application/json" },
			});
			if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
			told(await answer.json(), "");
		} catch (error) {
			if (error.name !== "AbortError") told(null, "The server could not be asked: what is listed is of this page.");
		}
	};
	return {
		stop,
		want(text) {
			if (text === asked) return;
			asked = text;
			stop();
			if (text) timer = setTimeout(ask, PAUSE_MS, text);
			else told(null, "");
		},
	};
}

// The styles come with the first opening, which waits for them: a palette without would jump.
const styled = (address) =>
	(styled.loaded ??= new Promise((done) => {
		if (!address || $(`link[href="${address}"]`)) return done();
		document.head.append(make("link", { rel: "stylesheet", href: address, onload: done, onerror: done }));
	}));

/** Open it; `take` gives what was typed while it was awaited, or null once that was ended by Escape. */
export async function openPalette(take) {
	const button = $("[data-palette]");
	const user = button?.dataset.user ?? "";
	await styled(button?.dataset.paletteCss);
	const typed = take();
	if (!typed || $("dialog[open]")) return;

	const asks = "Go to, find, or do";
	const input = make("input", { type: "text", placeholder: `${asks}…`, autocomplete: "off", maxLength: 200 });
	input.spellcheck = false;
	const list = make("div", { id: "palette-found", role: "listbox", ariaLabel: "Found" });
	const said = make("p", { className: "said", role: "status" });
	const hints = [
		["↑ ↓", "choose"],
		["Enter", "go"],
		["Ctrl Enter", "in a new tab"],
		["Esc", "close"],
	].map(([key, what]) => make("span", {}, make("kbd", { textContent: key }), ` ${what}`));
	const foot = make("footer", {}, said, make("div", { className: "hints" }, ...hints));
	for (const [name, value] of Object.entries({
		role: "combobox",
		"aria-expanded": "true",
		"aria-controls": "palette-found",
		"aria-autocomplete": "list",
		"aria-label": asks,
	}))
		input.setAttribute(name, value);
	const box = make("dialog", { id: "palette", ariaLabel: "Command palette" }, input, list, foot);
	document.body.append(box);

	const known = {
		recent: recent(user).filter(({ url }) => url !== location.pathname + location.search),
		actions: actions(),
		here: here(),
		places: places(),
		settings: settings(),
	};
	let found = { text: "", groups: [] };
	let trouble = "";
	let shown = [];
	let chosen = 0;

	const server = asker(button?.dataset.search ?? "/api/v1/search/", (answer, why) => {
		trouble = why;
		found = answer ? { text: answer.query, groups: answer.groups } : { text: "", groups: [] };
		draw();
	});

	const go = (item, aside = false) => {
		if (!item) return;
		if (item.url) remember(user, item);
		box.close();
		if (item.url && aside) window.open(item.url, "_blank", "noopener");
		else if (item.run) item.run();
		else location.assign(item.url);
	};

	function groups() {
		const text = input.value.trim();
		const local = [
			{ heading: "Recent", items: matching(text, known.recent).slice(0, SHOWN_RECENT) },
			{ heading: "Do", items: matching(text, known.actions).slice(0, SHOWN_HERE) },
			{ heading: "On this page", items: text ? matching(text, known.here, HOLDS).slice(0, SHOWN_HERE) : [] },
			{ heading: "Go to", items: matching(text, known.places) },
			{ heading: "Settings", items: matching(text, known.settings) },
		];
		const listed = new Set(local.flatMap(({ items }) => items.map(({ url }) => url).filter(Boolean)));
		// Until the answer to this is there, what was found for less is narrowed here.
		const fresh = found.text === text;
		const remote = found.groups.map((group) => ({
			heading: group.heading,
			items: (fresh ? group.found : matching(text, group.found)).filter(({ url }) => !listed.has(url)),
		}));
		return (text ? [...local.slice(0, 2), ...remote, ...local.slice(2)] : local).filter(({ items }) => items.length);
	}

	function option(item, at) {
		const name = make("span", { className: "name", textContent: item.name });
		const about = make("span", { className: "about", textContent: item.keys ?? item.about ?? "" });
		if (item.keys) about.replaceChildren(...item.keys.split(" ").map((key) => make("kbd", { textContent: key })));
		const element = make("div", { id: `pick-${at}`, role: "option", className: "pick" }, name, about);
		element.ariaSelected = "false";
		element.onclick = (event) => go(item, event.ctrlKey || event.metaKey);
		element.onpointermove = () => at !== chosen && choose(at, false);
		return element;
	}

	function draw() {
		shown = [];
		list.replaceChildren(
			...groups().map(({ heading, items }) => {
				const title = make("div", { className: "heading", role: "presentation", textContent: heading });
				const options = items.map((item) => option(item, shown.push(item) - 1));
				return make("div", { role: "group", ariaLabel: heading }, title, ...options);
			}),
		);
		const text = input.value.trim();
		const waits = text && found.text !== text && !trouble;
		said.textContent =
			trouble || (shown.length ? `${shown.length} found` : waits ? "Looking…" : "Nothing that you may see is called so.");
		choose(Math.min(chosen, Math.max(0, shown.length - 1)), true);
	}

	function choose(at, reveal) {
		$(`#pick-${chosen}`, list)?.setAttribute("aria-selected", "false");
		chosen = at;
		const element = $(`#pick-${at}`, list);
		element?.setAttribute("aria-selected", "true");
		if (element) input.setAttribute("aria-activedescendant", element.id);
		else input.removeAttribute("aria-activedescendant");
		if (reveal) element?.scrollIntoView({ block: "nearest" });
	}

	input.oninput = () => {
		chosen = 0;
		draw();
		list.scrollTop = 0;
		server.want(input.value.trim());
	};
	const moves = { ArrowDown: 1, ArrowUp: -1, PageDown: 8, PageUp: -8 };
	input.onkeydown = (event) => {
		if (event.key in moves && shown.length) {
			const last = shown.length - 1;
			const to = chosen + moves[event.key];
			const around = Math.abs(moves[event.key]) === 1;
			choose(around ? (to + shown.length) % shown.length : Math.max(0, Math.min(last, to)), true);
		} else if (event.key === "Enter") go(shown[chosen], event.ctrlKey || event.metaKey);
		else return;
		event.preventDefault();
	};
	box.onclose = () => {
		server.stop();
		box.remove();
	};
	box.onclick = ({ target }) => target === box && box.close();
	input.value = typed.text;
	draw();
	box.showModal();
	input.focus();
	server.want(input.value.trim());
	if (typed.enter) go(shown[chosen]);
}
