/* The cases: unpacked once, then looked up by number. */
const ANSWER_WAS_CUT = 1, PROMPT_WAS_CUT = 2;
const SHORT = 300; /* characters of a text in a row; the rest is read when the case opens */

async function unpack(packed) {
  const bytes = Uint8Array.from(atob(packed), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
}

let data, cases, variants, groupNames, byCase, facts, scores;
const changes = new Map();
let haystacks = null;
/* What is asked of every case at every filter, as bits made once. */
const UNREAD = 1, PROMPT_CUT = 2, ANSWER_CUT = 4, ALL_WRONG = 8;

function prepare(content) {
  data = content;
  groupNames = Object.keys(data.groups);
  variants = data.arms.flatMap((arm) => arm.variants).filter((name) => data.answers[name]);
  cases = data.cases.map((row, index) => ({
    index, id: row[0], text: row[1], references: row[2].map(labelOf), set: row[3], kind: row[4] ?? null,
    groups: row[5] ?? [], others: row[6] ?? {}, origin: data.origins[index],
  }));
  byCase = new Map(cases.map((c) => [c.id, c]));
  scores = Object.fromEntries(variants.map((name) => [name, Float64Array.from(cases, (c) => raw(name, c.index)[1] ?? NaN)]));
  facts = Uint8Array.from(cases, factsOf);
  changes.clear();
  haystacks = null;
}
function factsOf(c) {
  let found = data.graded[c.set] ? 0 : ALL_WRONG;
  for (const name of variants) {
    const row = raw(name, c.index), cuts = row[6] ?? 0;
    if ((row[3] ?? null) !== null) found |= UNREAD;
    if (cuts & ANSWER_WAS_CUT) found |= ANSWER_CUT;
    if (cuts & PROMPT_WAS_CUT || (data.prompts[data.asked[name]?.[c.index] ?? -1] ?? [])[3]) found |= PROMPT_CUT;
    if (row[1] !== 0) found &= ~ALL_WRONG;
  }
  return found;
}
function labelOf(value) { return typeof value === "number" ? data.labels[value] : value; }
const raw = (name, index) => data.answers[name]?.[index] ?? [];
const scoreOf = (name, index) => raw(name, index)[1] ?? null;
const shownOf = (name, index) => labelOf(raw(name, index)[0] ?? null);
const isUnread = (name, index) => (raw(name, index)[3] ?? null) !== null;
const textOf = (name, index) => raw(name, index)[4] ?? shownOf(name, index);
const armOf = (name) => data.arms.find((arm) => arm.variants.includes(name));

function answer(name, index) {
  const row = raw(name, index), shares = [];
  for (let i = 0; i < (row[2] ?? []).length; i += 2) shares.push([labelOf(row[2][i]), row[2][i + 1] / 1000]);
  return {
    shown: shownOf(name, index), score: scoreOf(name, index), shares, problem: row[3] ?? null,
    text: textOf(name, index), loss: row[5] ?? null, cuts: row[6] ?? 0, tokens: row[7] ?? [],
  };
}
function promptOf(name, c) {
  const place = data.asked[name]?.[c.index] ?? null;
  if (place === null) return null;
  const [shape, text, continuation, cut, cutAt] = data.prompts[place];
  const around = shape === null || shape === undefined ? null : data.shapes[shape];
  return {
    place, text: around ? around[0] + c.text + around[1] : text, continuation: continuation ?? null,
    cut: cut ?? 0, cutAt: cutAt ?? null,
  };
}
/* Better is positive, whichever way the metric points. */
function change(from, to) {
  const key = JSON.stringify([from, to]);
  if (!changes.has(key)) {
    const before = scores[from], after = scores[to];
    changes.set(key, Float64Array.from(cases, (c) => (after[c.index] - before[c.index]) * (data.lower[c.set] ? -1 : 1)));
  }
  return changes.get(key);
}

/* What a search looks through, in lower case: made while the page is idle, or when first needed. */
function makeHaystacks(begin = 0) {
  if (!("requestIdleCallback" in window)) return;
  requestIdleCallback((deadline) => {
    let index = begin;
    while (index < cases.length && deadline.timeRemaining() > 2) haystack(index++);
    if (index < cases.length) makeHaystacks(index);
  });
}
function haystack(index) {
  haystacks ??= new Array(cases.length);
  if (haystacks[index] === undefined) {
    const c = cases[index];
    haystacks[index] = [c.id, c.text, ...c.references, ...Object.values(c.others),
      ...variants.map((name) => textOf(name, index) ?? "")].join("\n").toLowerCase();
  }
  return haystacks[index];
}
