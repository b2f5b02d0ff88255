// The horizontal axis as time since the job's first step. Fetched when it is asked for.

export function attach(view) {
	let clock = null; // { job, steps, seconds }: knots, linear in between
	async function load(points) {
		clock = { job: points.job, steps: [], seconds: [] };
		const mine = clock;
		const { header } = await points.fetch({ format: "points", series: "total", clock: 1, points: 1 });
		mine.steps = [...header.clock[0], ...mine.steps];
		mine.seconds = [...header.clock[1], ...mine.seconds];
		view.redraw();
	}
	// Value at x on the line through (from, to), which are sorted; beyond the ends the last piece goes on.
	function along(x, from, to) {
		let i = 1;
		for (let high = from.length - 1; i < high;) {
			const middle = (i + high) >> 1;
			if (from[middle] < x) i = middle + 1;
			else high = middle;
		}
		const width = from[i] - from[i - 1];
		return width > 0 ? to[i - 1] + ((x - from[i - 1]) / width) * (to[i] - to[i - 1]) : to[i];
	}
	const byTime = {
		at: (step) => along(step, clock.steps, clock.seconds) - clock.seconds[0],
		step: (x) => along(x + clock.seconds[0], clock.seconds, clock.steps),
		ticks: elapsed,
	};
	return {
		ready() {
			const points = view.points();
			const asked = view.state.x === "time";
			if (asked && clock?.job !== points.job) load(points).catch(() => {});
			if (asked && clock.steps.length > 1) Object.assign(view, byTime);
		},
		frame({ job, start, step, wall }) {
			if (clock?.job !== job) return;
			const knots = [
				[start, wall[0]],
				[step - 1, wall[1]],
			];
			for (const [at, when] of knots) {
				if (at <= clock.steps.at(-1)) continue;
				clock.steps.push(at);
				clock.seconds.push(when);
			}
		},
	};
}

export function elapsed(seconds) {
	const passed = Math.round(seconds * 10) / 10;
	if (passed < 60) return `${passed}s`;
	const [hours, minutes] = [Math.floor(passed / 3600), Math.floor((passed % 3600) / 60)];
	return hours ? `${hours}h ${minutes}m` : `${minutes}m ${Math.round(passed % 60)}s`;
}
