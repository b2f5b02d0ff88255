// The loss points of one job, keyed by step, as the server keeps them: no step missing, none twice.

const MAGIC = 0x31504341; // "ACP1", little-endian
const RAW_LIMIT = 4096; // steps; a longer history comes as an envelope
const [LEAST_COLUMNS, MOST_COLUMNS] = [160, 1000]; // at most so many are drawn of a series, about one a pixel,
const COLUMNS_OF_ALL = 5000; // and so many of all together
const MOST_LETTERS = 4000; // of the names in an address; more of them ask for all there are
const BREAK = 200; // steps without a value after which smoothing begins anew: the task was off
const KEPT_BUCKETS = 8192; // of a series at one width
const HELD_LIMIT = 200_000; // steps held in full; beyond it they are fetched anew, as an envelope

/** @returns {{ header: Frame | LossHistory, columns: Float32Array[] }} */
export function decode(buffer) {
	const view = new DataView(buffer);
	if (buffer.byteLength < 8 || view.getUint32(0, true) !== MAGIC) throw new Error("not a points message");
	const length = view.getUint32(4, true);
	const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, length)));
	const values = new Float32Array(buffer, 8 + length, header.rows * header.count);
	return {
		header,
		columns: Array.from({ length: header.rows }, (_, row) =>
			values.subarray(row * header.count, (row + 1) * header.count),
		),
	};
}

// Where a whole history is asked for: of the named series, as an envelope of about the chart's width if it is long.
// The page says the same address beforehand, so that the answer is on its way before this is read.
const columnsOf = (names) =>
	Math.max(LEAST_COLUMNS, Math.min(MOST_COLUMNS, Math.floor(COLUMNS_OF_ALL / Math.max(1, names.length))));
const query = (names, steps) => ({
	format: "points",
	points: steps > RAW_LIMIT ? columnsOf(names) : null,
	series: names.length && names.join().length <= MOST_LETTERS ? names.join() : null,
});

export class Points {
	// names: of the series to hold; none: all.
	constructor(job, url, names = []) {
		Object.assign(this, { job, url, start: 0, end: 0, seq: -1, attempt: null, base: null, detail: null, busy: null });
		this.names = [...names];
		this.columns = new Map(); // series -> Float32Array, index = step - start
		this.smoothed = new Map(); // series -> { weight, values, upto, last, bias }
		this.buckets = new Map(); // series and width -> what was drawn of it, see bucketed()
		this.waiting = [];
	}

	async fetch(query) {
		const address = new URL(this.url, location.href);
		for (const [name, value] of Object.entries(query)) if (value != null) address.searchParams.set(name, value);
		const response = await fetch(address);
		if (!response.ok) throw new Error(`the server answered ${response.status}`);
		return decode(await response.arrayBuffer());
	}

	// Load all there is: unreduced if it is short, else an envelope which unreduced frames continue.
	load(steps = this.end) {
		return this.exclusively(async () => {
			const answer = await this.fetch(query(this.names, steps));
			if (answer.header.kind === "envelope") this.tools ??= await import("./envelope.js");
			this.columns.clear();
			this.smoothed.clear();
			this.buckets.clear();
			this.base = this.detail = null;
			this.start = this.end = 0;
			this.note(answer.header);
			if (answer.header.kind === "envelope") {
				this.base = this.tools.envelope(answer);
				this.start = this.end = this.base.stop;
			} else this.write(answer);
		});
	}

	// Load what was not asked for yet; returns a promise if there is any.
	need(names) {
		const more = names.filter((name) => !this.names.includes(name));
		if (!this.job || !this.names.length || !more.length) return null;
		this.names.push(...more);
		return this.busy ? this.busy.then(() => this.load()) : this.load();
	}

	// Ask for what was missed since the last step held.
	heal() {
		return this.exclusively(async () => {
			const answer = await this.fetch({ format: "points", after: this.end > 0 ? this.end - 1 : null });
			if (this.attempt !== null && answer.header.attempt !== this.attempt) {
				this.busy = null; // another attempt made these steps; what is held may be of the one before
				return this.load();
			}
			this.note(answer.header);
			this.write(answer);
		});
	}

	// Fetch the envelope of a part of a history that is too long to hold.
	async zoom(from, to) {
		if (!this.base || from >= this.start) return;
		const part = { from: Math.floor(from), to: Math.min(this.start, Math.ceil(to) + 1) };
		this.detail = this.tools.envelope(await this.fetch({ ...query(this.names, Infinity), ...part }));
	}

	exclusively(work) {
		this.busy ??= work()
			.finally(() => (this.busy = null))
			.then(() => this.waiting.splice(0).forEach((frame) => this.frame(frame)));
		return this.busy;
	}

	note({ seq, attempt }) {
		this.seq = Math.max(this.seq, seq);
		this.attempt = attempt;
	}

	// Take a frame from the socket; returns a promise while missed steps are being asked for.
	frame(frame) {
		const { start, seq } = frame.header;
		if (!this.busy && seq <= this.seq) return null; // held already, from REST
		if (!this.busy && start <= this.end && start >= this.start) {
			this.note(frame.header);
			this.write(frame);
			return this.end - this.start > HELD_LIMIT ? this.load() : null;
		}
		this.waiting.push(frame);
		return this.busy ?? (start > this.end ? this.heal() : this.load());
	}

	// Write steps start .. start+count-1; a block that begins earlier than the end cuts off what a resume undid.
	write({ header: { start, count, series }, columns }) {
		if (!count) return;
		if (!this.end) this.start = this.end = start;
		if (start < this.end) {
			for (const column of this.columns.values()) column.fill(NaN, start - this.start);
			for (const state of this.smoothed.values()) if (state.upto > start) state.upto = -1;
			this.buckets.clear();
		}
		this.end = start + count;
		for (const name of this.columns.keys()) this.room(name, this.end - this.start); // those without a value here
		// What was not asked for would be held from here on only, as if there had been nothing before.
		const isWanted = (name) => !this.names.length || this.names.includes(name);
		series.forEach((name, i) => {
			if (isWanted(name)) this.room(name, this.end - this.start).set(columns[i], start - this.start);
		});
	}

	room(name, length) {
		let column = this.columns.get(name);
		if (!column || column.length < length) {
			const grown = new Float32Array(Math.max(4096, 2 ** Math.ceil(Math.log2(length)))).fill(NaN);
			if (column) grown.set(column);
			this.columns.set(name, (column = grown));
		}
		return column;
	}

	has(name) {
		return this.columns.has(name) || Boolean(this.base?.mean.has(name));
	}

	// The newest value of a series and its step, as [step, value]; undefined where there is none.
	newestOf(name) {
		const column = this.columns.get(name);
		for (let i = this.end - this.start - 1; column && i >= 0; i--)
			if (column[i] === column[i]) return [this.start + i, column[i]];
		return this.base?.last[name];
	}

	last(name) {
		return this.newestOf(name)?.[1];
	}

	newest(name, steps) {
		const stop = this.end - this.start;
		return this.columns.get(name)?.slice(Math.max(0, stop - steps), stop) ?? new Float32Array();
	}

	// Debiased exponential moving average at every step held, before any reduction; what was before a long gap is
	// forgotten.
	smooth(name, weight, carried) {
		const column = this.columns.get(name);
		let state = this.smoothed.get(name);
		if (state?.weight !== weight || state.upto < this.start || state.values.length !== column.length) {
			const values = new Float32Array(column.length);
			state = { weight, values, upto: this.start, last: 0, bias: 1, missing: 0, ...carried };
			this.smoothed.set(name, state);
		}
		for (let i = state.upto - this.start; i < this.end - this.start; i++) {
			const value = column[i];
			state.values[i] = NaN;
			state.missing += 1;
			if (value !== value) continue;
			if (state.missing > BREAK) [state.last, state.bias] = [0, 1];
			state.missing = 0;
			state.values[i] = value;
			if (!Number.isFinite(value)) continue; // shown as it is, and no average of what follows is made of it
			state.last = state.last * weight + (1 - weight) * value;
			state.bias *= weight;
			state.values[i] = state.last / (1 - state.bias);
		}
		state.upto = this.end;
		return state.values;
	}

	// What is drawn of a series held, as [lows, highs, line] of the buckets of `width` steps in begin..finish. Only the
	// buckets that have changed since the last time are looked at, unless there are too many to keep.
	bucketed(name, width, weight, carried, [begin, finish]) {
		const column = this.columns.get(name);
		const smooth = column && weight ? this.smooth(name, weight, carried) : null;
		const [first, last] = [Math.floor(this.start / width), Math.ceil(this.end / width)];
		if (last - first > KEPT_BUCKETS) {
			const drawn = [[], [], []];
			for (let k = begin; k < finish; k++) this.bucket(column, smooth, k, width, drawn, k - begin);
			return drawn;
		}
		const key = `${name} ${width}`;
		let held = this.buckets.get(key);
		if (held?.weight !== weight || held.start !== this.start) {
			held = { weight, start: this.start, drawn: [[], [], []], settled: first };
			this.buckets.set(key, held);
		}
		for (let k = held.settled; k < last; k++) this.bucket(column, smooth, k, width, held.drawn, k - first);
		held.settled = Math.floor(this.end / width);
		return held.drawn.map((values) => values.slice(begin - first, finish - first));
	}

	// Write bucket k to a place of [lows, highs, line].
	bucket(column, smooth, k, width, [lows, highs, line], place) {
		let low = null,
			high = null,
			sum = 0,
			n = 0,
			end = null;
		const b = Math.min(this.end, (k + 1) * width) - this.start;
		for (let i = Math.max(this.start, k * width) - this.start; column && i < b; i++) {
			const value = column[i];
			if (value !== value) continue;
			if (!n || value < low) low = value;
			if (!n || value > high) high = value;
			sum += value;
			n += 1;
			if (smooth) end = smooth[i];
		}
		lows[place] = low;
		highs[place] = high;
		line[place] = smooth || !n ? end : sum / n;
	}

	// Return x and, for each name, [min, max, line] of steps from..to, in at most some thousand columns.
	view(from, to, names, weight) {
		const x = [];
		const out = new Map(names.map((name) => [name, [[], [], []]]));
		const fits = this.detail && this.detail.from <= from && this.detail.stop >= Math.min(to, this.start);
		const base = fits ? this.detail : this.base;
		const carried =
			base && from < this.start ? this.tools.addEnvelope(base, from, to, { weight, forget: BREAK }, x, out) : new Map();
		const first = Math.max(this.start, Math.floor(from));
		const stop = Math.min(this.end, Math.ceil(to) + 1);
		if (stop <= first) return [x, out];
		const seen = stop - Math.max(0, base ? Math.floor(from) : first);
		const width = 2 ** Math.max(0, Math.ceil(Math.log2(seen / columnsOf(this.names))));
		const [begin, finish] = [Math.floor(first / width), Math.ceil(stop / width)];
		for (let k = begin; k < finish; k++) x.push(k * width + (width - 1) / 2);
		for (const [name, drawn] of out) {
			const held = this.bucketed(name, width, weight, carried.get(name), [begin, finish]);
			for (const i of [0, 1, 2]) drawn[i] = drawn[i].concat(held[i]);
		}
		return [x, out];
	}
}
