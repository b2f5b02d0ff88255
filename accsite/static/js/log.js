// The log of a job follows its end as it comes. While it is paused, or somebody reads further up, it stands still.

const NEAR_PX = 8;
const $ = (selector) => document.querySelector(selector);
const lines = () => $("#log .log");
const isAtEnd = ({ scrollHeight, scrollTop, clientHeight }) => scrollHeight - scrollTop - clientHeight < NEAR_PX;

let following = true;
let paused = false;
let placed = 0; // where the end was when it was last shown
let behind = false; // there are newer lines than those shown

function toEnd() {
	show();
	const box = lines();
	if (!box || !following || paused) return;
	box.scrollTop = box.scrollHeight;
	placed = box.scrollTop;
}

// The button, and whether something waits, as they are now: the server knows of neither.
function show() {
	const button = $("[data-pause-log]");
	if (button) {
		button.hidden = false;
		button.setAttribute("aria-pressed", paused);
	}
	const waits = $("#log .log-waits");
	if (waits) waits.hidden = !behind;
}

// A busy browser tells of scrolling late: where the reader is now is asked of the box itself.
function isFollowing(box) {
	following = isAtEnd(box) || (following && Math.abs(box.scrollTop - placed) < NEAR_PX);
	return following && !paused;
}

function catchUp() {
	if (!behind) return show();
	behind = false;
	show();
	htmx.trigger($("#log"), "refresh", {}, false);
}

toEnd();
document.addEventListener(
	"scroll",
	({ target }) => {
		if (target === lines() && isFollowing(target)) catchUp();
	},
	true,
);
document.addEventListener("click", ({ target }) => {
	if (!target.closest("[data-pause-log]")) return;
	paused = !paused;
	if (!paused) following = true;
	toEnd();
	if (!paused) catchUp();
});
// What is asked for, and what was asked for before the reader scrolled away.
for (const moment of ["htmx:before:request", "htmx:after:request"])
	document.addEventListener(moment, (event) => {
		const box = lines();
		if (event.detail.ctx.sourceElement.id !== "log" || !box || isFollowing(box)) return;
		behind = true;
		show();
		event.preventDefault();
	});
document.addEventListener("htmx:before:swap", ({ detail }) => {
	const form = detail.ctx.sourceElement.closest("#log form");
	if (!form) return;
	following = true; // other lines were asked for
	behind = false;
	const asked = new URLSearchParams(new FormData(form));
	for (const [name, value] of [...asked]) if (!value) asked.delete(name);
	history.replaceState(history.state, "", `?${asked}`);
});
document.addEventListener("htmx:after:swap", toEnd);
// A choice is shown at once.
document.addEventListener("change", ({ target }) => target.matches("#log form select") && target.form.requestSubmit());
