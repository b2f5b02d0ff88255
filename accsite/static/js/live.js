// The page's one WebSocket: signals become DOM events (which htmx panels listen for), frames go to the charts.

import { decode } from "./points.js";

const versions = {}; // topic -> the version this page has seen
const jobs = new Set();
const RETRY_MS = [300, 600, 1200, 2500, 5000];
let socket = null;
let failures = 0;
let opened = false;

const tell = (name, detail) => document.dispatchEvent(new CustomEvent(`acc:${name}`, { detail }));
const send = (message) => socket?.readyState === WebSocket.OPEN && socket.send(JSON.stringify(message));

// Each panel names what it listens to as "topic=version"; a panel that was swapped in may name new ones.
function collect() {
  const found = {};
  for (const { dataset } of document.querySelectorAll("[data-topics]")) {
    for (const pair of dataset.topics.split(" ")) {
      const [topic, version] = pair.split("=");
      if (!(topic in versions)) found[topic] = Math.min(Number(version), found[topic] ?? Infinity);
    }
  }
  Object.assign(versions, found);
  if (Object.keys(found).length) send({ type: "subscribe", topics: found, jobs: [] });
}

export function watch(job) {
  if (!jobs.has(job)) jobs.add(job), send({ type: "subscribe", topics: {}, jobs: [job] });
}

export function unwatch(job) {
  if (jobs.delete(job)) send({ type: "unsubscribe", topics: [], jobs: [job] });
}

function changed(topic, version, data) {
  if (version <= (versions[topic] ?? -1)) return;
  versions[topic] = version;
  tell(topic, data);
}

const receive = {
  versions: ({ topics }) => Object.entries(topics).forEach(([topic, version]) => topic in versions && changed(topic, version)),
  signal: ({ topic, version, data }) => changed(topic, version, data),
  job: (message) => tell("job", message),
};

function show(state, words) {
  const badge = document.getElementById("live");
  if (!badge || badge.dataset.state === state) return;
  badge.dataset.state = state;
  badge.lastElementChild.textContent = words;
  document.getElementById("lost").hidden = state !== "lost";
}

function connect() {
  clearTimeout(connect.timer);
  if (socket && socket.readyState <= WebSocket.OPEN) return;
  socket = new WebSocket(location.origin.replace(/^http/, "ws") + document.body.dataset.live);
  socket.binaryType = "arraybuffer";
  socket.onopen = () => {
    failures = 0;
    show("live", "live");
    send({ type: "subscribe", topics: versions, jobs: [...jobs] });
    if (opened) tell("reconnected");
    opened = true;
  };
  socket.onmessage = ({ data }) => {
    if (typeof data !== "string") return tell("frame", decode(data));
    const message = JSON.parse(data);
    receive[message.type]?.(message);
  };
  socket.onclose = () => {
    if (failures > 0 || opened) show("lost", "reconnecting");
    connect.timer = setTimeout(connect, RETRY_MS[Math.min(failures++, RETRY_MS.length - 1)] * (0.8 + Math.random() * 0.4));
  };
}

if (document.body.dataset.live) {
  collect();
  connect();
  document.addEventListener("htmx:after:swap", collect);
  addEventListener("online", connect);
  addEventListener("pageshow", (event) => event.persisted && connect());
  document.addEventListener("visibilitychange", () => document.hidden || connect());
}
