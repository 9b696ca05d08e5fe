/* Theme switch and case browser. Texts of models and data reach the page through textContent only. */
(() => {
  "use strict";
  const root = document.documentElement;
  const byId = (id) => document.getElementById(id);
  document.body.classList.remove("no-script");

  const themes = ["auto", "light", "dark"];
  const remembered = () => { try { return localStorage.getItem("tuneval-theme"); } catch { return null; } };
  const setTheme = (theme) => {
    if (theme === "auto") delete root.dataset.theme; else root.dataset.theme = theme;
    byId("theme").textContent = `Theme: ${theme}`;
    try { localStorage.setItem("tuneval-theme", theme); } catch { /* private windows have no storage */ }
  };
  let theme = themes.includes(remembered()) ? remembered() : "auto";
  if (theme !== "auto") setTheme(theme);
  byId("theme").addEventListener("click", () => {
    theme = themes[(themes.indexOf(theme) + 1) % themes.length];
    setTheme(theme);
  });

  if (!byId("data")) { root.dataset.ready = "true"; return; }

  const data = JSON.parse(byId("data").textContent);
  const PAGE = 50;
  const SVG = "http://www.w3.org/2000/svg";
  const cases = data.cases.map((row, index) => ({
    index, id: row[0], text: row[1], references: row[2].map(labelOf), set: row[3], kind: row[4] ?? null,
    groups: row[5] ?? [], others: row[6] ?? {},
  }));
  const groupNames = Object.keys(data.groups);
  const first = (kind) => data.arms.find((arm) => arm.css.startsWith(kind))?.variants.find((name) => data.answers[name]);
  const variants = data.arms.flatMap((arm) => arm.variants).filter((name) => data.answers[name]);
  const tuned = first("adapter"), whole = first("full");

  function labelOf(value) { return typeof value === "number" ? data.labels[value] : value; }
  function answer(name, index) {
    const row = data.answers[name]?.[index] ?? [];
    const shown = labelOf(row[0] ?? null);
    const shares = [];
    for (let i = 0; i < (row[2] ?? []).length; i += 2) shares.push([labelOf(row[2][i]), row[2][i + 1] / 1000]);
    return { shown, score: row[1] ?? null, shares, problem: row[3] ?? null, text: row[4] ?? shown, loss: row[5] ?? null };
  }
  const members = data.pairs.map((pair) => ({ fixed: new Set(pair.fixed), broken: new Set(pair.broken) }));
  const raw = (name, index) => data.answers[name]?.[index] ?? [];
  const shows = {
    all: ["All", () => true],
    fixed: ["Fixed", (c, state) => members[state.pair]?.fixed.has(c.index)],
    broken: ["Broken", (c, state) => members[state.pair]?.broken.has(c.index)],
    differ: [tuned && whole ? `${armOf(tuned)} ≠ ${armOf(whole)}` : "", (c) => raw(tuned, c.index)[0] !== raw(whole, c.index)[0]],
    wrong: ["All wrong", (c) => !data.graded[c.set] && variants.every((name) => raw(name, c.index)[1] === 0)],
    unread: ["Unreadable", (c) => variants.some((name) => raw(name, c.index)[3] != null)],
  };
  function armOf(name) { return data.arms.find((arm) => arm.variants.includes(name)).name; }
  if (!data.pairs.length) { delete shows.fixed; delete shows.broken; }
  if (!shows.differ[0]) delete shows.differ;
  if (data.graded.every(Boolean)) delete shows.wrong;

  const start = { show: "all", pair: 0, set: "", kind: data.kinds.length ? "original" : "", group: "", label: "", find: "", page: 0, open: "" };
  let state = { ...start };
  let found = [];

  /* ---- state and address ---- */
  function readAddress() {
    const [anchor, query] = location.hash.slice(1).split("?");
    state = { ...start };
    if (anchor !== "cases" || query === undefined) return false;
    for (const [key, value] of new URLSearchParams(query)) {
      if (!(key in start)) continue;
      state[key] = typeof start[key] === "number" ? Math.max(0, parseInt(value, 10) || 0) : value;
    }
    if (!Object.hasOwn(shows, state.show)) state.show = "all";
    if (state.pair >= data.pairs.length) state.pair = 0;
    return true;
  }
  function writeAddress() {
    const query = new URLSearchParams();
    for (const key of Object.keys(start)) if (state[key] !== start[key]) query.set(key, state[key]);
    try { history.replaceState(null, "", `#cases?${query}`); } catch { /* some viewers forbid it */ }
  }
  function change(update) {
    state = { ...state, page: 0, open: "", ...update };
    writeAddress();
    draw();
  }

  /* ---- filters ---- */
  function isSelected(c) {
    if (state.set !== "" && data.sets[c.set] !== state.set) return false;
    if (state.kind === "original" && c.kind !== null) return false;
    if (state.kind !== "" && state.kind !== "original" && data.kinds[c.kind] !== state.kind) return false;
    if (state.label !== "" && !c.references.includes(state.label)) return false;
    if (state.group !== "") {
      const cut = state.group.indexOf("=");
      const place = groupNames.indexOf(state.group.slice(0, cut));
      if (place < 0 || data.groups[groupNames[place]][c.groups[place]] !== state.group.slice(cut + 1)) return false;
    }
    if (state.find !== "") {
      const needle = state.find.toLowerCase();
      const hit = (text) => String(text ?? "").toLowerCase().includes(needle);
      if (!hit(c.text) && !hit(c.id) && !variants.some((name) => hit(raw(name, c.index)[4] ?? labelOf(raw(name, c.index)[0] ?? "")))) return false;
    }
    return true;
  }

  /* ---- drawing ---- */
  function element(tag, className, text) {
    const node = document.createElement(tag);
    if (className) node.className = className;
    if (text !== undefined && text !== null) node.textContent = text;
    return node;
  }
  function icon(css) {
    const svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("class", "icon"); svg.setAttribute("viewBox", "0 0 14 14");
    svg.setAttribute("width", "12"); svg.setAttribute("height", "12"); svg.setAttribute("aria-hidden", "true");
    const kind = css.split("-")[0];
    const shape = document.createElementNS(SVG, kind === "base" ? "circle" : kind === "adapter" ? "rect" : "polygon");
    const places = { base: { cx: 7, cy: 7, r: 5 }, adapter: { x: 2.5, y: 2.5, width: 9, height: 9, rx: 1 } }[kind] ?? { points: "7,1.2 12.5,11.3 1.5,11.3" };
    for (const [key, value] of Object.entries(places)) shape.setAttribute(key, value);
    shape.setAttribute("class", `mark ${css}`);
    svg.append(shape);
    return svg;
  }
  /* Invisible characters as visible text: what a model wrote must not hide or reorder anything. */
  const HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g;
  function visible(text) {
    return String(text ?? "").replace(HIDDEN, (c) => {
      const code = c.codePointAt(0);
      return code < 256 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u${code.toString(16).padStart(4, "0")}`;
    });
  }
  function judged(a, c) {
    if (a.problem !== null) return element("span", "unread", "? unreadable");
    if (a.score === null) return element("span", "soft", "no score");
    if (data.graded[c.set]) return element("span", "soft", `score ${a.score}`);
    if (a.score === 1) return element("span", "right", "✓ right");
    return element("span", "wrong", "✗ wrong");
  }
  function summaryCell(arm, c) {
    const cell = element("span", "");
    const head = element("span", "cellname");
    head.append(icon(arm.css), visible(arm.name));
    const names = arm.variants.filter((name) => data.answers[name]);
    const answers = names.map((name) => answer(name, c.index));
    cell.append(head);
    if (!answers.length) return cell;
    const main = answers[0];
    cell.append(element("span", "answer", main.problem !== null ? "–" : visible(main.shown)));
    const line = element("span", "");
    const right = answers.filter((a) => a.score === 1).length;
    const isGraded = data.graded[c.set];
    if (!isGraded && right > 0 && right < answers.length) {
      line.append(element("span", "unread", `◐ ${right} of ${answers.length} right`));
    } else line.append(judged(main, c));
    if (answers.length > 1 && isGraded) {
      line.append(element("span", "soft", ` 1st of ${answers.length} seeds`));
    } else if (answers.length > 1 && (right === 0 || right === answers.length)) {
      line.append(element("span", "soft", ` ${right}/${answers.length} seeds`));
    } else if (answers.length === 1 && main.shares.length) {
      const own = main.shares.find(([label]) => label === main.shown);
      if (own) line.append(element("span", "soft", ` ${Math.round(own[1] * 100)}%`));
    }
    cell.append(line);
    return cell;
  }
  function drawRow(c) {
    const item = element("li");
    const box = element("details");
    box.dataset.index = c.index;
    const head = element("summary");
    const words = element("span", "wide-cell");
    words.append(element("span", "text", visible(c.text)));
    words.append(element("span", "id", `${visible(c.id)}${c.kind === null ? "" : ` · ${visible(data.kinds[c.kind])}`}`));
    const expected = element("span");
    expected.append(element("span", "cellname", "expected"), element("span", "answer", visible(c.references[0] ?? "–")));
    head.append(words, expected, ...data.arms.map((arm) => summaryCell(arm, c)));
    box.append(head);
    box.addEventListener("toggle", () => {
      if (box.open && box.childElementCount === 1) box.append(detail(c));
      if (box.open) { state.open = c.id; writeAddress(); }
    });
    item.append(box);
    return item;
  }
  function part(parent, title, text) {
    parent.append(element("h4", "", title), element("pre", "", visible(text)));
  }
  function detail(c) {
    const box = element("div", "open");
    part(box, "Input", c.text);
    for (const [key, value] of Object.entries(c.others)) part(box, visible(key), value);
    if (c.references.length) part(box, c.references.length > 1 ? "Expected (any of)" : "Expected", c.references.join("\n"));
    const attributes = groupNames.map((name, place) => [name, data.groups[name][c.groups[place]]]).filter(([, value]) => value !== undefined);
    if (attributes.length) box.append(element("h4", "", "Groups"), element("p", "", visible(attributes.map(([k, v]) => `${k}: ${v}`).join(", "))));
    drawPrompts(box, c);
    const isText = !data.labels.length && c.references.length > 0;
    box.append(element("h4", "", isText ? "Answers (underlined: only here; struck out: only expected)" : "Answers"));
    const grid = element("div", "answers");
    for (const arm of data.arms) for (const name of arm.variants) if (data.answers[name]) grid.append(drawAnswer(arm, name, c));
    box.append(grid);
    return box;
  }
  /* The prompt as sent: once for all variants that read the same text. */
  function drawPrompts(box, c) {
    const readers = new Map();
    for (const name of variants) {
      const place = data.asked[name]?.[c.index] ?? null;
      if (place !== null) readers.set(place, [...(readers.get(place) ?? []), name]);
    }
    for (const [place, names] of readers) {
      const [text, continuation, cut, cutAt] = data.prompts[place];
      const who = readers.size === 1 ? "" : ` to ${names.join(", ")}`;
      box.append(element("h4", "", visible(`Prompt as sent${who}`)));
      const pre = element("pre", "prompt", visible(data.head + text));
      if (continuation != null) pre.append(element("span", "soft", visible(continuation)));
      box.append(pre);
      if (cut) box.append(element("p", "unread", `${cut.toLocaleString("en")} tokens were cut to fit the context${cutAt === 0 ? ", at the beginning" : " where [...] stands"}`));
    }
  }
  function drawAnswer(arm, name, c) {
    const a = answer(name, c.index);
    const box = element("div", arm.css);
    const head = element("p", "cellname");
    head.append(icon(arm.css), visible(name));
    const line = element("p");
    line.append(judged(a, c));
    if (a.loss !== null) line.append(element("span", "soft", ` loss ${a.loss}`));
    box.append(head, line);
    if (a.problem !== null) box.append(element("p", "soft", visible(a.problem)));
    if (a.text !== null && (a.text !== a.shown || !a.shares.length)) box.append(compared(a, c));
    if (a.shares.length) {
      const list = element("div", "share");
      for (const [label, share] of a.shares) {
        const bar = element("i"), fill = element("b");
        fill.style.width = `${share * 100}%`;
        bar.append(fill);
        list.append(element("span", "", visible(label)), element("span", "p", `${(share * 100).toFixed(1)}%`), bar);
      }
      box.append(list);
    }
    return box;
  }
  /* Free text against its reference, word by word; labels and very long texts as they are. */
  function compared(a, c) {
    const pre = element("pre");
    const wanted = c.references[0];
    const ours = String(a.text).split(/(\s+)/), theirs = String(wanted ?? "").split(/(\s+)/);
    if (wanted === undefined || data.labels.length || ours.length < 6 || ours.length * theirs.length > 250000) {
      pre.textContent = visible(a.text);
      return pre;
    }
    const table = Array.from({ length: ours.length + 1 }, () => new Uint16Array(theirs.length + 1));
    for (let i = ours.length - 1; i >= 0; i--) for (let j = theirs.length - 1; j >= 0; j--)
      table[i][j] = ours[i] === theirs[j] ? table[i + 1][j + 1] + 1 : Math.max(table[i + 1][j], table[i][j + 1]);
    let i = 0, j = 0;
    while (i < ours.length || j < theirs.length) {
      if (i < ours.length && j < theirs.length && ours[i] === theirs[j]) { pre.append(visible(ours[i])); i++; j++; }
      else if (i < ours.length && (j === theirs.length || table[i + 1][j] >= table[i][j + 1])) { pre.append(element("ins", "", visible(ours[i]))); i++; }
      else { pre.append(element("del", "", visible(theirs[j]))); j++; }
    }
    return pre;
  }

  function draw() {
    const selected = cases.filter(isSelected);
    for (const button of byId("shows").querySelectorAll("button")) {
      const test = shows[button.dataset.show][1];
      const n = selected.reduce((sum, c) => sum + (test(c, state) ? 1 : 0), 0);
      button.querySelector(".n").textContent = n.toLocaleString("en");
      button.setAttribute("aria-pressed", String(button.dataset.show === state.show));
    }
    for (const control of byId("selects").querySelectorAll("[data-key]")) {
      const value = String(state[control.dataset.key]);
      if (control.value !== value) control.value = value;
    }
    found = selected.filter((c) => shows[state.show][1](c, state));
    const pages = Math.max(1, Math.ceil(found.length / PAGE));
    if (state.page >= pages) state.page = pages - 1;
    const from = state.page * PAGE;
    const shown = found.slice(from, from + PAGE);
    byId("rows").replaceChildren(...shown.map(drawRow));
    const range = found.length ? `${(from + 1).toLocaleString("en")}–${(from + shown.length).toLocaleString("en")} of ${found.length.toLocaleString("en")}` : "No case matches. Try fewer filters.";
    byId("range").textContent = range;
    byId("announce").textContent = `${found.length.toLocaleString("en")} cases`;
    for (const button of document.querySelectorAll(".pager .before")) button.disabled = state.page === 0;
    for (const button of document.querySelectorAll(".pager .after")) button.disabled = state.page >= pages - 1;
    root.dataset.rows = found.length;
    if (state.open) {
      const place = shown.findIndex((c) => c.id === state.open);
      if (place >= 0) byId("rows").children[place].firstElementChild.open = true;
    }
  }

  /* ---- controls ---- */
  function select(key, title, options) {
    const label = element("label", "", title);
    const box = element("select");
    box.dataset.key = key;
    for (const [value, text] of options) { const option = element("option", "", text); option.value = value; box.append(option); }
    box.addEventListener("change", () => change({ [key]: typeof start[key] === "number" ? Number(box.value) : box.value }));
    label.append(box);
    byId("selects").append(label);
  }
  byId("browser").style.setProperty("--columns", data.arms.length + 1);
  byId("row-head").append(element("span", "", "Input"), element("span", "", "Expected"), ...data.arms.map((arm) => {
    const cell = element("span");
    cell.append(icon(arm.css), visible(arm.name));
    return cell;
  }));
  for (const [key, [title]] of Object.entries(shows)) {
    const button = element("button", "", visible(title));
    button.type = "button"; button.dataset.show = key;
    button.append(element("span", "n"));
    button.addEventListener("click", () => change({ show: key }));
    byId("shows").append(button);
  }
  if (data.pairs.length > 1) select("pair", "fixed and broken in", data.pairs.map((p, i) => [i, visible(`${p.baseline} → ${p.candidate}`)]));
  if (data.sets.length > 1) select("set", "case set", [["", "all"], ...data.sets.map((s) => [s, visible(s)])]);
  if (data.kinds.length) select("kind", "inputs", [["original", "original"], ...data.kinds.map((k) => [k, visible(k)]), ["", "all"]]);
  if (groupNames.length) select("group", "group", [["", "all"], ...groupNames.flatMap((name) => data.groups[name].map((value) => [`${name}=${value}`, visible(`${name}: ${value}`)]))]);
  if (data.labels.length) select("label", "label", [["", "all"], ...data.labels.map((l) => [l, visible(l)])]);
  const search = element("input");
  search.type = "search"; search.placeholder = "Search texts, answers, ids"; search.dataset.key = "find";
  search.setAttribute("aria-label", "Search texts, answers and ids");
  let waiting = 0;
  search.addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(() => change({ find: search.value }), 120); });
  byId("selects").append(search);

  function turn(step) {
    change({ page: Math.max(0, state.page + step) });
    byId("browser").scrollIntoView();
  }
  for (const button of document.querySelectorAll(".pager .before")) button.addEventListener("click", () => turn(-1));
  for (const button of document.querySelectorAll(".pager .after")) button.addEventListener("click", () => turn(1));
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) return;
    if (event.key === "/") { event.preventDefault(); search.focus(); return; }
    if (event.key !== "j" && event.key !== "k") return;
    const heads = [...byId("rows").querySelectorAll("summary")];
    const now = heads.indexOf(document.activeElement?.closest("details")?.querySelector("summary"));
    const next = event.key === "j" ? now + 1 : Math.max(0, now - 1);
    if (heads[next]) { heads[next].focus(); heads[next].scrollIntoView({ block: "nearest" }); }
  });
  window.addEventListener("hashchange", () => { if (readAddress()) { draw(); byId("cases").scrollIntoView(); } });

  const isLinked = readAddress();
  draw();
  if (isLinked) byId("cases").scrollIntoView();
  root.dataset.cases = cases.length;
  root.dataset.ready = "true";
})();
