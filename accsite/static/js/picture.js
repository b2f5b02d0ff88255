// The chart as a PNG, with its title, the names of its curves and their last values.

import { hue } from "./chart.js";

const PAD = 12;
const LINE = 20;

export async function save({ chart, tiles, isShown, points, state }) {
	const canvas = chart.plot?.ctx.canvas;
	if (!canvas) return;
	const ratio = devicePixelRatio;
	const width = canvas.width + 2 * PAD * ratio;
	const picture = Object.assign(document.createElement("canvas"), { width, height: 1 });
	const ctx = picture.getContext("2d");
	const font = `${12 * ratio}px system-ui, sans-serif`;
	const shown = tiles().filter(isShown);
	const place = () => {
		ctx.font = font;
		let [x, row] = [PAD * ratio, 0];
		return shown.map((tile) => {
			const text = [".value", ".health", ".trend"].reduce(
				(words, part) => `${words}  ${tile.querySelector(part)?.textContent ?? ""}`,
				tile.dataset.name,
			);
			const size = ctx.measureText(text).width + 34 * ratio;
			if (x + size > width && x > PAD * ratio) [x, row] = [PAD * ratio, row + 1];
			const at = { slot: tile.dataset.slot, text, x, row };
			x += size;
			return at;
		});
	};
	const rows = (place().at(-1)?.row ?? 0) + 1;
	picture.height = canvas.height + (2 * PAD + LINE + rows * LINE) * ratio;
	ctx.fillStyle = chart.colour("surface");
	ctx.fillRect(0, 0, picture.width, picture.height);
	ctx.font = `600 ${font}`;
	ctx.fillStyle = chart.colour("ink");
	const where = document.querySelector(".where")?.innerText.split("\n").slice(0, 3).join(" ").trim() ?? "";
	ctx.fillText(
		[where, `job ${points().job}`, state.v === "raw" ? "raw loss" : "weight × loss", `smooth ${state.smooth}`]
			.filter(Boolean)
			.join(" · "),
		PAD * ratio,
		(PAD + 12) * ratio,
	);
	ctx.drawImage(canvas, PAD * ratio, (PAD + LINE) * ratio);
	for (const { slot, text, x, row } of place()) {
		const y = canvas.height + (PAD + LINE + row * LINE + 14) * ratio;
		ctx.fillStyle = chart.colour(hue(slot));
		ctx.fillRect(x, y - 9 * ratio, 10 * ratio, 10 * ratio);
		ctx.fillStyle = chart.colour("ink");
		ctx.fillText(text, x + 16 * ratio, y);
	}
	const blob = await new Promise((done) => picture.toBlob(done, "image/png"));
	const link = Object.assign(document.createElement("a"), {
		href: URL.createObjectURL(blob),
		download: `job-${points().job}-losses.png`,
	});
	link.click();
	setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
