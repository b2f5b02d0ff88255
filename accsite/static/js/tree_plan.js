// A tree off the wire and onto a plane: columns become nodes, long runs are folded, each node gets a place.

const LEAST_RUN = 4;
const PERIODIC = new Set(["autosave", "final", "manual"]);

// The columns are written by selectors/tree.py, where each is described; [7, 12] in one stands for twelve 7s.
const column = (entries) => entries.flatMap((entry) => (Array.isArray(entry) ? Array(entry[1]).fill(entry[0]) : entry));

export function decode(wire) {
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
		};
		parent?.children.push(node);
		nodes.push(node);
	}
	rank(nodes);
	const measured = nodes.filter(({ value }) => value !== null);
	const sign = wire.metrics[wire.metric] ? -1 : 1;
	const best = measured.length ? measured.reduce((a, b) => (sign * b.value < sign * a.value ? b : a)) : null;
	if (measured.some(({ value }) => value !== best.value)) best.best = true;
	return nodes;
}

// The level of a node, 0 to 1, is the place of its value in their order: one that is far away takes no colour from
// the others. Equal values have the same level, in the middle of their places.
function rank(nodes) {
	const sorted = nodes.filter(({ value }) => value !== null).sort((a, b) => a.value - b.value);
	for (let first = 0, next; first < sorted.length; first = next) {
		for (next = first + 1; next < sorted.length && sorted[next].value === sorted[first].value; ) next += 1;
		const level = sorted.length > 1 ? (first + next - 1) / 2 / (sorted.length - 1) : 0.5;
		for (const node of sorted.slice(first, next)) node.level = level;
	}
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

const width = (item) => Math.max(44, 7 * label(item).length + 12);
export function label({ run, nodes, node }) {
	if (run) return `+${nodes.length}`;
	return node.tag.length > 24 ? `${node.tag.slice(0, 23)}…` : node.tag || short(node.step);
}
export function short(step) {
	if (step < 10_000) return String(step);
	return step < 1e6 ? `${+(step / 1000).toFixed(1)}k` : `${+(step / 1e6).toFixed(2)}M`;
}

// Columns by how many items lie before it, a lane for each unbroken line of one branch; later forks lie nearer.
export function place(items) {
	const columns = [];
	const lanes = [];
	for (const item of items) {
		item.depth = item.parent ? item.parent.depth + 1 : 0;
		columns[item.depth] = Math.max(columns[item.depth] ?? 0, width(item));
	}
	const waiting = items.filter(({ parent }) => !parent).reverse();
	while (waiting.length) {
		const lane = [];
		for (let item = waiting.pop(); item; ) {
			item.lane = lanes.length;
			lane.push(item);
			const next = item.children.find(({ node }) => node.branch === item.node.branch);
			for (const child of item.children.filter((each) => each !== next).reverse()) waiting.push(child);
			item = next;
		}
		lanes.push(lane);
	}
	let x = 0;
	const lefts = columns.map((each) => (x += each) - each / 2);
	for (const item of items) item.x = lefts[item.depth];
	return { lanes, width: x };
}
