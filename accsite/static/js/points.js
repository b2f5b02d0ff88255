// The loss points of one job, keyed by step, as the server keeps them: no step missing, none twice.

const MAGIC = 0x31504341; // "ACP1", little-endian
const RAW_LIMIT = 20_000; // steps; a longer history comes as an envelope
const BUCKETS = 1600;
const BREAK = 200; // steps without a value after which smoothing begins anew: the task was off
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

export class Points {
	constructor(job, url) {
		Object.assign(this, { job, url, start: 0, end: 0, seq: -1, attempt: null, base: null, detail: null, busy: null });
		this.columns = new Map(); // series -> Float32Array, index = step - start
		this.smoothed = new Map(); // series -> { weight, values, upto, last, bias }
		this.waiting = [];
	}

	async fetch(query) {
		const address = new URL(this.url, location.href);
		for (const [name, value] of Object.entries(query)) if (value != null) address.searchParams.set(name, value);
		const response = await fetch(address, { headers: { Accept: "application/vnd.acc.points" } });
		if (!response.ok) throw new Error(`the server answered ${response.status}`);
		return decode(await response.arrayBuffer());
	}

	// Load all there is: unreduced if it is short, else an envelope which unreduced frames continue.
	load(steps = this.end) {
		return this.exclusively(async () => {
			const answer = await this.fetch({ points: steps > RAW_LIMIT ? BUCKETS : null });
			if (answer.header.kind === "envelope") this.tools ??= await import("./envelope.js");
			this.columns.clear();
			this.smoothed.clear();
			this.base = this.detail = null;
			this.start = this.end = 0;
			this.note(answer.header);
			if (answer.header.kind === "envelope") {
				this.base = this.tools.envelope(answer);
				this.start = this.end = this.base.stop;
			} else this.write(answer);
		});
	}

	// Ask for what was missed since the last step held.
	heal() {
		return this.exclusively(async () => {
			const answer = await this.fetch({ after: this.end > 0 ? this.end - 1 : null });
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
		this.detail = this.tools.envelope(
			await this.fetch({ from: Math.floor(from), to: Math.min(this.start, Math.ceil(to) + 1), points: BUCKETS }),
		);
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
		}
		this.end = start + count;
		for (const name of this.columns.keys()) this.room(name, this.end - this.start); // those without a value here
		series.forEach((name, i) => this.room(name, this.end - this.start).set(columns[i], start - this.start));
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
			state.last = state.last * weight + (1 - weight) * value;
			state.bias *= weight;
			state.values[i] = state.last / (1 - state.bias);
		}
		state.upto = this.end;
		return state.values;
	}

	// Return x and, for each name, [min, max, line] of steps from..to, in at most some BUCKETS columns.
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
		const width = 2 ** Math.max(0, Math.ceil(Math.log2((stop - first) / BUCKETS)));
		const [begin, finish] = [Math.floor(first / width), Math.ceil(stop / width)];
		for (let k = begin; k < finish; k++) x.push(k * width + (width - 1) / 2);
		for (const [name, [lows, highs, line]] of out) {
			const column = this.columns.get(name);
			const smooth = column && weight ? this.smooth(name, weight, carried.get(name)) : null;
			for (let k = begin; k < finish; k++) {
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
				lows.push(low);
				highs.push(high);
				line.push(smooth || !n ? end : sum / n);
			}
		}
		return [x, out];
	}
}
