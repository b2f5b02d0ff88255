// The log of a job follows its end as it comes. While somebody reads further up, it stands still.

const NEAR_PX = 8;
const lines = () => document.querySelector("#log .log");
const isAtEnd = ({ scrollHeight, scrollTop, clientHeight }) => scrollHeight - scrollTop - clientHeight < NEAR_PX;

let following = true;
let placed = 0; // where the end was when it was last shown
let behind = false; // there are newer lines than those shown

function toEnd() {
	const box = lines();
	if (!box || !following) return;
	box.scrollTop = box.scrollHeight;
	placed = box.scrollTop;
}

// A busy browser tells of scrolling late: where the reader is now is asked of the box itself.
function isFollowing(box) {
	following = isAtEnd(box) || (following && Math.abs(box.scrollTop - placed) < NEAR_PX);
	return following;
}

toEnd();
document.addEventListener(
	"scroll",
	({ target }) => {
		if (target !== lines()) return;
		if (!isFollowing(target) || !behind) return;
		behind = false;
		htmx.trigger(document.getElementById("log"), "refresh", {}, false);
	},
	true,
);
// What is asked for, and what was asked for before the reader scrolled away.
for (const moment of ["htmx:before:request", "htmx:after:request"])
	document.addEventListener(moment, (event) => {
		const box = lines();
		if (event.detail.ctx.sourceElement.id !== "log" || !box || isFollowing(box)) return;
		behind = true;
		event.preventDefault();
	});
document.addEventListener("htmx:before:swap", ({ detail }) => {
	if (detail.ctx.sourceElement.closest("#log form")) following = true; // other lines were asked for
});
document.addEventListener("htmx:after:swap", toEnd);
