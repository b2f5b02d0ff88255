// The latent by way of the server: one socket, opened by the first touch, and closed after a
// while without one.

const REST_MS = 30_000;
const WAIT_MS = 20_000; // the server answers after fifteen seconds, if only that it cannot
const LATE = "the server has not answered; touch again to try anew";
const LOST = "the connection to the server was lost; touch again to try anew";

export class ServerSource {
	constructor(address) {
		this.address = address;
		this.together = true;
		this.number = 0;
	}

	/** Return a socket that is open, and the questions that wait on this very one. */
	async connect() {
		clearTimeout(this.rest);
		this.rest = setTimeout(() => this.line?.waiting.size || this.line?.socket.close(), REST_MS);
		if (this.line?.socket.readyState === WebSocket.OPEN) return this.line;
		this.opening ??= new Promise((done, failed) => {
			const socket = new WebSocket(location.origin.replace(/^http/, "ws") + this.address);
			const waiting = new Map();
			socket.binaryType = "arraybuffer";
			socket.onopen = () => done((this.line = { socket, waiting }));
			socket.onmessage = ({ data }) => this.receive(waiting, new Uint8Array(data));
			socket.onclose = ({ reason }) => {
				const why = new Error(reason ? `the server closed the connection: ${reason}` : LOST);
				failed(why);
				for (const { failed: each } of waiting.values()) each(why);
				waiting.clear();
			};
		}).finally(() => (this.opening = null));
		return this.opening;
	}

	receive(waiting, message) {
		const line = message.indexOf(10);
		const header = JSON.parse(new TextDecoder().decode(message.subarray(0, line)));
		const asked = waiting.get(header.id);
		waiting.delete(header.id);
		if (header.error) asked?.failed(new Error(header.error));
		else asked?.done({ header, body: message.slice(line + 1) });
	}

	/** Return header and body of the answer to a question. */
	async ask(question, body = new Float32Array(0)) {
		const { socket, waiting } = await this.connect();
		const id = ++this.number;
		const header = new TextEncoder().encode(`${JSON.stringify({ ...question, id })}\n`);
		const message = new Uint8Array(header.length + body.byteLength);
		message.set(header);
		message.set(new Uint8Array(body.buffer, body.byteOffset, body.byteLength), header.length);
		let late = 0;
		return new Promise((done, failed) => {
			late = setTimeout(() => waiting.delete(id) && failed(new Error(LATE)), WAIT_MS);
			waiting.set(id, { done, failed });
			if (socket.readyState === WebSocket.OPEN) socket.send(message);
			else waiting.delete(id) && failed(new Error(LOST));
		}).finally(() => clearTimeout(late));
	}

	async open(checkpoint) {
		return (await this.ask({ ask: "open", checkpoint })).header;
	}

	async start(checkpoint, dataset, row) {
		const { header, body } = await this.ask({ ask: "start", checkpoint, dataset, row });
		return { ...header, z: new Float32Array(body.buffer, 0, header.numbers) };
	}

	async decode(checkpoint, latents, _shape, mix, strip) {
		return (await this.ask({ ask: "decode", checkpoint, strip, ...mix }, latents)).body;
	}

	/** Have the decoder of a checkpoint written as a file, and fetch it. */
	async file(checkpoint, address) {
		await this.ask({ ask: "file", checkpoint });
		const answer = await fetch(address);
		if (!answer.ok) throw new Error(`the decoder could not be fetched (${answer.status})`);
		return answer.arrayBuffer();
	}
}
