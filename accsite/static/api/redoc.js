// Redoc's side bar holds a picture on its maker's server. Nothing here is loaded from anywhere else, so it stays out.
const foreign = (value) => {
  const url = new URL(value, location.href);
  return url.protocol.startsWith("http") && url.origin !== location.origin;
};
const { setAttribute } = Element.prototype;
const src = Object.getOwnPropertyDescriptor(HTMLImageElement.prototype, "src");

HTMLImageElement.prototype.setAttribute = function (name, value) {
  if (name !== "src" || !foreign(value)) setAttribute.call(this, name, value);
};
Object.defineProperty(HTMLImageElement.prototype, "src", {
  ...src,
  set(value) {
    if (!foreign(value)) src.set.call(this, value);
  },
});
