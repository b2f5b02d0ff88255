// A tree off the wire and onto a plane: columns become nodes, long runs are folded, each node gets a place.
// Across is the step (or how many nodes lie before), down is a lane for each branch.

const LEAST_RUN = 4;
const PERIODIC = new Set(["autosave", "final", "manual"]);

// The columns are written by selectors/tree.py, where each is described; [7, 12] in one stands for twelve 7s.
const column = (entries) => entries.flatMap((entry) => (Array.isArray(entry) ? Array(entry[1]).fill(entry[0]) : entry));

export function decode(wire, scale) {
	const names = ["id", "parent", "branch", "step", "job", "minute", "value", "alarms"];
	const [ids, parents, owners, steps, jobs, minutes, values, alarms] = names.map((name) => column(wire[name]));
	const heads = new Map();
	for (const { head, name } of wire.branches) if (head) heads.set(head, [...(heads.get(head) ?? []), name]);
	const [starred, pruned, forked, jobless] = [wire.starred, wire.pruned, wire.forked, wire.no_job].map(
		(indices) => new Set(indices),
	);
	const since = wire.since ? Date.parse(wire.since) : 0;
	const nodes = [];
	let [id, job, minute] = [0, 0, 0];
	for (let i = 0; i < wire.count; i++) {
		id += ids[i];
		job += jobs[i];
		minute += minutes[i];
		const parent = parents[i] ? nodes[i - parents[i]] : null;
		const node = {
			id,
			parent,
			children: [],
			branch: wire.branches[owners[i]],
			step: steps[i] + (parent?.step ?? 0),
			kind: wire.kinds[+wire.kind[i]],
			job: jobless.has(i) ? null : job,
			at: since + minute * 60_000,
			value: values[i],
			level: null,
			tag: wire.tags[i] ?? "",
			alarms: alarms[i],
			starred: starred.has(i),
			pruned: pruned.has(i),
			forked: forked.has(i),
			heads: heads.get(id) ?? [],
			edge: wire.edges?.[i] ?? "",
			picture: wire.pictures?.[i] ?? null,
		};
		parent?.children.push(node);
		nodes.push(node);
	}
	level(nodes, scale);
	const measured = nodes.filter(({ value }) => value !== null);
	const sign = wire.metrics[wire.metric] ? -1 : 1;
	const best = measured.length ? measured.reduce((a, b) => (sign * b.value < sign * a.value ? b : a)) : null;
	if (measured.some(({ value }) => value !== best.value)) best.best = true;
	return nodes;
}

// The level of a node, 0 to 1, is its colour. By rank it is the place of its value in their order: one that is far
// away takes no colour from the others, and equal values have the same level, in the middle of their places. By size it
// is the logarithm, where all are positive, between the values that the outermost tenth lies beyond.
export function level(nodes, scale) {
	const sorted = nodes.filter(({ value }) => value !== null).sort((a, b) => a.value - b.value);
	if (scale === "size") return bySize(sorted);
	for (let first = 0, next; first < sorted.length; first = next) {
		for (next = first + 1; next < sorted.length && sorted[next].value === sorted[first].value; ) next += 1;
		const level = sorted.length > 1 ? (first + next - 1) / 2 / (sorted.length - 1) : 0.5;
		for (const node of sorted.slice(first, next)) node.level = level;
	}
}

const OUTERMOST = 0.05;
function bySize(sorted) {
	const shape = sorted[0]?.value > 0 ? Math.log : (value) => value;
	const at = (share) => shape(sorted[Math.round(share * (sorted.length - 1))].value);
	const [low, high] = sorted.length ? [at(OUTERMOST), at(1 - OUTERMOST)] : [0, 0];
	for (const node of sorted)
		node.level = high > low ? Math.max(0, Math.min(1, (shape(node.value) - low) / (high - low))) : 0.5;
}

// The least, the middle and the greatest value: what the ends and the middle of the colours stand for.
export function quantiles(nodes) {
	const sorted = nodes.flatMap(({ value }) => value ?? []).sort((a, b) => a - b);
	if (!sorted.length) return null;
	const half = (sorted.length - 1) / 2;
	return [sorted[0], (sorted[Math.floor(half)] + sorted[Math.ceil(half)]) / 2, sorted.at(-1)];
}

// What says nothing of its own: a step on the way along one branch.
function plain(node) {
	const { parent, children, branch } = node;
	const alone =
		children.length === 1 && children[0].branch === branch && parent?.branch === branch && parent.children.length === 1;
	return (
		alone && PERIODIC.has(node.kind) && !(node.tag || node.starred || node.forked || node.heads.length || node.best)
	);
}

// Items are what is drawn: a node, or a run of nodes as one. ``open``: ids of the first nodes of runs that are
// unfolded.
export function fold(nodes, { all, open, chosen }) {
	const items = new Map(); // node -> its item
	const made = [];
	for (const node of nodes) {
		if (items.has(node)) continue;
		const run = [];
		if (!all) for (let next = node; plain(next); next = next.children[0]) run.push(next);
		const unfolded = run.length < LEAST_RUN || open.has(run[0].id) || run.some(({ id }) => id === chosen);
		const item = { nodes: unfolded ? [node] : run, node, run: !unfolded, children: [], parent: null };
		if (unfolded && run.length >= LEAST_RUN) for (const each of run) open.add(each.id);
		for (const each of item.nodes) items.set(each, item);
		item.parent = items.get(node.parent) ?? null;
		item.parent?.children.push(item);
		made.push(item);
	}
	return made;
}

const CHARS_OF_TAG = 18;
const PX_A_CHAR = 6.2;
export function label({ run, nodes, node }) {
	if (run) return `+${nodes.length}`;
	return node.tag.length > CHARS_OF_TAG ? `${node.tag.slice(0, CHARS_OF_TAG - 1)}…` : node.tag;
}
export function short(step) {
	if (step < 10_000) return step.toLocaleString("en");
	return step < 1e6 ? `${+(step / 1000).toFixed(1)}k` : `${+(step / 1e6).toFixed(2)}M`;
}

// Half of the room that an item takes on its line.
const HALF_NODE = 11;
const half = (item) => (item.run ? 20 : Math.max(HALF_NODE, (PX_A_CHAR * label(item).length) / 2 + 4));
const LEAST_EDGE = 70; // beside the marks, so that the first words of what differs can be read
const APART = 6;

// Lanes: one for each unbroken line of a branch, later forks nearer; and one for each branch that nothing was trained
// on yet, under the node that it begins at.
function lanesOf(items, branches) {
	const idle = new Map();
	const trained = new Set(items.map(({ node }) => node.branch));
	const of = new Map(items.flatMap((item) => item.nodes.map((node) => [node.id, item])));
	for (const branch of branches) {
		const from = !trained.has(branch) && of.get(branch.forked_from);
		if (from) idle.set(from, [...(idle.get(from) ?? []), branch]);
	}
	const lanes = [];
	const waiting = items.filter(({ parent }) => !parent).reverse();
	while (waiting.length) {
		const lane = { items: [], branch: waiting.at(-1).node.branch, from: waiting.at(-1).parent, idle: false };
		const begun = [];
		for (let item = waiting.pop(); item; ) {
			item.lane = lanes.length;
			lane.items.push(item);
			const next = item.children.find(({ node }) => node.branch === item.node.branch);
			for (const child of item.children.filter((each) => each !== next).reverse()) waiting.push(child);
			begun.push(...(idle.get(item) ?? []).map((branch) => ({ items: [], branch, from: item, idle: true })));
			item = next;
		}
		lanes.push(lane, ...begun);
	}
	return lanes;
}

const anchor = (item) => (item.node.step + item.nodes.at(-1).step) / 2;
const STEPS_OF_SEARCH = 18;

// Where things are: ``left`` and ``right`` px are kept free, ``width`` px are there; it may become wider than that.
// Between two marks of a line there is always room for both: where many lie close together the axis is stretched.
export function place(items, { branches = [], by = "step", width = 0, left = 40, right = 120 } = {}) {
	for (const item of items) item.depth = item.parent ? item.parent.depth + 1 : 0;
	const lanes = lanesOf(items, branches);
	const at = by === "depth" ? ({ depth }) => depth + 1 : anchor;
	const order = [...items].sort((a, b) => at(a) - at(b) || a.depth - b.depth);
	const most = Math.max(1, ...items.map(at));
	function lay(scale) {
		const knots = [[0, left]];
		let [last, x] = [0, left];
		for (const item of order) {
			x += (at(item) - last) * scale;
			last = at(item);
			const before = item.parent;
			if (before) {
				const words = item.node.edge ? LEAST_EDGE : 0;
				const level = before.lane === item.lane;
				x = Math.max(x, (before.x ?? left) + (level ? half(before) : 14) + half(item) + APART + words);
			} else x = Math.max(x, left + half(item));
			item.x = x;
			if (knots.at(-1)[0] === last) knots.at(-1)[1] = x;
			else knots.push([last, x]);
		}
		return { knots, end: x + right };
	}
	const full = Math.max(0, (width - left - right) / most);
	let plan = lay(full);
	if (plan.end > width) {
		let [low, high] = [0, full];
		if (lay(0).end > width) low = full / 2; // it will be scrolled: then at least the steps can be told apart
		else
			for (let i = 0; i < STEPS_OF_SEARCH; i++) {
				const middle = (low + high) / 2;
				if (lay(middle).end > width) high = middle;
				else low = middle;
			}
		plan = lay(low);
	}
	return { lanes, width: Math.max(width, plan.end), ticks: ticks(plan.knots, most, by) };
}

const PX_A_TICK = 90;
function ticks(knots, most, by) {
	const wanted = Math.max(2, Math.floor((knots.at(-1)[1] - knots[0][1]) / PX_A_TICK));
	const rough = most / wanted;
	const power = 10 ** Math.floor(Math.log10(rough));
	const every = Math.max(by === "depth" ? 1 : 0, [1, 2, 5, 10].find((each) => each * power >= rough) * power);
	const found = [];
	let i = 1;
	for (let value = 0; value <= most && knots.length > 1; value += every) {
		while (i < knots.length - 1 && knots[i][0] < value) i += 1;
		const [[a, from], [b, to]] = [knots[i - 1], knots[i]];
		const x = b > a ? from + ((value - a) / (b - a)) * (to - from) : to;
		if (!found.length || x - found.at(-1).x > PX_A_TICK / 2) found.push({ x, words: short(Math.round(value)) });
	}
	return found;
}
