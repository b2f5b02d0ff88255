// The page's one WebSocket: signals refresh the panels that listen for them, frames go to the charts.

import { decode } from "./points.js";

const jobs = new Set();
const asked = new Set();
const SILENCE_MS = 20_000;
let socket = null;
let failures = 0;
let opened = false;
let heard = 0; // when the server last said something, in ms

// What is sent and received: messages.js.
const tell = (name, detail) => document.dispatchEvent(new CustomEvent(`acc:${name}`, { detail }));
/** @param {Watch} message */
const send = (message) => socket?.readyState === WebSocket.OPEN && socket.send(JSON.stringify(message));

// Each panel names what it listens to, and the versions it shows: data-topics="jobs=12 job:41=3".
const panels = () => document.querySelectorAll("[data-topics]");
const shown = (panel) => panel.dataset.topics.split(" ").map((pair) => pair.split("="));

const newest = {};
const late = (panel) => shown(panel).some(([topic, at]) => at < newest[topic]);
const stale = new Set();
let fetched = new WeakMap(); // panel -> what it showed when it was last told to fetch itself, and what was newest
function refresh() {
	refresh.timer = null;
	// What changes together is fetched together, a panel within a panel first: it is what somebody works at.
	const waiting = [...stale].reverse().filter((panel) => panel.isConnected);
	stale.clear();
	for (const panel of waiting) htmx.trigger(panel, "refresh", {}, false);
}
// Once for each version: a panel that its server knows no version for must not be fetched for ever.
function fetchAnew(panel) {
	const now = shown(panel).map(([topic, at]) => `${topic} ${at} ${newest[topic]}`);
	if (fetched.get(panel) === `${now}`) return;
	fetched.set(panel, `${now}`);
	stale.add(panel);
	refresh.timer ??= setTimeout(refresh, 15);
}
function changed(topic, version) {
	newest[topic] = Math.max(version, newest[topic] ?? 0);
	for (const panel of panels()) if (shown(panel).some(([name, at]) => name === topic && at < version)) fetchAnew(panel);
}
// What was told while an answer was on its way is newer than what the answer shows.
document.addEventListener("htmx:after:swap", () => {
	for (const panel of panels()) if (late(panel)) fetchAnew(panel);
	subscribe(false);
});
// A panel that waited for the answer to a form has by that what it was to fetch; fetched anew, it would not say what
// was done.
document.addEventListener("htmx:before:request", (event) => {
	const panel = event.detail.ctx.sourceElement;
	if (panel.dataset.topics && !late(panel)) event.preventDefault();
});

export function watch(job) {
	if (jobs.has(job)) return;
	jobs.add(job);
	send({ type: "subscribe", topics: {}, jobs: [job] });
}

export function unwatch(job) {
	if (jobs.delete(job)) send({ type: "unsubscribe", topics: {}, jobs: [job] });
}

// Ask for all that the panels listen to, or only for what a panel that was swapped in listens to.
function subscribe(all) {
	const wanted = {};
	for (const panel of panels())
		for (const [topic, at] of shown(panel))
			if (all || !asked.has(topic)) wanted[topic] = Math.min(at, wanted[topic] ?? at);
	for (const topic in wanted) asked.add(topic);
	if (all || Object.keys(wanted).length) send({ type: "subscribe", topics: wanted, jobs: all ? [...jobs] : [] });
}

/** @type {{ [type: string]: (message: ToPage) => void }} */
const receive = {
	versions: ({ topics }) => Object.entries(topics).forEach((pair) => changed(...pair)),
	signal: ({ topic, version }) => changed(topic, version),
	job: (message) => tell("job", message),
	pulse: (message) => tell("pulse", message),
};

function show(state, words) {
	const badge = document.getElementById("live");
	if (badge.dataset.state === state) return;
	badge.dataset.state = state;
	badge.lastElementChild.textContent = words;
	document.getElementById("lost").hidden = state !== "lost";
}

function connect() {
	clearTimeout(connect.timer);
	if (socket && socket.readyState <= WebSocket.OPEN) return;
	const mine = (socket = new WebSocket(location.origin.replace(/^http/, "ws") + document.body.dataset.live));
	socket.binaryType = "arraybuffer";
	socket.onopen = () => {
		failures = 0;
		heard = Date.now();
		show("live", "live");
		fetched = new WeakMap(); // what was asked before may never have come
		subscribe(true);
		if (opened) tell("reconnected");
		opened = true;
	};
	socket.onmessage = ({ data }) => {
		heard = Date.now();
		if (typeof data !== "string") return tell("frame", decode(data));
		/** @type {ToPage} */
		const message = JSON.parse(data);
		receive[message.type]?.(message);
	};
	socket.onclose = () => {
		if (socket !== mine) return; // another took its place, which may be live already
		show("lost", "reconnecting");
		connect.timer = setTimeout(connect, Math.min(300 * 2 ** failures++, 5000) * (0.8 + Math.random() * 0.4));
	};
}

connect();
// The server speaks every few seconds; a connection that is silent for longer is dead without knowing it.
setInterval(() => socket.readyState === WebSocket.OPEN && Date.now() - heard > SILENCE_MS && socket.close(), 5000);
for (const event of ["online", "pageshow", "focus"]) addEventListener(event, connect);
addEventListener("pagehide", () => (socket.onclose = null));
