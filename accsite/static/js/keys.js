// Keyboard, its help, and the command palette; fetched at the first key that is pressed.

const $ = (selector, root = document) => root.querySelector(selector);

function make(tag, properties = {}, ...children) {
	const element = Object.assign(document.createElement(tag), properties);
	element.append(...children);
	return element;
}

function dialog(id, label, ...children) {
	const element = make("dialog", { id }, ...children);
	element.setAttribute("aria-label", label);
	element.addEventListener(
		"click",
		({ target }) => (target === element || target.closest("[data-close]")) && element.close(),
	);
	document.body.append(element);
	return element;
}

document.head.append(make("link", { rel: "stylesheet", href: document.body.dataset.keysCss }));

let prefix = "";
export function press({ key, palette }, keys) {
	if (palette) return openPalette();
	const combination = prefix ? `${prefix} ${key}` : key;
	prefix = "";
	const found = keys.find((item) => item.keys === combination);
	if (combination === "?") help(keys);
	else if (found) found.action();
	else if (key === "g") {
		prefix = "g";
		setTimeout(() => (prefix = ""), 1500);
	}
}

// The help writes itself from the keys that are registered.
export function help(keys) {
	$("#help")?.remove();
	const all = [
		...keys,
		{ keys: "Ctrl+K", help: "command palette" },
		{ keys: "?", help: "this help" },
		{ keys: "Esc", help: "close" },
	];
	const lines = all.map((item) =>
		make(
			"div",
			{},
			make("dt", { textContent: item.help }),
			make("dd", {}, ...item.keys.split(" ").map((part) => make("kbd", { textContent: part }))),
		),
	);
	const close = make("button", { type: "button", className: "btn ghost tiny push", textContent: "Close" });
	close.dataset.close = "";
	dialog(
		"help",
		"Keyboard",
		make("header", {}, make("h2", { textContent: "Keyboard" }), close),
		make("dl", { className: "body keys" }, ...lines),
	).showModal();
}

// Opens the form of an action, and whatever it lies folded in, with the first field ready to be typed into.
function openAction(details) {
	for (let around = details; around; around = around.parentElement.closest("details")) around.open = true;
	details.scrollIntoView({ block: "center" });
	$("form :is(input:not([type=hidden]), select, textarea, button)", details).focus();
}

// The palette offers the actions on what the page is about, and every link and button of the page that has a name.
function openPalette() {
	if ($("dialog[open]")) return;
	$("#palette")?.remove();
	const input = make("input", { type: "text", placeholder: "Go to or do…", autocomplete: "off" });
	const list = make("ul", { id: "picks" });
	for (const [name, value] of Object.entries({
		role: "combobox",
		"aria-expanded": "true",
		"aria-controls": "picks",
		"aria-label": "Go to or do",
	}))
		input.setAttribute(name, value);
	list.setAttribute("role", "listbox");
	list.setAttribute("aria-label", "Found");
	const offered = ".rail a, .where a, main a[href], #topjob :is(button, summary), main button:not([type=submit])";
	const acts = [...document.querySelectorAll("summary[data-action]")];
	const seen = [...document.querySelectorAll(offered)].filter((element) => element.getClientRects().length);
	const named = ({ dataset, ariaLabel, textContent }) => dataset.action || ariaLabel || textContent;
	const all = [...acts, ...seen]
		.map((element) => ({ element, name: named(element).trim().replace(/\s+/g, " ") }))
		.filter(({ name }, i, items) => name && items.findIndex((other) => other.name === name) === i);
	const box = dialog("palette", "Command palette", input, list);
	let chosen = 0;
	const run = (element) => {
		box.close();
		if (element?.dataset.action) openAction(element.parentElement);
		else element?.click();
	};
	const show = () => {
		const words = input.value.toLowerCase().split(/\s+/);
		const found = all.filter(({ name }) => words.every((word) => name.toLowerCase().includes(word))).slice(0, 12);
		chosen = Math.max(0, Math.min(chosen, found.length - 1));
		list.replaceChildren(
			...found.map(({ element, name }, i) => {
				const item = make("li", { id: `pick-${i}`, textContent: name, onclick: () => run(element) });
				item.setAttribute("role", "option");
				item.setAttribute("aria-selected", i === chosen);
				return item;
			}),
		);
		if (!found.length) {
			const none = make("li", { className: "soft", textContent: "Nothing on this page has that name." });
			for (const [name, value] of Object.entries({ role: "option", "aria-disabled": "true" }))
				none.setAttribute(name, value);
			list.append(none);
		}
		input.setAttribute("aria-activedescendant", found.length ? `pick-${chosen}` : "");
		return found;
	};
	input.oninput = () => {
		chosen = 0;
		show();
	};
	input.onkeydown = (event) => {
		const move = { ArrowDown: 1, ArrowUp: -1 }[event.key];
		if (!move && event.key !== "Enter") return;
		event.preventDefault();
		chosen += move ?? 0;
		const found = show();
		if (event.key === "Enter") run(found[chosen]?.element);
	};
	show();
	box.showModal();
}
