// What every page has: morphs that keep what the user has done, toasts, theme, keys, job figures.

import { watch } from "./live.js";
import { forget, remember as visited } from "./recent.js";
import { explainWords } from "./words.js";

const $ = (selector, root = document) => root.querySelector(selector);
const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];

// Chromium ends the page's process when moveBefore moves what still loads; without it htmx inserts, as elsewhere.
for (const kind of [Element, Document, DocumentFragment]) delete kind.prototype.moveBefore;

// Morphs keep typed text, choices, open details, and what scripts have drawn.
function dirty(element) {
	if (element instanceof HTMLOptionElement) return dirty(element.closest("select") ?? document.body);
	if (element instanceof HTMLSelectElement)
		return (
			element === document.activeElement ||
			$$("option", element).some((option) => option.selected !== option.defaultSelected)
		);
	if (!(element instanceof HTMLInputElement || element instanceof HTMLTextAreaElement) || element.type === "hidden")
		return false;
	return element.value !== element.defaultValue || element.checked !== element.defaultChecked;
}
htmx.registerExtension("keep", {
	htmx_before_morph_attr: (element, { attrName, newValue }) => {
		const same = attrName === "value" && element.value && (element.value === newValue || +element.value === +newValue);
		if (["value", "checked", "selected"].includes(attrName) && dirty(element) && !same) return false;
		if (attrName === "style" || (attrName === "open" && element.matches("details"))) return false;
		return !element.dataset.keep?.split(" ").includes(attrName);
	},
});

const UNREACHABLE = "unreachable";
// Toasts: success fades, errors stay until they are closed.
function toast(text, bad = false) {
	const item = Object.assign(document.createElement("div"), {
		className: `toast${bad ? " bad" : ""}`,
		textContent: text,
	});
	item.setAttribute("role", bad ? "alert" : "status");
	const close = Object.assign(document.createElement("button"), {
		className: "btn ghost tiny push",
		textContent: "Close",
		type: "button",
	});
	close.onclick = () => item.remove();
	item.append(close);
	$("#toasts").append(item);
	if (bad === UNREACHABLE) item.dataset.unreachable = "1";
	if (!bad) setTimeout(() => item.remove(), 4000);
}
// Said no longer once the server has been heard again.
document.addEventListener("acc:reconnected", () => $$("[data-unreachable]").forEach((item) => item.remove()));
const STALE = "What you see is the last good state.";
document.addEventListener("htmx:response:error", ({ detail }) => {
	const { status } = detail.ctx.response;
	if (status === 422) return;
	const refused = "This is not allowed, or your session has ended. Reload the page.";
	toast(status === 403 ? refused : `The server answered ${status}. ${STALE}`, true);
});
document.addEventListener("htmx:error", () => toast(`The server could not be reached. ${STALE}`, UNREACHABLE));

// What a link fetches in its own place gets the focus that the link had.
document.addEventListener("htmx:finally:request", ({ detail }) => {
	const { then } = detail.ctx.sourceElement.dataset;
	if (then) $(then)?.focus();
});

// Theme and time zone: cookies, so that the server paints the first frame right.
const remember = (name, value) => (document.cookie = `${name}=${value};path=/;max-age=31536000;samesite=lax`);
remember("tz", Intl.DateTimeFormat().resolvedOptions().timeZone);
for (const button of $$("[data-set-theme]")) {
	button.onclick = () => {
		const theme = button.dataset.setTheme;
		document.documentElement.dataset.theme = theme;
		remember("theme", theme);
		$$("[data-set-theme]").forEach((other) => other.setAttribute("aria-pressed", other === button));
		document.dispatchEvent(new Event("acc:theme"));
	};
}

for (const pin of $$("[data-pin]")) {
	pin.onclick = () => {
		const wide = document.documentElement.dataset.rail !== "wide";
		document.documentElement.dataset.rail = wide ? "wide" : "narrow";
		remember("rail", wide ? "wide" : "narrow");
		pin.setAttribute("aria-pressed", wide);
	};
}

function closeMenu(menu) {
	menu.open = false;
	$("summary", menu).focus();
}
document.addEventListener("keydown", ({ key, target }) => {
	const menu = key === "Escape" && target.closest?.(":is(.menu, .more > details, .acts > details)[open]");
	if (menu) closeMenu(menu);
});
// A double click opens, as one does; the second must not close what the first has opened.
document.addEventListener(
	"click",
	(event) => {
		if (event.detail > 1 && event.target.closest("summary, [role=button][aria-expanded]")) event.preventDefault();
	},
	true,
);
document.addEventListener("click", ({ target }) => {
	for (const menu of $$(":is(.menu, .rail details)[open]")) if (!menu.contains(target)) menu.open = false;
	if (target.closest("[data-close-menu]")) closeMenu(target.closest(".menu"));
	const copied = target.closest("[data-copy]")?.dataset.copy;
	const as = target.closest("[data-copy-as]");
	const copying = copied
		? navigator.clipboard?.writeText(copied)
		: as && import("./copy.js").then(({ copy }) => copy(as));
	copying?.then(
		() => toast("Copied."),
		() => toast("The browser did not allow copying.", true),
	);
	if (target.closest("[data-help]")) keyboard().then(({ help }) => help(keys));
});

explainWords();

// The command palette, by its button or its keys; with other keys held, the button is the link that it is without.
// What is typed before it is there is for it: `early`, null while nothing is awaited; `enter`: and Enter came last.
let early = null;
async function palette() {
	early ??= { text: "", enter: false };
	const take = () => [early, (early = null)][0];
	try {
		palette.module ??= await import("./palette.js");
		await palette.module.openPalette(take);
	} catch {
		toast("The palette could not be loaded. Try it again.", UNREACHABLE);
	}
	early = null;
}
addEventListener(
	"keydown",
	(event) => {
		if (!early || event.ctrlKey || event.metaKey || event.altKey || (event.key.length > 1 && !EARLY[event.key])) return;
		event.preventDefault();
		event.stopPropagation();
		if (early.enter) return;
		if (EARLY[event.key]) EARLY[event.key]();
		else early.text += event.key;
	},
	true,
);
const EARLY = {
	Backspace: () => (early.text = early.text.slice(0, -1)),
	Enter: () => (early.enter = true),
	Escape: () => (early = null),
};
document.addEventListener("click", (event) => {
	if (!event.target.closest("[data-palette]") || event.ctrlKey || event.metaKey || event.shiftKey) return;
	event.preventDefault();
	palette();
});
const whose = $("[data-palette]")?.dataset.user ?? "";
if (location.pathname !== "/")
	visited(whose, { name: document.title.replace(/ · ACC$/, ""), about: "seen here", url: location.pathname });
document.addEventListener("submit", ({ target }) => target.matches('[action$="/sign-out/"]') && forget(whose));

// What the bell opens is fetched then, and is read once it is closed again.
document.addEventListener(
	"toggle",
	({ target }) => {
		if (target.id !== "bell") return;
		const list = $("#bell-news");
		if (target.open) htmx.trigger(list, "refresh", {}, false);
		else if ("read" in list.dataset) $("form", list).requestSubmit();
	},
	true,
);

// Keys: each is registered here with its meaning; none fires while typing.
export const keys = [{ keys: "s", help: "ask whether to stop the job of this page", action: askToStop }];
// Opens the question with the focus on the answer that changes nothing: more keys must not end what runs.
function askToStop() {
	const question = $("#topjob .ask");
	if (!question) return;
	question.open = true;
	$("[data-close-menu]", question).focus();
}
for (const link of $$(".rail [data-key]"))
	keys.push({ keys: `g ${link.dataset.key}`, help: link.textContent.trim(), action: () => link.click() });
if ($("[data-filter]")) keys.push({ keys: "/", help: "filter", action: () => $("[data-filter]").focus() });
const keyboard = () => (keyboard.module ??= import("./keys.js"));
document.addEventListener("keydown", (event) => {
	const asksPalette = (event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k";
	const typing = event.target.closest?.("input:not([type=checkbox], [type=range]), textarea, select");
	if (
		!asksPalette &&
		(typing || event.ctrlKey || event.metaKey || event.altKey || event.key.length > 1 || $("dialog[open]"))
	)
		return;
	if (asksPalette || event.key === "/") event.preventDefault();
	if (asksPalette) palette();
	else keyboard().then(({ press }) => press({ key: event.key }, keys));
});

// Of an object's actions: what was done is said, and its form begins anew.
document.addEventListener("htmx:after:swap", () => {
	for (const done of $$("[data-said]:not([data-said=seen])")) {
		done.dataset.said = "seen";
		for (const details of $$(".acts details[open]", done.parentElement)) {
			$("form", details)?.reset();
			details.open = false;
		}
		done.scrollIntoView({ block: "nearest" });
	}
});

// A panel that fetches itself goes on saying it, until something else is done: what is at work changes every second.
document.addEventListener("htmx:before:swap", ({ detail }) => {
	const panel = detail.ctx.sourceElement; // none: a panel that a script asks for
	const said = panel?.dataset.topics && $(":scope > [data-said]", panel);
	if (!said) return;
	const kept = said.cloneNode(true);
	const put = () => {
		const now = document.getElementById(panel.id);
		if (now && !$(":scope > [data-said]", now)) $(":scope > .acts", now)?.before(kept);
	};
	document.addEventListener("htmx:after:swap", put, { once: true });
});

// Figures of running jobs: progress, rate, time left; at most eight times a second.
const title = document.title;
// A page that is titled by its heading is titled anew when that is.
const heading = () => $("main h1")?.textContent.trim() ?? "";
const headed = heading();
const titled = () => (headed && title.startsWith(headed) ? heading() + title.slice(headed.length) : title);
const figures = new Map();
function duration(seconds) {
	const left = Math.max(0, Math.round(seconds));
	if (left < 60) return `${left}s`;
	const minutes = Math.floor(left / 60);
	return minutes < 60 ? `${minutes}m ${left % 60}s` : `${Math.floor(minutes / 60)}h ${minutes % 60}m`;
}
function showJob(id) {
	const { step, total, rate } = figures.get(id).now;
	figures.get(id).timer = null;
	for (const place of $$(`[data-job="${id}"]`)) {
		const write = (name, text) => {
			const element = $(`[data-f="${name}"]`, place);
			if (element && element.textContent !== text) element.textContent = text;
		};
		const bar = $("progress", place);
		if (bar) bar.value = step;
		write("step", step.toLocaleString("en"));
		// Where the server says a state, only a job that runs has a rate and an end in sight.
		const runs = (place.dataset.state ?? "RUNNING") === "RUNNING";
		if (runs && rate) {
			write("rate", rate.toLocaleString("en", { maximumSignificantDigits: 3 }));
			write("eta", duration((total - step) / rate));
		}
	}
	retitle();
}
// The tab tells how far the job of this page is, and whether it has a grave alarm; of others, what is unread.
function retitle() {
	const { job, state, alarm: raised } = ($("#job") ?? $("#topjob[data-own]"))?.dataset ?? {};
	const { step, total } = figures.get(Number(job))?.now ?? {};
	const alarm = raised ? "⚠ " : "";
	const done = state === "RUNNING" && total ? `${Math.floor((100 * step) / total)} % · ` : "";
	const unread = Number($("#bell-count")?.dataset.unread) ? `(${$("#bell-count").dataset.unread}) ` : "";
	document.title = `${unread}${alarm}${done}${titled()}`;
}
function update(id, now) {
	const job = figures.get(id) ?? {};
	figures.set(id, job);
	job.now = now;
	job.timer ??= setTimeout(showJob, 125, id);
}
document.addEventListener("acc:job", ({ detail: { id, step, total_steps: total, rate } }) => {
	update(id, { step, total, rate });
});
document.addEventListener("acc:frame", ({ detail: { header } }) => {
	const { job, step, total, rate } = header;
	update(job, { step, total, rate });
});
function watchJobs() {
	$$("[data-job][data-active]").forEach((place) => watch(Number(place.dataset.job)));
	retitle();
}
watchJobs();
document.addEventListener("htmx:after:swap", watchJobs);

// A form is sent once, however often its button is pressed.
document.addEventListener("submit", (event) => {
	if (event.defaultPrevented || event.target.method !== "post") return;
	if (event.target.dataset.sent) event.preventDefault();
	event.target.dataset.sent = "1";
});
addEventListener("pageshow", () => $$("form[data-sent]").forEach((form) => delete form.dataset.sent));

// So is one that htmx sends: the same words again before they are answered are a double click.
const waiting = new WeakMap();
document.addEventListener("htmx:config:request", (event) => {
	const { request, sourceElement } = event.detail.ctx;
	if (request.method !== "POST") return;
	const words = `${new URLSearchParams(request.body)}`;
	if (waiting.get(sourceElement) === words) event.preventDefault();
	else waiting.set(sourceElement, words);
});
document.addEventListener("htmx:finally:request", ({ detail }) => waiting.delete(detail.ctx.sourceElement));
