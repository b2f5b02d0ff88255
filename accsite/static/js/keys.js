// Keyboard and its help; fetched at the first key that is pressed.

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
export function press({ key }, keys) {
	const combination = prefix ? `${prefix} ${key}` : key;
	prefix = "";
	const found = keys.find((item) => item.keys === combination);
	if (combination === "?") help(keys);
	else if (found) found.action();
	else if (key in MOVES) move(MOVES[key]);
	else if (key === "g") {
		prefix = "g";
		setTimeout(() => (prefix = ""), 1500);
	}
}

// Through the rows of a page's lists: the focus goes to the link of the row below, or above; at the ends it stays.
const MOVES = { j: 1, k: -1 };
const rows = () => [...document.querySelectorAll("main tbody tr")].filter((row) => $("a", row)?.checkVisibility());
function move(by) {
	const all = rows();
	const at = all.indexOf(document.activeElement.closest("tr"));
	const next = at < 0 ? (by > 0 ? 0 : all.length - 1) : at + by;
	if (all[next]) $("a", all[next]).focus();
}

// The help writes itself from the keys that are registered.
export function help(keys) {
	$("#help")?.remove();
	const all = [
		...keys,
		...(rows().length > 1 ? [{ keys: "j k", help: "the next row, the one before" }] : []),
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
