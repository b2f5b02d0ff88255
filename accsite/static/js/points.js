// The loss points of one job, keyed by step, as the server keeps them: no step missing, none twice.

const MAGIC = 0x31504341; // "ACP1", little-endian
const RAW_LIMIT = 20_000; // steps; a longer history comes as an envelope
const BUCKETS = 1600;

export async function fetchPoints(url, query) {
  const address = new URL(url, location.href);
  for (const [name, value] of Object.entries(query)) if (value != null) address.searchParams.set(name, value);
  const response = await fetch(address, { headers: { Accept: "application/vnd.acc.points" } });
  if (!response.ok) throw new Error(`the server answered ${response.status} for the loss history`);
  return decode(await response.arrayBuffer());
}

export function decode(buffer) {
  const view = new DataView(buffer);
  if (buffer.byteLength < 8 || view.getUint32(0, true) !== MAGIC) throw new Error("not a points message");
  const length = view.getUint32(4, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, length)));
  const { rows, count } = header;
  const values = new Float32Array(buffer, 8 + length, rows * count);
  return { header, columns: Array.from({ length: rows }, (_, row) => values.subarray(row * count, (row + 1) * count)) };
}

export class Points {
  constructor(job, url) {
    Object.assign(this, { job, url, start: 0, end: 0, seq: -1, attempt: null, base: null, detail: null });
    this.columns = new Map(); // series -> Float32Array, index = step - start
    this.smoothed = new Map(); // series -> { weight, values, upto, last, n }
    this.waiting = [];
    this.busy = null;
  }

  // Load everything there is: unreduced if it is short, else an envelope which unreduced frames continue.
  load(steps = this.end) {
    return this.exclusively(async () => {
      const { header, columns } = await fetchPoints(this.url, { points: steps > RAW_LIMIT ? BUCKETS : null });
      this.columns.clear();
      this.smoothed.clear();
      this.base = this.detail = null;
      this.start = this.end = 0;
      this.note(header);
      if (header.kind === "envelope") {
        this.base = envelope(header, columns);
        this.start = this.end = this.base.stop;
      } else this.write(header.start, header, columns);
    });
  }

  // Ask for what was missed since the last step held.
  heal() {
    return this.exclusively(async () => {
      const { header, columns } = await fetchPoints(this.url, { after: this.end > 0 ? this.end - 1 : null });
      if (this.attempt !== null && header.attempt !== this.attempt) {
        this.busy = null; // another attempt made these steps; what is held may be of the one before
        return this.load();
      }
      this.note(header);
      this.write(header.start, header, columns);
    });
  }

  exclusively(work) {
    this.busy ??= work()
      .finally(() => (this.busy = null))
      .then(() => this.waiting.splice(0).forEach(([header, columns]) => this.frame(header, columns)));
    return this.busy;
  }

  note(header) {
    this.seq = Math.max(this.seq, header.seq);
    this.attempt = header.attempt;
  }

  // Take a frame from the socket; returns a promise while missed steps are being asked for.
  frame(header, columns) {
    if (this.busy) {
      this.waiting.push([header, columns]);
      return this.busy;
    }
    if (header.seq <= this.seq) return null; // held already, from REST
    if (header.start > this.end || header.start < this.start) {
      this.waiting.push([header, columns]);
      return header.start > this.end ? this.heal() : this.load();
    }
    this.note(header);
    this.write(header.start, header, columns);
    return null;
  }

  // Write steps start .. start+count-1; a block that begins earlier than the end cuts off what a resume undid.
  write(start, header, columns) {
    if (!header.count) return;
    if (this.end === 0 && !this.base) this.start = this.end = start;
    const stop = start + header.count;
    if (start < this.end) {
      for (const column of this.columns.values()) column.fill(NaN, start - this.start);
      for (const state of this.smoothed.values()) if (state.upto > start) state.upto = -1;
    }
    header.series.forEach((name, index) => {
      if (!name.startsWith("raw/")) return;
      const column = this.room(name, stop - this.start);
      column.set(columns[index], start - this.start);
    });
    this.end = stop;
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

  get series() {
    return new Set([...(this.base?.names ?? []), ...this.columns.keys()]);
  }

  last(name) {
    const column = this.columns.get(name);
    for (let i = this.end - this.start - 1; column && i >= 0; i--) if (column[i] === column[i]) return column[i];
    const means = this.base?.mean.get(name);
    return means ? means[means.length - 1] : NaN;
  }

  // Debiased exponential moving average at every step held, computed before any reduction.
  smooth(name, weight, carried) {
    const column = this.columns.get(name);
    let state = this.smoothed.get(name);
    if (!state || state.weight !== weight || state.upto < this.start || state.values.length !== column.length) {
      state = { weight, values: new Float32Array(column.length), upto: this.start, last: 0, n: 0, ...carried };
      this.smoothed.set(name, state);
    }
    const stop = this.end - this.start;
    for (let i = state.upto - this.start; i < stop; i++) {
      const value = column[i];
      if (value === value) {
        state.last = state.last * weight + (1 - weight) * value;
        state.n += 1;
        state.values[i] = state.last / (weight ? 1 - weight ** state.n : 1);
      } else state.values[i] = NaN;
    }
    state.upto = this.end;
    return state.values;
  }

  // Return x and, for each name, [min, max, line] arrays for steps from..to, reduced to at most ~BUCKETS columns.
  view(from, to, names, weight) {
    const x = [];
    const out = new Map(names.map((name) => [name, [[], [], []]]));
    const base = this.detail && this.detail.from <= from && this.detail.stop >= Math.min(to, this.start) ? this.detail : this.base;
    const carried = new Map();
    if (base && from < this.start) {
      for (let i = 0; i < base.x.length; i++) if (base.x[i] >= from - base.width && base.x[i] <= to) x.push(base.x[i]);
      for (const name of names) carried.set(name, baseColumns(base, name, from, to, weight, out.get(name)));
    }
    const first = Math.max(this.start, Math.floor(from));
    const stop = Math.min(this.end, Math.ceil(to) + 1);
    if (stop > first) {
      const width = 2 ** Math.max(0, Math.ceil(Math.log2((stop - first) / BUCKETS)));
      const begin = Math.floor(first / width);
      const finish = Math.ceil(stop / width);
      for (let k = begin; k < finish; k++) x.push(width === 1 ? k : (k + 0.5) * width);
      for (const name of names) {
        const column = this.columns.get(name);
        const [lows, highs, line] = out.get(name);
        if (!column) {
          for (let k = begin; k < finish; k++) lows.push(null), highs.push(null), line.push(null);
          continue;
        }
        const smooth = weight ? this.smooth(name, weight, carried.get(name)) : null;
        for (let k = begin; k < finish; k++) {
          const a = Math.max(this.start, k * width) - this.start;
          const b = Math.min(this.end, (k + 1) * width) - this.start;
          let low = Infinity, high = -Infinity, sum = 0, n = 0, end = null;
          for (let i = a; i < b; i++) {
            const value = column[i];
            if (value !== value) continue;
            if (value < low) low = value;
            if (value > high) high = value;
            sum += value;
            n += 1;
            if (smooth) end = smooth[i];
          }
          lows.push(n ? low : null);
          highs.push(n ? high : null);
          line.push(n ? (smooth ? end : sum / n) : null);
        }
      }
    }
    return [x, out];
  }

  // Fetch the server's envelope of a zoomed range of a history too long to hold.
  async zoom(from, to) {
    if (!this.base || from >= this.start) return;
    const { header, columns } = await fetchPoints(this.url, { from: Math.floor(from), to: Math.min(this.start, Math.ceil(to) + 1), points: BUCKETS });
    this.detail = header.kind === "envelope" ? envelope(header, columns) : rawAsEnvelope(header, columns);
  }
}

function envelope(header, columns) {
  const width = header.bucket;
  return {
    from: header.start, stop: header.stop, width, names: header.series,
    x: Array.from({ length: header.count }, (_, i) => Math.min(header.start + (i + 0.5) * width, header.stop - 1)),
    min: new Map(header.series.map((name, i) => [name, columns[3 * i]])),
    max: new Map(header.series.map((name, i) => [name, columns[3 * i + 1]])),
    mean: new Map(header.series.map((name, i) => [name, columns[3 * i + 2]])),
  };
}

function rawAsEnvelope(header, columns) {
  const same = new Map(header.series.map((name, i) => [name, columns[i]]));
  return {
    from: header.start, stop: header.start + header.count, width: 1, names: header.series,
    x: Array.from({ length: header.count }, (_, i) => header.start + i), min: same, max: same, mean: same,
  };
}

function baseColumns(base, name, from, to, weight, [lows, highs, line]) {
  const [min, max, mean] = [base.min.get(name), base.max.get(name), base.mean.get(name)];
  const w = weight ** base.width; // the same memory in steps, bucket by bucket
  let last = 0, n = 0;
  const orNull = (value) => (value === value ? value : null);
  for (let i = 0; i < base.x.length; i++) {
    const value = mean ? mean[i] : NaN;
    if (value === value) (last = last * w + (1 - w) * value), (n += 1);
    if (base.x[i] < from - base.width || base.x[i] > to) continue;
    lows.push(min ? orNull(min[i]) : null);
    highs.push(max ? orNull(max[i]) : null);
    line.push(value === value ? (weight ? last / (1 - w ** n) : value) : null);
  }
  return { last, n: n * base.width };
}
