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

// It takes its colours once, as numbers: of the theme that the page has when it opens.
const dark = document.documentElement.classList.contains("dark-mode");
const [surface, raised, line, ink, quiet, accent] = dark
  ? ["#11141a", "#1c1f28", "#2b2f3a", "#eef0f4", "#a7acb8", "#98a9ff"]
  : ["#ffffff", "#f1f2f7", "#e1e4ea", "#171b24", "#5b616d", "#4f55d8"];
const [good, warn, bad, violet] = dark
  ? ["#5ddc9e", "#f2c14e", "#ff8f92", "#d3a6ff"]
  : ["#00713f", "#805400", "#c4162a", "#8a35b8"];
// Code stands on dark in both.
const night = {
  ground: "#12151c",
  deep: "#0a0c12",
  ink: "#eef0f4",
  good: "#5ddc9e",
  warn: "#f2c14e",
  bad: "#ff8f92",
  info: "#98a9ff",
};
const answer = (color, tabTextColor) => ({ color, backgroundColor: raised, tabTextColor });
const sans = '"Inter", "Inter fallback", system-ui, sans-serif';
const mono = '"JetBrains Mono", ui-monospace, monospace';
document.querySelector("redoc").setAttribute(
  "theme",
  JSON.stringify({
    colors: {
      primary: { main: accent },
      success: { main: good },
      warning: { main: warn },
      error: { main: bad },
      text: { primary: ink, secondary: quiet },
      border: { dark: line, light: line },
      gray: { 50: surface, 100: raised },
      responses: {
        success: answer(good, night.good),
        error: answer(bad, night.bad),
        redirect: answer(warn, night.warn),
        info: answer(accent, night.info),
      },
      http: {
        get: accent,
        post: good,
        put: warn,
        patch: warn,
        delete: bad,
        options: violet,
        basic: quiet,
        link: accent,
        head: violet,
      },
    },
    schema: {
      nestedBackground: raised,
      linesColor: line,
      typeNameColor: quiet,
      typeTitleColor: quiet,
      requireLabelColor: bad,
      arrow: { color: quiet },
    },
    typography: {
      fontSize: "14px",
      lineHeight: "1.45em",
      fontFamily: sans,
      headings: { fontFamily: sans, fontWeight: "600" },
      code: { fontFamily: mono, fontSize: "12px", color: ink, backgroundColor: raised, wrap: true },
      links: { color: accent, visited: accent, hover: accent },
    },
    sidebar: { backgroundColor: surface, textColor: ink, activeTextColor: accent, width: "240px" },
    rightPanel: { backgroundColor: night.ground, textColor: night.ink, width: "36%" },
    codeBlock: { backgroundColor: night.deep },
    fab: { backgroundColor: raised, color: ink },
  }),
);
