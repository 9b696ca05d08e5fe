/* Which cases are shown, and in which order; all of it stands in the address. */
const PAGE = 50;
let state, start, found = [], marks = {};

function beginning() {
  const of = (kind) => data.arms.find((arm) => arm.css.startsWith(kind))?.variants.find((name) => data.answers[name]);
  const [from, to] = data.pairs.find((pair) => pair.every((name) => data.answers[name])) ?? [];
  const first = from ?? of("base") ?? variants[0];
  const second = to ?? of("adapter") ?? of("full") ?? variants.at(-1);
  return {
    show: "all", from: first ?? "", to: second ?? "", over: 0, set: "", kind: data.kinds.length ? "original" : "",
    group: "", label: "", got: "", by: "", named: "", find: "", low: "", high: "",
    fromlow: "", fromhigh: "", tolow: "", tohigh: "", sort: "", page: 0, open: "",
  };
}
const isGraded = (c) => data.graded[c.set];
const shows = {
  all: ["All", () => true],
  broken: ["Broken", (c) => deltas[c.index] < -state.over],
  fixed: ["Fixed", (c) => deltas[c.index] > state.over],
  equal: ["Equal", (c) => Math.abs(deltas[c.index]) <= state.over],
  differ: ["Other answer", (c) => textOf(state.from, c.index) !== textOf(state.to, c.index)],
  wrong: ["All wrong", (c) => facts[c.index] & ALL_WRONG],
  unread: ["Unreadable", (c) => facts[c.index] & UNREAD],
  promptcut: ["Prompt cut", (c) => facts[c.index] & PROMPT_CUT],
  answercut: ["Answer cut", (c) => facts[c.index] & ANSWER_CUT],
  marked: ["Marked", (c) => Object.hasOwn(marks, c.id)],
};
const ALWAYS = new Set(["all", "broken", "fixed", "marked"]);
let deltas; /* change(state.from, state.to), looked up once a drawing */
const delta = (c) => deltas[c.index];

const orders = {
  "": ["as in the file", null],
  losses: ["losses first", (c) => delta(c)],
  gains: ["gains first", (c) => -delta(c)],
  from: ["lowest score before", (c) => scoreOf(state.from, c.index)],
  to: ["lowest score after", (c) => scoreOf(state.to, c.index)],
  long: ["longest input", (c) => -c.text.length],
  short: ["shortest input", (c) => c.text.length],
  answer: ["longest answer after", (c) => -(textOf(state.to, c.index) ?? "").length],
};

function readAddress() {
  const [anchor, query] = location.hash.slice(1).split("?");
  state = { ...start };
  if (anchor !== "cases" || query === undefined) return false;
  for (const [key, value] of new URLSearchParams(query)) {
    if (!Object.hasOwn(start, key)) continue;
    state[key] = typeof start[key] === "number" ? Math.max(0, parseFloat(value) || 0) : value;
  }
  if (!Object.hasOwn(shows, state.show)) state.show = "all";
  if (!Object.hasOwn(orders, state.sort)) state.sort = "";
  for (const side of ["from", "to"]) if (!data.answers[state[side]]) state[side] = start[side];
  state.page = Math.floor(state.page);
  return true;
}
function address() {
  const query = new URLSearchParams();
  for (const key of Object.keys(start)) if (state[key] !== start[key]) query.set(key, state[key]);
  return `#cases?${query}`;
}
function writeAddress() { try { history.replaceState(null, "", address()); } catch { /* some viewers forbid it */ } }

const isWithin = (value, low, high) => (low === "" || (value !== null && value >= low)) && (high === "" || (value !== null && value <= high));
/* Everything but the choice among all, fixed, broken and so on. */
function isSelected(c) {
  if (state.set !== "" && data.sets[c.set] !== state.set) return false;
  if (state.kind === "original" && c.kind !== null) return false;
  if (state.kind !== "" && state.kind !== "original" && data.kinds[c.kind] !== state.kind) return false;
  if (state.label !== "" && !c.references.includes(state.label)) return false;
  if (state.got !== "") {
    const given = state.by === "" ? variants : [state.by];
    const isIt = (name) => state.got === "unread" ? isUnread(name, c.index) : !isUnread(name, c.index) && shownOf(name, c.index) === state.got;
    if (!given.some(isIt)) return false;
  }
  if (state.named !== "" && !namedCases(state.named).has(c.index)) return false;
  if (state.group !== "") {
    const cut = state.group.indexOf("=");
    const place = groupNames.indexOf(state.group.slice(0, cut));
    if (place < 0 || data.groups[groupNames[place]][c.groups[place]] !== state.group.slice(cut + 1)) return false;
  }
  if (state.low !== "" || state.high !== "") {
    const d = delta(c);
    if (Number.isNaN(d) || !isWithin(d, state.low, state.high)) return false;
  }
  if ((state.fromlow !== "" || state.fromhigh !== "") && !isWithin(scoreOf(state.from, c.index), state.fromlow, state.fromhigh)) return false;
  if ((state.tolow !== "" || state.tohigh !== "") && !isWithin(scoreOf(state.to, c.index), state.tolow, state.tohigh)) return false;
  return state.find === "" || haystack(c.index).includes(state.find.toLowerCase());
}
const namedSets = new Map();
function namedCases(title) {
  if (!namedSets.has(title)) namedSets.set(title, new Set(data.named.find(([name]) => name === title)?.[1] ?? []));
  return namedSets.get(title);
}
function inOrder(selected) {
  const key = orders[state.sort][1];
  if (key === null) return selected;
  const valued = selected.map((c) => [key(c) ?? NaN, c]);
  const last = ([value]) => (Number.isNaN(value) ? 1 : 0); /* what has no value stands at the end */
  return valued.sort((a, b) => last(a) - last(b) || a[0] - b[0] || a[1].index - b[1].index).map(([, c]) => c);
}
