// A latent in the hand: sliders move it, pictures follow. Where pictures come from is told by a source: the server, a
// worker of this page, or a file that was sent. Nothing is asked before the first touch.

const FRAME_MS = 33;
const FILM_MS = 4000;
const STRIP_MS = 100;
const QUIET_MS = 60;
const IN_HAND_MS = 600_000; // so long after a touch, newer checkpoints are drawn by themselves
const MOST_NUMBERS = 20_000; // of one question
const number = (value) => (Math.abs(value) < 0.005 ? "0" : value.toFixed(2).replace("-", "−"));

/** The draws of acc/draws.py: Mulberry32, and Box and Muller's formula. */
export function normal(seed, count) {
	let state = seed | 0;
	const uniform = () => {
		state = (state + 0x6d2b79f5) | 0;
		let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
		mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
		return (((mixed ^ (mixed >>> 14)) >>> 0) + 0.5) / 2 ** 32;
	};
	return Float64Array.from({ length: count }, () => {
		const far = Math.sqrt(-2 * Math.log(uniform()));
		return far * Math.cos(2 * Math.PI * uniform());
	});
}

const places = ({ shape }) => shape.slice(1).reduce((all, side) => all * side, 1);

/** Return the latent of a seed, of the prior or of a normal as wide as the latents that were looked at; without a
 * seed their middle. */
export function drawn(reach, seed) {
	const each = places(reach);
	if (seed === undefined) {
		const middle = (_, at) => (reach.prior ? 0 : reach.mean[Math.floor(at / each)]);
		return Float32Array.from({ length: reach.shape[0] * each }, middle);
	}
	const found = normal(seed, reach.shape[0] * each);
	if (reach.prior) return Float32Array.from(found);
	return Float32Array.from(found, (value, at) => {
		const d = Math.floor(at / each);
		return reach.mean[d] + reach.spread[d] * value;
	});
}

/** Draw pixels (C, H, W), one byte each, from where they begin. */
export function paint(canvas, pixels, [channels, height, width], from = 0) {
	const place = width * height;
	const shown = new ImageData(width, height);
	for (let at = 0; at < place; at++) {
		const grey = pixels[from + at];
		const colour = channels >= 3;
		shown.data[4 * at] = grey;
		shown.data[4 * at + 1] = colour ? pixels[from + place + at] : grey;
		shown.data[4 * at + 2] = colour ? pixels[from + 2 * place + at] : grey;
		shown.data[4 * at + 3] = 255;
	}
	canvas.getContext("2d").putImageData(shown, 0, 0);
	canvas.hidden = false;
}

/**
 * Where pictures come from. `open` tells how far a latent reaches, `start` gives the latent of an image, `decode` the
 * pixels of latents, one after the other; `together`: several take as long as one.
 * @typedef {{together?: boolean, open: (pk: number) => Promise<LatentAnswer>,
 *   start?: (pk: number, dataset: string, row: number) => Promise<{z: Float32Array}>,
 *   decode: (pk: number, latents: Float32Array, shape: number[], mix: ?{toward: number, part: number}, strip: boolean)
 *     => Promise<Uint8Array>}} Source
 */
export class Hand {
	/**
	 * @param {HTMLElement} root
	 * @param {Source} source
	 * @param {{heads: () => number[], remember?: (state: Object) => void}} page
	 */
	constructor(root, source, page) {
		Object.assign(this, { root, source, page, reaches: new Map(), starts: new Map() });
		this.begin = {}; // at the middle, until a seed or an image is chosen
		this.offset = null; // what sliders have added, in the latent's own units
		this.part = 0;
		this.turn = 0;
		this.axis = null;
		this.moves = []; // of the address, until it is known how far a dimension reaches
		this.said = root.querySelector("[data-sentence]");
		root.addEventListener("input", (event) => this.onInput(event.target));
		root.addEventListener("focusin", ({ target }) => target.type === "range" && this.choose(target));
		root.querySelector("[data-shuffle]")?.addEventListener("click", () => this.shuffle());
		root.querySelector("[data-centre]")?.addEventListener("click", () => this.back());
		root.querySelector("[data-play]")?.addEventListener("click", () => this.play());
	}

	all(selector) {
		return [...this.root.querySelectorAll(selector)];
	}

	say(sentence, bad = false) {
		this.said.textContent = sentence;
		this.said.classList.toggle("bad", bad);
	}

	// -- what was asked for ---------------------------------------------------------------------------------------------

	/** Take up what an address says; nothing is drawn by that. */
	restore({ seed, dataset, row, by = [], axis, part = 0 }) {
		this.begin = dataset ? { dataset, row: row || 0 } : { seed };
		this.moves = by;
		this.part = part;
		const named = this.all("input[type=range]").find((slider) => this.nameOf(slider) === axis);
		if (named) this.choose(named);
	}

	state() {
		const reach = this.reach();
		const by = [];
		if (reach && this.offset)
			this.offset.forEach((raw, d) => Math.abs(raw) > 1e-4 && by.push([d, +(raw / reach.spread[d]).toFixed(3)]));
		return {
			...this.begin,
			by: this.offset ? by : this.moves,
			axis: this.axis && this.nameOf(this.axis),
			part: this.part,
		};
	}

	nameOf({ dataset }) {
		return dataset.group ?? (dataset.d ? `d${dataset.d}` : "between");
	}

	reach() {
		return this.reaches.get(this.page.heads()[0]);
	}

	async onInput(target) {
		this.touched = performance.now();
		if (target.matches("[data-seed]")) return this.start({ seed: this.seed() });
		if (target.matches("[data-dataset], [data-row]")) return this.chooseImage();
		if (target.type !== "range") return;
		this.stop();
		this.choose(target);
		// A slider that was moved before anything is known of the latent waits for it.
		this.wanted = { slider: target, value: +target.value };
		this.draw();
	}

	/** Return the seed that is filled in; undefined for none. */
	seed() {
		const { value } = this.root.querySelector("[data-seed]");
		return value === "" ? undefined : Math.min(2 ** 32 - 1, Math.max(0, Math.floor(+value || 0)));
	}

	chooseImage() {
		const [chosen, row] = [this.root.querySelector("[data-dataset]"), this.root.querySelector("[data-row]")];
		row.disabled = !chosen.value;
		row.max = (chosen.selectedOptions[0].dataset.images || 1) - 1;
		if (!chosen.value) return this.start({ seed: this.seed() });
		this.start({ dataset: chosen.value, row: Math.min(+row.max, Math.max(0, Math.floor(+row.value || 0))) });
	}

	shuffle() {
		this.start({ seed: crypto.getRandomValues(new Uint32Array(1))[0] % 100_000 });
	}

	/** Begin at another latent; what sliders have added is let go. */
	start(begin) {
		this.touched = performance.now();
		this.begin = begin;
		this.back();
	}

	back() {
		this.stop();
		this.touched = performance.now();
		this.starts.clear();
		this.moves = [];
		this.offset = null;
		this.wanted = null;
		this.showBegin();
		this.draw();
	}

	showBegin() {
		const { seed, dataset = "", row } = this.begin;
		const field = (name) => this.root.querySelector(`[data-${name}]`);
		if (field("seed") && seed !== undefined) field("seed").value = seed;
		if (field("dataset")) field("dataset").value = dataset;
		if (field("row")) {
			field("row").disabled = !dataset;
			if (row !== undefined) field("row").value = row;
		}
	}

	choose(slider) {
		this.axis = slider;
		for (const each of this.all(".latent-axis")) each.classList.toggle("chosen", each.contains(slider));
		const between = slider.matches("[data-between]");
		const named = this.root.querySelector("[data-axis-name]");
		if (named) named.textContent = between ? "by weights, from A to B" : `${this.wordsOf(slider)}, from −3 to 3 sd`;
		const canvases = this.all("[data-strip] canvas");
		canvases.forEach((canvas, at) => {
			const words = between
				? `${Math.round((100 * at) / (canvases.length - 1))} %`
				: canvas.dataset.at.replace("-", "−");
			canvas.parentElement.nextElementSibling.textContent = words;
			canvas.ariaLabel = between ? `${words} of the way to B` : `at ${words} standard deviations`;
		});
	}

	wordsOf({ dataset }) {
		return dataset.group ?? (dataset.d ? `dimension ${dataset.d}` : "weights");
	}

	// -- the latent -----------------------------------------------------------------------------------------------------

	/** Learn how far the latents reach, and where they begin. */
	async ready() {
		for (const pk of this.page.heads()) {
			if (!this.reaches.has(pk)) this.reaches.set(pk, await this.source.open(pk));
			const reach = this.reaches.get(pk);
			if (this.starts.has(pk)) continue;
			const { seed, dataset, row } = this.begin;
			this.starts.set(pk, dataset ? (await this.source.start(pk, dataset, row)).z : drawn(reach, seed));
		}
		const reach = this.reach();
		if (!this.offset) {
			this.offset = new Float64Array(reach.shape[0]);
			for (const [d, sd] of this.moves) if (d < this.offset.length) this.offset[d] = sd * reach.spread[d];
		}
		const { wanted } = this;
		this.wanted = null;
		if (wanted) this.move(wanted.slider, wanted.value);
	}

	latent(pk) {
		const [reach, z] = [this.reaches.get(pk), this.starts.get(pk).slice()];
		if (z.length !== places(reach) * this.offset.length)
			throw new Error(`checkpoint ${pk} has another latent: ${reach.shape.join(" x ")}`);
		this.shift(z, reach, (d) => this.offset[d]);
		return z;
	}

	shift(z, reach, by, from = 0, to = reach.shape[0]) {
		const each = places(reach);
		for (let d = from; d < to; d++) for (let at = 0; at < each; at++) z[d * each + at] += by(d);
	}

	/** Return the latent of the first checkpoint, averaged over its places. */
	pooled() {
		const [reach, z] = [this.reach(), this.latent(this.page.heads()[0])];
		const each = places(reach);
		return Float64Array.from(
			{ length: reach.shape[0] },
			(_, d) => z.subarray(d * each, (d + 1) * each).reduce((a, b) => a + b, 0) / each,
		);
	}

	/** Return where a slider stands, in standard deviations, and what one of them adds to each of its dimensions. */
	line(slider, pooled) {
		const reach = this.reach();
		if (slider.dataset.d) {
			const d = +slider.dataset.d;
			return { start: d, end: d + 1, value: (pooled[d] - reach.mean[d]) / reach.spread[d], by: () => reach.spread[d] };
		}
		const { start, end, vector, centre, spread } = reach.axes.find(({ name }) => name === slider.dataset.group);
		const along = vector.reduce((sum, part, at) => sum + part * pooled[start + at], 0);
		return { start, end, value: (along - centre) / spread, by: (d) => vector[d - start] * spread };
	}

	move(slider, value) {
		if (slider.matches("[data-between]")) {
			this.part = value;
			return;
		}
		const line = this.line(slider, this.pooled());
		for (let d = line.start; d < line.end; d++) this.offset[d] += (value - line.value) * line.by(d);
	}

	// -- pictures -------------------------------------------------------------------------------------------------------

	/** Draw what the latent is now; while something is drawn, only the newest of what comes meanwhile is drawn next. */
	async draw() {
		this.again = true;
		if (this.busy) return;
		this.busy = true;
		try {
			while (this.again) {
				this.again = false;
				const touched = this.touched;
				await this.ready();
				await this.drawPictures();
				this.showLatent();
				this.root.dispatchEvent(new CustomEvent("latent-drawn", { detail: performance.now() - touched }));
				this.drawStrip();
				if (!this.again) this.page.remember?.(this.state());
			}
		} catch (error) {
			this.stop();
			this.wanted = null;
			this.say(error.message, true);
		} finally {
			this.busy = false;
		}
	}

	mix(at) {
		const heads = this.page.heads();
		return at === 0 && this.part > 0 && heads.length > 1 ? { toward: heads[1], part: this.part } : null;
	}

	async drawPictures() {
		const figures = this.all("[data-picture]");
		const heads = this.page.heads();
		const failed = [];
		await Promise.all(
			heads.map(async (pk, at) => {
				const [reach, canvas] = [this.reaches.get(pk), figures[at].querySelector("canvas")];
				try {
					const found = await this.source.decode(pk, this.latent(pk), reach.shape, this.mix(at), false);
					this.fit(canvas, reach);
					paint(canvas, found, reach.image);
				} catch (error) {
					failed.push(heads.length > 1 ? `${"ABCD"[at]}: ${error.message}` : error.message);
				}
			}),
		);
		if (failed.length) throw new Error(failed.join("; "));
		this.told();
	}

	fit(canvas, { image: [, height, width] }) {
		if (canvas.width !== width) canvas.width = width;
		if (canvas.height !== height) canvas.height = height;
	}

	/** Draw the film strip beside the picture, which never waits for it; of what comes meanwhile only the newest. */
	async drawStrip() {
		this.stripAgain = true;
		if (this.stripBusy) return;
		this.stripBusy = true;
		try {
			while (this.stripAgain) {
				this.stripAgain = false;
				await this.strip();
				if (this.stripAgain) await new Promise((done) => setTimeout(done, STRIP_MS));
			}
		} catch (error) {
			this.say(error.message, true);
		} finally {
			this.stripBusy = false;
		}
	}

	async strip() {
		const canvases = this.all("[data-strip] canvas");
		const pk = this.page.heads()[0];
		const begun = () => this.offset && this.starts.has(pk); // else it begins anew, and is drawn anew by that
		if (!canvases.length || !this.axis || !begun()) return;
		const reach = this.reach();
		const numbers = canvases.length * this.starts.get(pk).length;
		if (this.source.together && numbers < MOST_NUMBERS && !this.axis.matches("[data-between]")) {
			const rows = canvases.map((canvas) => this.frame(canvas, reach, pk));
			const asked = new Float32Array(numbers);
			rows.forEach((row, at) => asked.set(row, at * row.length));
			this.show(canvases, await this.source.decode(pk, asked, reach.shape, this.mix(0), true), reach);
			return;
		}
		// One by one, and while somebody drags only now and then: the picture goes first.
		for (let left = canvases.length; left > 0; left--) {
			await this.quiet();
			if (!begun()) return;
			if (this.stripAgain) left = canvases.length;
			this.stripAgain = false;
			this.turn = (this.turn + 1) % canvases.length;
			const canvas = canvases[this.turn];
			const between = this.axis.matches("[data-between]");
			const mix = between ? { toward: this.page.heads()[1], part: this.turn / (canvases.length - 1) } : this.mix(0);
			const row = between ? this.latent(pk) : this.frame(canvas, reach, pk);
			this.show([canvas], await this.source.decode(pk, row, reach.shape, mix, true), reach);
		}
	}

	/** Return the latent with the chosen axis where a frame of the strip stands. */
	frame(canvas, reach, pk) {
		const [moved, line] = [this.latent(pk), this.line(this.axis, this.pooled())];
		this.shift(moved, reach, (d) => (+canvas.dataset.at - line.value) * line.by(d), line.start, line.end);
		return moved;
	}

	/** Wait until nobody has moved anything for a moment, but not for ever. */
	async quiet() {
		const began = performance.now();
		const waits = () => performance.now() - this.touched < QUIET_MS && performance.now() - began < QUIET_MS;
		while (waits()) await new Promise((done) => setTimeout(done, 16));
	}

	show(canvases, pixels, reach) {
		const each = pixels.length / canvases.length;
		canvases.forEach((canvas, at) => {
			this.fit(canvas, reach);
			paint(canvas, pixels, reach.image, at * each);
		});
	}

	// -- what is read of it ---------------------------------------------------------------------------------------------

	showLatent() {
		const [reach, pooled] = [this.reach(), this.pooled()];
		for (const slider of this.all("input[type=range]")) {
			const between = slider.matches("[data-between]");
			const value = between ? this.part : this.line(slider, pooled).value;
			// A slider that is held tells where it is itself; one that was moved again since is not taken back.
			if (slider !== this.wanted?.slider) slider.value = value;
			slider.nextElementSibling.textContent = between ? `${Math.round(100 * value)} %` : number(value);
			slider.setAttribute(
				"aria-valuetext",
				between ? `${Math.round(100 * value)} % of the way to B` : `${number(value)} standard deviations`,
			);
		}
		for (const bar of this.all("[data-bar] [data-d]")) {
			const d = +bar.dataset.d;
			const value = Math.max(-3, Math.min(3, (pooled[d] - reach.mean[d]) / reach.spread[d]));
			bar.style.setProperty("--far", Math.abs(value) / 3);
			bar.classList.toggle("below", value < 0);
		}
	}

	told() {
		const { seed, dataset, row } = this.begin;
		const reach = this.reach();
		const where = dataset
			? `image ${row} of ${dataset}, encoded`
			: seed === undefined
				? `the middle of ${reach.prior ? "the prior" : "the latents"}`
				: `seed ${seed}, ${reach.prior ? "drawn from the prior" : "drawn as the latents lie"}`;
		const looked = reach.looked_at ? `; one sd as of ${reach.looked_at}` : "";
		const sentence = `Begins at ${where}${looked}.`;
		if (this.said.textContent !== sentence) this.say(sentence);
		this.all("[data-picture]").forEach((figure, at) => {
			if (this.page.heads().length === 1)
				figure.querySelector("figcaption").textContent = this.page.caption?.() ?? "decoded now";
			else if (at === 0) figure.classList.toggle("mixed", this.part > 0);
		});
	}

	// -- the film -------------------------------------------------------------------------------------------------------

	play() {
		if (this.film) return this.stop();
		this.axis ??= this.root.querySelector("input[type=range]");
		this.choose(this.axis);
		const button = this.root.querySelector("[data-play]");
		button.setAttribute("aria-pressed", "true");
		button.textContent = "Stop";
		const between = this.axis.matches("[data-between]");
		const began = performance.now();
		this.film = setInterval(() => {
			if (this.busy || document.hidden) return;
			const way = Math.sin((2 * Math.PI * (performance.now() - began)) / FILM_MS - (between ? Math.PI / 2 : 0));
			this.wanted = { slider: this.axis, value: between ? (way + 1) / 2 : 3 * way };
			this.touched = performance.now();
			this.draw();
		}, FRAME_MS);
	}

	stop() {
		if (!this.film) return;
		clearInterval(this.film);
		this.film = null;
		const button = this.root.querySelector("[data-play]");
		button.setAttribute("aria-pressed", "false");
		button.textContent = "Play";
	}

	/** Others are drawn from now on: a branch has a newer checkpoint. */
	replaced() {
		this.starts.clear();
		if (this.touched && performance.now() - this.touched < IN_HAND_MS && !document.hidden) this.draw();
	}
}
