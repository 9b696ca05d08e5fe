/* The browser of cases: controls, pages, keys. */
function update(changed) {
  state = { ...state, page: 0, open: "", ...changed };
  writeAddress();
  draw();
}
function draw() {
  const began = performance.now();
  deltas = change(state.from, state.to);
  const selected = cases.filter(isSelected);
  for (const one of byId("shows").querySelectorAll("button[data-show]")) {
    const test = shows[one.dataset.show][1];
    let n = 0;
    for (const c of selected) if (test(c)) n++;
    one.querySelector(".n").textContent = grouped(n);
    one.hidden = !n && !ALWAYS.has(one.dataset.show) && one.dataset.show !== state.show;
    one.setAttribute("aria-pressed", String(one.dataset.show === state.show));
  }
  count();
  for (const control of byId("browser").querySelectorAll("[data-key]")) {
    const value = String(state[control.dataset.key]);
    if (control.value !== value) control.value = value;
  }
  found = inOrder(selected.filter(shows[state.show][1]));
  const pages = Math.max(1, Math.ceil(found.length / PAGE));
  if (state.open) {
    const place = found.findIndex((c) => c.id === state.open);
    if (place >= 0) state.page = Math.floor(place / PAGE);
  }
  if (state.page >= pages) state.page = pages - 1;
  const filtered = performance.now();
  drawPage(pages);
  const paged = performance.now();
  if (document.querySelector(".more").open) drawPictures(selected); else pictured = selected;
  const isNarrowed = Object.keys(start).some((key) => !["page", "open", "sort", "from", "to", "show"].includes(key) && state[key] !== start[key]);
  byId("clear").hidden = !isNarrowed && state.show === "all";
  Object.assign(root.dataset, { rows: found.length, filterMs: (filtered - began).toFixed(1), pageMs: (paged - filtered).toFixed(1) });
}
function drawPage(pages) {
  const from = state.page * PAGE;
  const shown = found.slice(from, from + PAGE);
  byId("rows").replaceChildren(...shown.map(drawRow));
  byId("range").textContent = found.length ? `${grouped(from + 1)}–${grouped(from + shown.length)} of ${grouped(found.length)}` : "No case matches. Try fewer filters.";
  byId("announce").textContent = `${grouped(found.length)} cases`;
  for (const one of document.querySelectorAll(".pager .before")) one.disabled = state.page === 0;
  for (const one of document.querySelectorAll(".pager .after")) one.disabled = state.page >= pages - 1;
  const opened = state.open ? shown.findIndex((c) => c.id === state.open) : -1;
  if (opened >= 0) byId("rows").children[opened].firstElementChild.open = true;
}

function select(key, name, options) {
  const label = element("label", "", name), box = element("select");
  box.dataset.key = key;
  for (const [value, text] of options) { const option = element("option", "", text); option.value = value; box.append(option); }
  box.addEventListener("change", () => update({ [key]: typeof start[key] === "number" ? Number(box.value) : box.value }));
  label.append(box);
  return label;
}
function bound(key, name) {
  const box = element("input", "bound");
  box.type = "number"; box.step = "any"; box.dataset.key = key;
  box.setAttribute("aria-label", name); box.placeholder = name.match(/at (least|most)$/)?.[0] ?? "";
  box.addEventListener("change", () => update({ [key]: box.value === "" ? (typeof start[key] === "number" ? start[key] : "") : Number(box.value) }));
  return box;
}
function bounds(name, low, high) {
  const label = element("span", "bounds", name);
  label.append(bound(low, `${name} at least`), bound(high, `${name} at most`));
  return label;
}
const named = (values) => values.map((value) => [value, visible(value)]);

function controls() {
  start = beginning();
  state = { ...start };
  for (const id of ["row-head", "shows", "selects", "more", "save"]) byId(id).replaceChildren();
  byId("browser").style.setProperty("--columns", data.arms.length + 1);
  byId("row-head").append(element("span", "", "Input"), element("span", "", "Expected"), ...data.arms.map((arm) => {
    const cell = element("span");
    cell.append(icon(arm.css), visible(arm.name));
    return cell;
  }));
  const onlyGraded = data.graded.every(Boolean), someGraded = data.graded.some(Boolean);
  if (onlyGraded) { shows.fixed[0] = "Better"; shows.broken[0] = "Worse"; }
  for (const [key, [words]] of Object.entries(shows)) {
    const one = button(words, () => update({ show: key }));
    one.dataset.show = key;
    one.append(element("span", "n"));
    byId("shows").append(one);
  }
  const search = element("input");
  search.type = "search"; search.placeholder = "Search texts, answers, ids"; search.dataset.key = "find"; search.id = "search";
  search.setAttribute("aria-label", "Search texts, answers and ids");
  let waiting = 0;
  search.addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(() => update({ find: search.value }), 120); });
  const first = byId("selects"), more = byId("more");
  first.append(search);
  if (variants.length > 1) first.append(select("from", "from", named(variants)), select("to", "to", named(variants)));
  first.append(select("sort", "order", Object.entries(orders).map(([key, [words]]) => [key, words])));
  if (data.sets.length > 1) more.append(select("set", "case set", [["", "all"], ...named(data.sets)]));
  if (data.kinds.length) more.append(select("kind", "inputs", [["original", "original"], ...named(data.kinds), ["", "all"]]));
  if (groupNames.length) more.append(select("group", "group", [["", "all"], ...groupNames.flatMap((name) => data.groups[name].map((value) => [`${name}=${value}`, visible(`${name}: ${value}`)]))]));
  if (data.labels.length) {
    more.append(select("label", "expected", [["", "all"], ...named(data.labels)]), select("got", "answered", [["", "all"], ...named(data.labels), ["unread", "unreadable"]]));
    if (variants.length > 1) more.append(select("by", "by", [["", "anyone"], ...named(variants)]));
  }
  if (data.named.length) more.append(select("named", "found by", [["", "no matter"], ...named(data.named.map(([name]) => name))]));
  if (someGraded) {
    const over = element("label", "", "counts as changed from");
    over.append(bound("over", "Smallest difference that counts"));
    more.append(over, bounds("difference", "low", "high"), bounds("score before", "fromlow", "fromhigh"), bounds("score after", "tolow", "tohigh"));
  }
  byId("save").append(
    button("Clear filters", () => update({ ...start, from: state.from, to: state.to, sort: state.sort })),
    button("Save as JSONL", () => save("cases.jsonl", lines(found.map(record)), "application/jsonl")),
    button("Save as CSV", () => save("cases.csv", csvText(found), "text/csv")),
    button("Save marks", () => save(`marks-${data.run}.jsonl`, marksText(), "application/jsonl")),
  );
  byId("save").children[0].id = "clear";
  byId("save").children[3].id = "save-marks";
}
function turn(step) {
  update({ page: Math.max(0, state.page + step) });
  byId("browser").scrollIntoView();
}
function pressed(event) {
  const help = byId("keys");
  if (event.key === "Escape") {
    if (help.open) return;
    if (/^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) { event.target.blur(); return; }
    const open = byId("rows").querySelector(":scope > li > details[open]");
    if (open) { open.open = false; open.querySelector("summary").focus(); }
    return;
  }
  if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) return;
  if (event.key === "?") { help.showModal(); return; }
  if (event.key === "/") { event.preventDefault(); unfold("cases"); byId("search").focus(); return; }
  if (event.key === "n" || event.key === "p") { turn(event.key === "n" && state.page < Math.ceil(found.length / PAGE) - 1 ? 1 : event.key === "p" ? -1 : 0); return; }
  if (event.key !== "j" && event.key !== "k") return;
  const heads = [...byId("rows").querySelectorAll(":scope > li > details > summary")];
  const now = heads.indexOf(document.activeElement?.closest("#rows > li > details")?.querySelector("summary"));
  const next = event.key === "j" ? now + 1 : Math.max(0, now - 1);
  if (heads[next]) { heads[next].focus(); heads[next].scrollIntoView({ block: "nearest" }); }
}
/* Land on the case where the address names one, else on the browser. */
function land() {
  unfold("cases");
  const open = state.open && byId("rows").querySelector(":scope > li > details[open]");
  if (open) { open.scrollIntoView(); open.querySelector("summary").focus({ preventScroll: true }); }
  else byId("cases").scrollIntoView();
}
async function begin() {
  if (!byId("data")) return;
  try { prepare(await unpack(byId("data").textContent)); } catch (error) {
    byId("browser").replaceChildren(element("p", "unread", `The cases could not be unpacked (${error.name}): a browser of 2023 or later is needed. All of them are in predictions.jsonl.`));
    return;
  }
  readMarks();
  controls();
  offerRest();
  makeHaystacks();
  for (const one of document.querySelectorAll(".pager .before")) one.addEventListener("click", () => turn(-1));
  for (const one of document.querySelectorAll(".pager .after")) one.addEventListener("click", () => turn(1));
  document.querySelector(".more").addEventListener("toggle", (event) => { if (event.target.open && pictured) drawPictures(pictured); });
  byId("keys-close").addEventListener("click", () => byId("keys").close());
  document.addEventListener("keydown", pressed);
  window.addEventListener("hashchange", () => { if (readAddress()) { draw(); land(); } });
  const isLinked = readAddress();
  draw();
  if (isLinked) land();
  root.dataset.cases = cases.length;
}
begin().then(() => { root.dataset.ready = "true"; });
