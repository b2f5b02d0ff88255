// The latent without the server: decoders as ONNX files, run by a worker of this page. Loaded only when asked for.

export class HereSource {
	/**
	 * @param {import("./latent_socket.js").ServerSource} server gives files, and encodes images
	 * @param {string} address of the worker's script
	 * @param {(pk: number) => string} file the address of a checkpoint's decoder
	 */
	constructor(server, address, file) {
		Object.assign(this, { server, file, number: 0, waiting: new Map(), loaded: new Map(), known: new Map() });
		this.worker = new Worker(address, { type: "module" });
		this.worker.onmessage = ({ data: { id, found, error } }) => {
			const asked = this.waiting.get(id);
			this.waiting.delete(id);
			if (error) asked.failed(new Error(error));
			else asked.done(found);
		};
		this.worker.onerror = () => {
			for (const { failed } of this.waiting.values())
				failed(new Error("the decoder of this page could not be started"));
			this.waiting.clear();
		};
	}

	ask(message) {
		const id = ++this.number;
		return new Promise((done, failed) => {
			this.waiting.set(id, { done, failed });
			this.worker.postMessage({ id, ...message });
		});
	}

	/** Bring the decoder of a checkpoint here, once. */
	load(pk) {
		if (!this.loaded.has(pk)) {
			const loading = this.server.file(pk, this.file(pk)).then((file) => this.ask({ pk, file }));
			loading.catch(() => this.loaded.delete(pk));
			this.loaded.set(pk, loading);
		}
		return this.loaded.get(pk);
	}

	async open(pk) {
		if (!this.known.has(pk)) this.known.set(pk, await this.server.open(pk));
		return this.known.get(pk);
	}

	start(pk, dataset, row) {
		return this.server.start(pk, dataset, row);
	}

	async decode(pk, latents, shape, mix) {
		await Promise.all([pk, ...(mix ? [mix.toward] : [])].map((each) => this.load(each)));
		return this.ask({ pk, latents, shape, mix });
	}

	close() {
		this.worker.terminate();
	}
}
