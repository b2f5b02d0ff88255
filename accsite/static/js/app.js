// What every page has: theme, keys, palette, toasts, local times, and morphs that keep what the user has done.

import { watch } from "./live.js";

const $ = (selector, root = document) => root.querySelector(selector);
const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];

// ── Morphs keep what the user has done: typed text, choices, open details, and what scripts have drawn.
function dirty(element) {
  if (element instanceof HTMLOptionElement) return dirty(element.closest("select") ?? document.body);
  if (element instanceof HTMLSelectElement)
    return element === document.activeElement || $$("option", element).some((option) => option.selected !== option.defaultSelected);
  if (!(element instanceof HTMLInputElement || element instanceof HTMLTextAreaElement)) return false;
  if (element.type === "hidden") return false;
  return element.value !== element.defaultValue || element.checked !== element.defaultChecked;
}
htmx.registerExtension("keep", {
  htmx_before_morph_attr: (element, { attrName }) => {
    if (["value", "checked", "selected"].includes(attrName) && dirty(element)) return false;
    if (attrName === "style" || (attrName === "open" && element.matches("details, dialog"))) return false;
    return !element.dataset?.keep?.split(" ").includes(attrName);
  },
});

// ── Times are written by the server in UTC and shown in the reader's own.
function localTimes(root) {
  for (const time of $$("time[datetime]", root)) {
    const date = new Date(time.dateTime);
    const today = date.toDateString() === new Date().toDateString();
    const clock = date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hour12: false });
    time.textContent = today ? clock : `${date.toLocaleDateString([], { day: "numeric", month: "short" })} ${clock}`;
    time.title = date.toLocaleString();
  }
}
localTimes(document);
document.addEventListener("htmx:before:swap", ({ detail }) => detail.tasks?.forEach((task) => task.fragment && localTimes(task.fragment)));

// ── Toasts: success fades, errors stay until they are closed.
export function toast(text, bad = false) {
  const item = Object.assign(document.createElement("div"), { className: `toast${bad ? " bad" : ""}` });
  item.setAttribute("role", bad ? "alert" : "status");
  item.append(Object.assign(document.createElement("span"), { textContent: text }));
  const close = Object.assign(document.createElement("button"), { className: "btn ghost tiny push", textContent: "Close", type: "button" });
  close.onclick = () => item.remove();
  item.append(close);
  $("#toasts").append(item);
  if (!bad) setTimeout(() => item.remove(), 4000);
}
document.addEventListener("htmx:response:error", ({ detail }) => {
  const { status } = detail.ctx.response;
  if (status !== 422) toast(status === 403 ? "You may not do this, or your session has ended. Reload the page." : `The server answered ${status}. What you see is the last good state.`, true);
});
document.addEventListener("htmx:error", () => toast("The server could not be reached. What you see is the last good state.", true));

// ── Theme: a cookie, so that the server paints the first frame right.
for (const button of $$("[data-set-theme]")) {
  button.onclick = () => {
    document.documentElement.dataset.theme = button.dataset.setTheme;
    document.cookie = `theme=${button.dataset.setTheme};path=/;max-age=31536000;samesite=lax`;
    $$("[data-set-theme]").forEach((other) => other.setAttribute("aria-pressed", other === button));
    document.dispatchEvent(new Event("acc:theme"));
  };
}
document.addEventListener("click", ({ target }) => $$(".menu[open]").forEach((menu) => menu.contains(target) || (menu.open = false)));

// ── Dialogs, and buttons that open or close them.
document.addEventListener("click", ({ target }) => {
  const opener = target.closest("[data-open]");
  if (opener) $(opener.dataset.open).showModal();
  if (target.closest("[data-close]") || target.matches("dialog[open]")) target.closest("dialog").close();
  const copy = target.closest("[data-copy]");
  if (copy) navigator.clipboard?.writeText(copy.dataset.copy).then(() => toast("Copied."), () => toast("The browser did not allow copying.", true));
});

// ── Keys: registered once, so that the help dialog is written from them.
const keys = new Map();
export function key(combination, help, action) {
  keys.set(combination, action);
  const [term, meaning] = [document.createElement("dt"), document.createElement("dd")];
  term.textContent = help;
  for (const part of combination.split(" ")) meaning.append(Object.assign(document.createElement("kbd"), { textContent: part }), " ");
  const line = document.createElement("div");
  line.append(term, meaning);
  $("#keys")?.append(line);
}
let prefix = "";
document.addEventListener("keydown", (event) => {
  const typing = event.target.closest?.("input:not([type=checkbox], [type=range]), textarea, select, [contenteditable]");
  if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") return event.preventDefault(), openPalette();
  if (typing || event.ctrlKey || event.metaKey || event.altKey || $("dialog[open]")) return;
  const combination = prefix ? `${prefix} ${event.key}` : event.key;
  prefix = "";
  const action = keys.get(combination);
  if (action) event.preventDefault(), action();
  else if (event.key === "g") (prefix = "g"), setTimeout(() => (prefix = ""), 1200);
});
key("?", "this help", () => $("#help")?.showModal());
key("Ctrl+K", "command palette", () => {});
for (const link of $$(".rail a[data-key]")) key(`g ${link.dataset.key}`, `go to ${link.textContent.trim()}`, () => link.click());
if ($("#train [name=steps]")) key("t", "to the Train form", () => $("#train [name=steps]").focus());
key("s", "stop the running job", () => $("#topjob [value=stop]")?.click());

// ── Palette: every link and button of the page that has a name.
function openPalette() {
  const dialog = $("#palette");
  if (!dialog || dialog.open) return;
  const [input, list] = [$("input", dialog), $("ul", dialog)];
  const all = $$(".rail a, .where a, main a[href], #topjob button, main .btn:not([type=submit])")
    .map((element) => ({ element, name: (element.getAttribute("aria-label") || element.textContent).trim().replace(/\s+/g, " ") }))
    .filter(({ name }, i, items) => name && items.findIndex((other) => other.name === name) === i);
  let chosen = 0;
  const show = () => {
    const words = input.value.toLowerCase().split(/\s+/);
    const found = all.filter(({ name }) => words.every((word) => name.toLowerCase().includes(word))).slice(0, 12);
    chosen = Math.max(0, Math.min(chosen, found.length - 1));
    list.replaceChildren(...found.map(({ element, name }, i) => {
      const item = Object.assign(document.createElement("li"), { id: `pick-${i}`, role: "option" });
      item.setAttribute("aria-selected", i === chosen);
      item.append(Object.assign(document.createElement("a"), { textContent: name, href: element.href || "#" }));
      item.onclick = (event) => (event.preventDefault(), run(element));
      return item;
    }));
    input.setAttribute("aria-activedescendant", found.length ? `pick-${chosen}` : "");
    return found;
  };
  const run = (element) => (dialog.close(), element.click());
  input.value = "";
  input.oninput = () => ((chosen = 0), show());
  input.onkeydown = (event) => {
    if (event.key === "ArrowDown" || event.key === "ArrowUp") event.preventDefault(), (chosen += event.key === "ArrowDown" ? 1 : -1), show();
    if (event.key === "Enter") event.preventDefault(), run(show()[chosen]?.element ?? dialog);
  };
  show();
  dialog.showModal();
}

// ── Figures of running jobs: progress, rate, time left.
const duration = (seconds) => {
  const s = Math.max(0, Math.round(seconds));
  return s < 60 ? `${s}s` : s < 3600 ? `${Math.floor(s / 60)}m ${s % 60}s` : `${Math.floor(s / 3600)}h ${Math.floor((s % 3600) / 60)}m`;
};
const figures = new Map();
function showJob({ id, step, total, rate }) {
  for (const place of $$(`[data-figures="${id}"]`)) {
    const write = (name, text) => {
      const element = $(`[data-f="${name}"]`, place);
      if (element && element.textContent !== text) element.textContent = text;
    };
    const bar = $("progress", place);
    if (bar) (bar.value = step), (bar.max = total);
    write("step", step.toLocaleString("en"));
    write("rate", rate ? rate.toLocaleString("en", { maximumSignificantDigits: 3 }) : "–");
    write("eta", rate && total > step ? duration((total - step) / rate) : "–");
    if (place.dataset.state === "RUNNING" && total) document.title = `${Math.floor((100 * step) / total)} % · ${title}`;
  }
}
const title = document.title;
function update(id, news) {
  const job = { ...figures.get(id), id, ...Object.fromEntries(Object.entries(news).filter(([, value]) => value != null)) };
  figures.set(id, job);
  if (job.queued) return;
  job.queued = true;
  setTimeout(() => ((figures.get(id).queued = false), showJob(figures.get(id))), 120);
}
document.addEventListener("acc:job", ({ detail: j }) => update(j.id, { step: j.step, total: j.total_steps, rate: j.steps_per_second }));
document.addEventListener("acc:frame", ({ detail: { header: h } }) => update(h.job, { step: h.start + h.count, total: h.total, rate: h.rate }));
function watchJobs() {
  for (const place of $$("[data-figures]")) {
    const { figures: id, active, total } = place.dataset;
    if (active) watch(Number(id));
    else document.title = title;
    if (!figures.has(Number(id)) && total) figures.set(Number(id), { id: Number(id), total: Number(total), step: 0 });
  }
}
watchJobs();
document.addEventListener("htmx:after:swap", watchJobs);

// ── A form is sent once, however often the button is pressed.
document.addEventListener("submit", (event) => {
  if (event.target.hasAttribute("hx-post") || event.target.method !== "post") return;
  if (event.target.dataset.sent) event.preventDefault();
  event.target.dataset.sent = "1";
});
addEventListener("pageshow", () => $$("form[data-sent]").forEach((form) => delete form.dataset.sent));
