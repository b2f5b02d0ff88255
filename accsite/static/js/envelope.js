// The part of a long history that is held only as min, max and mean of buckets; fetched when a job has one.

export function envelope({ header, columns }) {
	const { series, start, stop, bucket, count, kind, last = {} } = header;
	const column = (row) => new Map(series.map((name, i) => [name, columns[kind === "raw" ? i : 3 * i + row]]));
	const x = Array.from({ length: count }, (_, i) => Math.min(start + i * bucket + (bucket - 1) / 2, stop - 1));
	return { from: start, stop, width: bucket, names: series, x, min: column(0), max: column(1), mean: column(2), last };
}

// Add the buckets in from..to to x and to each name's [min, max, line]; return what the smoothing carries on.
// weight: of the average; forget: after so many steps without a value it begins anew. They do not change while points
// come, and are kept for the next time.
export function addEnvelope(base, from, to, { weight, forget }, x, out) {
	const asked = `${from} ${to} ${weight}`;
	if (base.kept?.asked !== asked) {
		const inside = base.x.map((step) => step >= from - base.width && step <= to);
		base.kept = { asked, inside, x: base.x.filter((_, i) => inside[i]), parts: new Map() };
	}
	const { kept } = base;
	for (const step of kept.x) x.push(step);
	const carried = new Map();
	for (const [name, drawn] of out) {
		if (!kept.parts.has(name)) kept.parts.set(name, part(base, name, weight, forget));
		const { lows, highs, line, carry } = kept.parts.get(name);
		for (const [i, column] of [lows, highs, line].entries()) drawn[i] = drawn[i].concat(column);
		carried.set(name, carry);
	}
	return carried;
}

const known = (value) => (value === value ? value : null);

function part(base, name, weight, forget) {
	const [min, max, mean] = [base.min.get(name), base.max.get(name), base.mean.get(name)];
	const memory = weight ** base.width; // the same memory in steps, bucket by bucket
	const [lows, highs, line] = [[], [], []];
	let [last, n, missing] = [0, 0, 0];
	for (let i = 0; i < base.x.length; i++) {
		const value = mean ? known(mean[i]) : null;
		if (value === null) missing += base.width;
		else {
			if (missing > forget) [last, n] = [0, 0];
			missing = 0;
			// As in points.js: no average is made of what is infinite.
			if (Number.isFinite(value)) [last, n] = [last * memory + (1 - memory) * value, n + 1];
		}
		if (!base.kept.inside[i]) continue;
		lows.push(min ? known(min[i]) : null);
		highs.push(max ? known(max[i]) : null);
		line.push(value === null || !weight || !Number.isFinite(value) ? value : last / (1 - memory ** n));
	}
	return { lows, highs, line, carry: { last, bias: memory ** n, missing } };
}
