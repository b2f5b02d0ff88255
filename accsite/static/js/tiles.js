// The tiles of the tasks: each loss in large figures with a picture on an axis of its own, in the order of who looks.

import { against, DASHES, hue } from "./chart.js";
import { compact } from "./numbers.js";
import { pace } from "./pace.js";

const YEAR_SECONDS = 31_536_000;
const PAD = 6; // pixels above and below a picture's curve

export class Tiles {
	constructor(view) {
		Object.assign(this, { view, drawn: null, pointed: null, dragged: null });
		this.due = pace(() => this.drawn && this.paint());
		const on = (type, act) =>
			document.addEventListener(type, (event) => {
				const tile = event.target instanceof Element && event.target.closest("#tiles .tile");
				if (tile) act(tile, event);
			});
		on("pointermove", (tile, event) => event.pointerType === "mouse" && this.hover(tile, event));
		document.addEventListener("pointerout", ({ target, relatedTarget }) => {
			const left = target instanceof Element && target.closest("#tiles .tile");
			if (left && !left.contains(relatedTarget)) view.chart.point(null);
		});
		on("dragstart", (tile, { dataTransfer }) => {
			this.dragged = tile;
			tile.classList.add("dragged");
			dataTransfer.effectAllowed = "move";
			dataTransfer.setData("text/plain", tile.dataset.name);
		});
		on("dragover", (tile, event) => this.drag(tile, event));
		on("drop", (_, event) => this.dragged && event.preventDefault());
		document.addEventListener("dragend", () => {
			this.dragged?.classList.remove("dragged");
			if (this.dragged) this.remember();
			this.dragged = null;
		});
		on("keydown", (tile, event) => this.key(tile, event));
		document.addEventListener("scrollend", ({ target }) => target.id === "tiles" && this.swiped(target), true);
		addEventListener("resize", () => this.drawn && this.paint());
		document.addEventListener("acc:theme", () => this.drawn && this.paint());
	}

	// --- what is seen -----------------------------------------------------------------------------------------------

	// Take what the chart was given: x and the columns of all tasks, from axis[0] to axis[1].
	draw(x, columns, axis) {
		this.drawn = { x, columns, axis };
		if (this.due()) this.paint();
	}

	paint() {
		const points = this.view.points();
		const mine = Number(document.getElementById("tiles").dataset.of) === points.job;
		for (const tile of this.view.tiles()) {
			this.picture(tile);
			const last = mine && points.job ? points.last(this.view.curve(tile)) : null;
			if (last != null && !this.pointed) this.write(tile, last);
		}
	}

	// What stands under the cursor of a chart, in all tiles; x: null where it has left.
	point(x, values) {
		this.pointed = x == null ? null : x;
		if (!this.drawn) return;
		const { axis, columns } = this.drawn;
		const share = x == null ? null : (x - axis[0]) / (axis[1] - axis[0]);
		for (const tile of this.view.tiles()) {
			const name = this.view.curve(tile);
			const value = x == null ? null : (values.get(name) ?? columns.get(name)?.[2][this.place(x)]);
			tile.classList.toggle("pointed", share !== null);
			if (share !== null) tile.style.setProperty("--at", `${100 * share}%`);
			if (x != null) this.write(tile, value);
		}
		if (x == null) this.paint();
	}

	write(tile, value) {
		const show = (part, text) => {
			const element = tile.querySelector(part);
			if (element && element.textContent !== text) element.textContent = text;
		};
		show(".value", compact(value));
		const base = this.view.state.v === "raw" ? Number(tile.dataset.base) : 0;
		show(".against", against(value, base));
	}

	// The place in x that is nearest to a value of the axis.
	place(value) {
		const { x } = this.drawn;
		let [low, high] = [0, x.length - 1];
		while (low < high) {
			const middle = (low + high) >> 1;
			if (x[middle] < value) low = middle + 1;
			else high = middle;
		}
		return low && value - x[low - 1] < x[low] - value ? low - 1 : low;
	}

	picture(tile) {
		const canvas = tile.querySelector("canvas");
		const [width, height] = [canvas.clientWidth, canvas.clientHeight];
		const { x, columns, axis } = this.drawn;
		if (!width || !height) return;
		const ratio = devicePixelRatio;
		if (canvas.width !== Math.round(width * ratio)) canvas.width = Math.round(width * ratio);
		if (canvas.height !== Math.round(height * ratio)) canvas.height = Math.round(height * ratio);
		const ctx = canvas.getContext("2d");
		ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
		ctx.clearRect(0, 0, width, height);
		const line = columns.get(this.view.curve(tile))?.[2] ?? [];
		const log = this.view.state.y === "log";
		const up = (value) => (log ? Math.log(value) : value);
		const isKnown = (value) => value != null && Number.isFinite(value) && (value > 0 || !log);
		let [low, high] = [Infinity, -Infinity];
		for (const value of line) {
			if (!isKnown(value)) continue;
			const at = up(value);
			if (at < low) low = at;
			if (at > high) high = at;
		}
		if (low > high) return;
		const base = Number(tile.dataset.base);
		// The baseline is shown where it does not make a line of the curve.
		const near = this.view.state.v === "raw" && isKnown(base) && "base" in tile.dataset;
		const span = Math.max(high - low, Math.abs(high) * 1e-6, 1e-12);
		const based = near && up(base) > low - span && up(base) < high + span ? up(base) : null;
		if (based !== null) [low, high] = [Math.min(low, based), Math.max(high, based)];
		const y = (value) => height - PAD - ((up(value) - low) / Math.max(high - low, 1e-12)) * (height - 2 * PAD);
		const left = (step) => ((step - axis[0]) / (axis[1] - axis[0])) * width;
		const { chart } = this.view;
		const colour = hue(Number(tile.dataset.slot));
		if (based !== null) {
			ctx.strokeStyle = chart.colour(colour, 0.6);
			ctx.setLineDash([2, 4]);
			ctx.beginPath();
			ctx.moveTo(0, y(base));
			ctx.lineTo(width, y(base));
			ctx.stroke();
		}
		ctx.setLineDash(DASHES[tile.dataset.dash]);
		ctx.lineWidth = 1.5;
		const { since } = chart;
		for (const [from, to, stroke] of [
			[-Infinity, since ?? -Infinity, chart.colour("quiet", 0.7)],
			[since ?? -Infinity, Infinity, chart.colour(colour)],
		]) {
			ctx.strokeStyle = stroke;
			ctx.beginPath();
			let pen = false;
			for (let i = 0; i < x.length; i++) {
				if (x[i] < from || x[i] >= to || !isKnown(line[i])) {
					pen = false;
					continue;
				}
				if (pen) ctx.lineTo(left(x[i]), y(line[i]));
				else ctx.moveTo(left(x[i]), y(line[i]));
				pen = true;
			}
			ctx.stroke();
		}
	}

	hover(tile, { clientX }) {
		if (!this.drawn || this.dragged) return;
		const box = tile.querySelector("canvas").getBoundingClientRect();
		const share = Math.min(1, Math.max(0, (clientX - box.left) / box.width));
		const { axis } = this.drawn;
		this.view.chart.point(axis[0] + share * (axis[1] - axis[0]));
	}

	// --- their order ------------------------------------------------------------------------------------------------

	drag(tile, event) {
		if (!this.dragged || tile === this.dragged || tile.parentElement !== this.dragged.parentElement) return;
		event.preventDefault();
		const all = this.view.tiles();
		tile[all.indexOf(this.dragged) < all.indexOf(tile) ? "after" : "before"](this.dragged);
	}

	key(tile, event) {
		if (!event.altKey || !["ArrowLeft", "ArrowRight"].includes(event.key)) return;
		event.preventDefault();
		const back = event.key === "ArrowLeft";
		const other = back ? tile.previousElementSibling : tile.nextElementSibling;
		if (!other?.matches(".tile")) return;
		other[back ? "before" : "after"](tile);
		tile.querySelector("button").focus();
		this.remember();
	}

	// In a cookie of this page, so that the next one is painted in this order from the start.
	remember() {
		const keys = this.view.tiles().map((tile) => tile.dataset.series.replace("raw/", ""));
		document.cookie = `tiles=${keys.join(".")};path=${location.pathname};max-age=${YEAR_SECONDS};samesite=lax`;
		this.view.showControls();
	}

	// On a phone the tiles are one row: the one that is swiped into view is the large curve.
	swiped(row) {
		if (!matchMedia("(max-width: 640px)").matches) return;
		const middle = row.getBoundingClientRect().left + row.clientWidth / 2;
		const near = (tile) => {
			const { left, right } = tile.getBoundingClientRect();
			return Math.abs((left + right) / 2 - middle);
		};
		const tile = this.view.tiles().sort((a, b) => near(a) - near(b))[0];
		const all = this.view.tiles().map(({ dataset }) => dataset.series);
		const hide = all.filter((name) => name !== tile?.dataset.series).join(",");
		if (hide !== this.view.state.hide) this.view.setState({ hide }, false);
	}
}
