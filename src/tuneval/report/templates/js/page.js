/* What the whole page needs: theme, contents, folding. Texts of models and data reach the page
   through textContent only. */
const root = document.documentElement;
const byId = (id) => document.getElementById(id);
document.body.classList.remove("no-script");

const kept = {
  read(key) { try { return localStorage.getItem(key); } catch { return null; } },
  write(key, value) { try { localStorage.setItem(key, value); return true; } catch { return false; } },
};

const themes = ["auto", "light", "dark"];
function setTheme(theme) {
  if (theme === "auto") delete root.dataset.theme; else root.dataset.theme = theme;
  byId("theme").textContent = `Theme: ${theme}`;
  kept.write("tuneval-theme", theme);
}
let theme = themes.includes(kept.read("tuneval-theme")) ? kept.read("tuneval-theme") : "auto";
if (theme !== "auto") setTheme(theme);
byId("theme").addEventListener("click", () => {
  theme = themes[(themes.indexOf(theme) + 1) % themes.length];
  setTheme(theme);
});

/* A link into a folded section opens it; paper shows all sections. */
function unfold(id) {
  for (let box = byId(id)?.closest("details"); box; box = box.parentElement.closest("details")) box.open = true;
}
const anchorOf = () => decodeURIComponent(location.hash.slice(1).split("?")[0]);
window.addEventListener("hashchange", () => unfold(anchorOf()));
for (const link of document.querySelectorAll("#contents a")) link.addEventListener("click", () => unfold(link.hash.slice(1)));
let folded = [];
window.addEventListener("beforeprint", () => {
  folded = [...document.querySelectorAll("details.section:not([open])")];
  for (const box of folded) box.open = true;
});
window.addEventListener("afterprint", () => { for (const box of folded) box.open = false; });

/* Where the reader is, in the bar of contents. */
if ("IntersectionObserver" in window) {
  const seen = new Set();
  const sections = [...document.querySelectorAll("main section[id]")];
  const watcher = new IntersectionObserver((entries) => {
    for (const entry of entries) if (entry.isIntersecting) seen.add(entry.target); else seen.delete(entry.target);
    const first = sections.find((section) => seen.has(section));
    for (const link of document.querySelectorAll("#contents a")) {
      if (first && link.hash === `#${first.querySelector("h2").id}`) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    }
  }, { rootMargin: "-60px 0px -60% 0px" });
  for (const section of sections) watcher.observe(section);
}

function element(tag, className, text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined && text !== null) node.textContent = text;
  return node;
}
function button(text, act, className) {
  const node = element("button", className, text);
  node.type = "button";
  node.addEventListener("click", act);
  return node;
}
const SVG = "http://www.w3.org/2000/svg";
function drawn(tag, attributes) {
  const node = document.createElementNS(SVG, tag);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  return node;
}
const grouped = (number) => number.toLocaleString("en");

/* Invisible characters as visible text: what a model wrote must not hide or reorder anything. Joiners
   stay where they make letters of Indic and Arabic scripts or one emoji of several. */
const HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]|[\u{e0000}-\u{e007f}]/gu;
const JOINED = /[\p{M}\p{So}\p{Sk}]|(?![\p{Script=Latin}\p{Script=Greek}\p{Script=Cyrillic}])\p{L}/u;
function visible(text) {
  const whole = String(text ?? "");
  return whole.replace(HIDDEN, (c, place) => {
    if ((c === "\u200c" || c === "\u200d") && place > 0) {
      const before = String.fromCodePoint(whole.codePointAt(/[\udc00-\udfff]/.test(whole[place - 1]) ? place - 2 : place - 1) ?? 32);
      const after = String.fromCodePoint(whole.codePointAt(place + 1) ?? 32);
      if (JOINED.test(before) && JOINED.test(after)) return c;
    }
    const code = c.codePointAt(0);
    const hex = code.toString(16);
    return code < 256 ? `\\x${hex.padStart(2, "0")}` : code < 65536 ? `\\u${hex.padStart(4, "0")}` : `\\U${hex.padStart(8, "0")}`;
  });
}
