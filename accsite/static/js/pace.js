// Lets what is read by people change at most twice a second, the last change included.

const EVERY_MS = 500;

export function pace(again) {
	let last = 0;
	let timer = null;
	return () => {
		if (performance.now() - last < EVERY_MS) {
			timer ??= setTimeout(() => {
				timer = null;
				again();
			}, EVERY_MS);
			return false;
		}
		last = performance.now();
		return true;
	};
}
