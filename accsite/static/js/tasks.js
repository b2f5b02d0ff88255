// The slider and the switch of a task. The slider of a weight: 0, then powers of ten from 0.0001 to 100; the number
// beside it is what is sent.

const GESTURE_MS = 400; // keys that follow each other this fast are one gesture
const slider = (target) => target instanceof Element && target.matches(".tasks [type=range]");

const number = (range) => range.closest("form").elements.weight;

document.addEventListener("input", ({ target }) => {
	if (!slider(target)) return;
	showGhost(target);
	const at = Number(target.value);
	number(target).value = at && Number((10 ** (at * 0.06 - 4)).toPrecision(2));
});

// Where the weight was stays marked until the new one is in force.
function showGhost(range) {
	const ghost = range.nextElementSibling;
	if (ghost.shown) return;
	const share = (Number(range.defaultValue) - range.min) / ((range.max || 100) - range.min);
	ghost.shown = true;
	ghost.style.left = `calc(${share} * (100% - 16px) + 8px)`;
	ghost.style.opacity = 1;
}
document.addEventListener("htmx:after:swap", () => {
	for (const ghost of document.querySelectorAll(".tasks .ghost[style]")) {
		const said = ghost.closest("li").querySelector(".said");
		if (said?.dataset.status === "PENDING" || waiting?.target === ghost.previousElementSibling) continue;
		ghost.shown = false;
		ghost.style.opacity = 0;
	}
});

// One gesture is one change: a key that is held, or pressed again and again, tells only where it ended.
let held = false; // a key is down on a slider
let waiting = null; // { target, timer }: a change that is not told yet
function tell() {
	if (!waiting) return;
	const { target, timer } = waiting;
	clearTimeout(timer);
	waiting = null;
	if (target.isConnected) number(target).dispatchEvent(new Event("change", { bubbles: true }));
}
document.addEventListener("keydown", ({ target }) => slider(target) && (held = true), true);
document.addEventListener(
	"keyup",
	({ target }) => {
		held = false;
		if (slider(target) && waiting) later(target);
	},
	true,
);
function later(target) {
	clearTimeout(waiting?.timer);
	waiting = { target, timer: setTimeout(() => (held ? later(target) : tell()), GESTURE_MS) };
}
document.addEventListener(
	"change",
	(event) => {
		if (!slider(event.target)) return;
		event.stopImmediatePropagation();
		later(event.target);
		if (!held && !event.target.matches(":focus-visible")) tell(); // a pointer has let go of it
	},
	true,
);
function release() {
	held = false;
	tell();
}
for (const end of ["focusout", "pagehide"]) addEventListener(end, release, true);

// What a switch asks for is shown at once and until it is answered, so that a second click asks for the opposite:
// answers to what was asked before, and the panel as it was meanwhile, do not know of it yet.
const asked = new Set(); // the requests of switches that are not answered yet
function flip({ request }) {
	const shown = document.getElementById(request.submitter.id);
	const on = request.body.get("enabled") === "1";
	shown?.setAttribute("aria-checked", on);
	if (shown) shown.value = on ? "0" : "1";
}
document.addEventListener("htmx:config:request", ({ detail: { ctx } }) => {
	if (!ctx.request.submitter?.matches(".tasks .switch")) return;
	asked.add(ctx);
	flip(ctx);
});
for (const end of ["htmx:after:request", "htmx:finally:request"])
	document.addEventListener(end, ({ detail: { ctx } }) => asked.delete(ctx));
document.addEventListener("htmx:after:swap", () => asked.forEach(flip));

// A change that was refused leaves the value that is in force; the sentence beside it says what was asked for. Once:
// what is typed after that stays, whatever else comes in meanwhile.
document.addEventListener("htmx:after:swap", () => {
	const refused = ":is(.tasks [name=weight], #rate [name])[aria-invalid]:not([data-restored])";
	for (const field of document.querySelectorAll(refused)) {
		field.dataset.restored = "1";
		// Not the value in the markup: a morph leaves that of a field that was typed in.
		field.value = field.defaultValue = field.dataset.inForce;
		const range = field.parentElement.querySelector("[type=range]");
		if (range) range.value = range.defaultValue;
	}
});
