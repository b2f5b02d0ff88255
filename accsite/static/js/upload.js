// Uploads files, or a folder, with their progress, and says what they seem to be before they are sent.

const form = document.getElementById("upload");
const sending = document.getElementById("sending");
const bar = sending.querySelector("progress");
const sent = document.getElementById("sent");
const button = form.querySelector("[type=submit]");
const folder = document.getElementById("folder");
function size(bytes) {
	if (bytes < 2 ** 20) return `${(bytes / 2 ** 10).toFixed(1)} KiB`;
	if (bytes < 2 ** 30) return `${(bytes / 2 ** 20).toFixed(1)} MiB`;
	return `${(bytes / 2 ** 30).toFixed(2)} GiB`;
}

// What a file is, by how it begins; the server looks again, and decides.
async function kindOf(file) {
	const head = new DataView(await file.slice(0, 16).arrayBuffer());
	if (head.byteLength < 8) return "too short for a dataset";
	const first = head.getUint32(0);
	const ending = file.name.toLowerCase().split(".").pop();
	if (first === 0x00000803 && head.byteLength === 16)
		return `IDX, ${head.getUint32(4).toLocaleString("en")} images of ${head.getUint32(8)} × ${head.getUint32(12)}`;
	if (first === 0x00000801) return `IDX labels, ${head.getUint32(4).toLocaleString("en")} of them`;
	if (first >>> 16 === 0x1f8b) return "gzip, an IDX file if it is to be read";
	if (first === 0x934e554d) return "a NumPy array (.npy)";
	if (first === 0x504b0304)
		return { npz: "NumPy arrays (.npz)", pt: "PyTorch tensors", pth: "PyTorch tensors" }[ending] ?? "a zip of images";
	if (head.getUint8(8) === 0x7b) return "a dataset of ACC (.safetensors)";
	if (first === 0x89484446) return "HDF5";
	if (first === 0x50415231) return "Parquet";
	if (["tar", "mat"].includes(ending)) return ending === "tar" ? "an archive (.tar)" : "a MATLAB or NORB file (.mat)";
	if (["csv", "tsv"].includes(ending)) return "a table (CSV)";
	if (file.type.startsWith("image/")) return "an image";
	return `no kind that is known by how it begins (.${ending})`;
}

form.addEventListener("change", async ({ target }) => {
	if (target.type !== "file") return;
	const help = target.closest(".field")?.querySelector(".help");
	if (help) help.dataset.was ??= help.textContent;
	if (target === folder) return choose([...folder.files].map((file) => [file, file.webkitRelativePath]));
	if (target === form.elements.file) chosen = [];
	mark(target, "");
	const { files } = target;
	if (files.length > 1) return say(help, [...files]);
	help.textContent = files.length ? `${size(files[0].size)}: ${await kindOf(files[0])}` : help.dataset.was;
});

// What was chosen as a folder: [file, path in it]; a field holds files alone, without their paths.
let chosen = [];
function choose(pairs) {
	chosen = pairs.filter(([, path]) => !path.split("/").some((part) => part.startsWith(".")));
	form.elements.file.value = "";
	mark(form.elements.file, "");
	say(
		form.elements.file.closest(".field").querySelector(".help"),
		chosen.map(([file]) => file),
		chosen[0]?.[1].split("/")[0],
	);
}

function say(help, files, name = "") {
	const bytes = files.reduce((sum, file) => sum + file.size, 0);
	const of = name ? `${name}/: ` : "";
	help.dataset.was ??= help.textContent;
	help.textContent = files.length ? `${of}${files.length.toLocaleString("en")} files, ${size(bytes)}` : help.dataset.was;
}

async function filesBelow(entry, path = "") {
	if (entry.isFile) return [[await new Promise((done, fail) => entry.file(done, fail)), path + entry.name]];
	const reader = entry.createReader();
	const found = [];
	for (;;) {
		// A reader gives some of its entries at a time, and none in the end.
		const some = await new Promise((done, fail) => reader.readEntries(done, fail));
		if (!some.length) return found;
		for (const each of some) found.push(...(await filesBelow(each, `${path}${entry.name}/`)));
	}
}

// A file may be dropped anywhere on the zone; it goes into the field, as if it had been chosen there.
const zone = document.getElementById("drop");
const holdsFile = ({ dataTransfer }) => dataTransfer.types.includes("Files");
zone.addEventListener("dragover", (event) => {
	if (!holdsFile(event)) return;
	event.preventDefault();
	zone.dataset.over = "";
});
zone.addEventListener("dragleave", ({ relatedTarget }) => {
	if (!zone.contains(relatedTarget)) delete zone.dataset.over;
});
zone.addEventListener("drop", async (event) => {
	if (!holdsFile(event)) return;
	event.preventDefault();
	delete zone.dataset.over;
	const field = form.elements.file;
	const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry?.());
	if (entries.some((entry) => entry?.isDirectory)) {
		const found = await Promise.all(entries.filter(Boolean).map((entry) => filesBelow(entry)));
		return choose(found.flat());
	}
	field.files = event.dataTransfer.files;
	field.dispatchEvent(new Event("change", { bubbles: true }));
});

function mark(input, text) {
	const field = input.closest(".field");
	field.querySelector(".error")?.remove();
	input.toggleAttribute("aria-invalid", false);
	if (!text) return;
	const error = Object.assign(document.createElement("span"), {
		className: "error",
		id: `${input.id}_error`,
		textContent: text,
	});
	input.setAttribute("aria-invalid", "true");
	input.setAttribute("aria-describedby", error.id);
	field.append(error);
}

function refuse(found) {
	const rest = [];
	const errors = found.errors ?? { "": found.detail ?? "The server refused the upload." };
	for (const [name, messages] of Object.entries(errors)) {
		const input = form.elements[name];
		if (input?.closest?.(".field")) mark(input, [messages].flat().join(" "));
		else rest.push([messages].flat().join(" "));
	}
	form.querySelector(".errors")?.remove();
	if (!rest.length) return;
	const box = Object.assign(document.createElement("p"), { className: "errors wide", textContent: rest.join(" ") });
	box.setAttribute("role", "alert");
	form.prepend(box);
}

form.addEventListener("submit", (event) => {
	event.preventDefault();
	if (!sending.hidden) return;
	for (const input of form.querySelectorAll(".field :is(input, select)")) mark(input, "");
	const { file, labels, path, name, like, csrfmiddlewaretoken, idempotency_key: key } = form.elements;
	const pairs = chosen.length ? chosen : [...file.files].map((each) => [each, each.name]);
	if (!pairs.length && !path?.value) return mark(file, "choose the file that holds the images");
	const bytes = pairs.reduce((sum, [each]) => sum + each.size, 0);
	if (bytes > Number(form.dataset.most))
		return mark(file, `it has ${size(bytes)}; at most ${size(Number(form.dataset.most))} are allowed`);
	if (pairs.length > Number(form.dataset.files))
		return mark(file, `there are ${pairs.length} files; at most ${form.dataset.files} at once, or an archive of them`);
	const data = new FormData();
	for (const [each] of pairs) data.append("file", each);
	if (pairs.length > 1) data.append("paths", JSON.stringify(pairs.map(([, at]) => at)));
	if (labels.files.length) data.append("labels", labels.files[0]);
	if (path?.value) data.append("path", path.value);
	if (like.value) data.append("like", like.value);
	data.append("name", name.value);
	data.append("look", "true");
	const request = new XMLHttpRequest();
	const began = performance.now();
	const done = () => {
		sending.hidden = true;
		button.disabled = false;
		delete form.dataset.sent;
	};
	request.upload.onprogress = ({ loaded, total }) => {
		bar.max = total;
		bar.value = loaded;
		const left = ((performance.now() - began) / 1000) * (total / Math.max(1, loaded) - 1);
		sent.textContent =
			loaded < total ? `${size(loaded)} of ${size(total)}, ${Math.ceil(left)}s left` : "being taken in…";
	};
	request.onload = () => {
		if (request.status === 202) {
			const { id } = JSON.parse(request.responseText);
			return location.assign(form.dataset.done.replace("/0/", `/${id}/`));
		}
		done();
		let found = {};
		try {
			found = JSON.parse(request.responseText);
		} catch {
			const tooLarge = request.status === 413;
			found.detail = tooLarge ? "The server takes no file of this size." : `The server answered ${request.status}.`;
		}
		refuse(found);
	};
	const fail = (detail) => {
		done();
		refuse({ detail });
	};
	request.onerror = () => fail("The server could not be reached; the upload was not finished.");
	request.onabort = () => fail("The upload was cancelled; nothing was kept.");
	document.getElementById("stop-upload").onclick = () => request.abort();
	request.open("POST", form.dataset.api);
	request.setRequestHeader("X-CSRFToken", csrfmiddlewaretoken.value);
	request.setRequestHeader("Idempotency-Key", key.value);
	sending.hidden = false;
	button.disabled = true;
	bar.value = 0;
	request.send(data);
});
