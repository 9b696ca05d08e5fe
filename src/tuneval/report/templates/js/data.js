/* The cases: unpacked once, then looked up by number. */
const ANSWER_WAS_CUT = 1, PROMPT_WAS_CUT = 2;
const SHORT = 300; /* characters of a text in a row; the rest is read when the case opens */

async function unpack(packed) {
  const bytes = Uint8Array.from(atob(packed), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
}

let data, cases, variants, groupNames, byCase;

function prepare(content) {
  data = content;
  groupNames = Object.keys(data.groups);
  variants = data.arms.flatMap((arm) => arm.variants).filter((name) => data.answers[name]);
  cases = data.cases.map((row, index) => ({
    index, id: row[0], text: row[1], references: row[2].map(labelOf), set: row[3], kind: row[4] ?? null,
    groups: row[5] ?? [], others: row[6] ?? {}, origin: data.origins[index],
  }));
  byCase = new Map(cases.map((c) => [c.id, c]));
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
const wasPromptCut = (c) => variants.some((name) => (raw(name, c.index)[6] ?? 0) & PROMPT_WAS_CUT
  || (data.prompts[data.asked[name]?.[c.index] ?? -1] ?? [])[3]);
const wasAnswerCut = (c) => variants.some((name) => (raw(name, c.index)[6] ?? 0) & ANSWER_WAS_CUT);

/* Better is positive, whichever way the metric points. */
const changes = new Map();
function change(from, to) {
  const key = JSON.stringify([from, to]);
  if (!changes.has(key)) {
    const found = new Float64Array(cases.length);
    for (let i = 0; i < cases.length; i++) {
      const before = scoreOf(from, i), after = scoreOf(to, i);
      found[i] = before === null || after === null ? NaN : (after - before) * (data.lower[cases[i].set] ? -1 : 1);
    }
    changes.set(key, found);
  }
  return changes.get(key);
}

/* What a search looks through, in lower case, made when first needed. */
let haystacks = null;
function haystack(index) {
  haystacks ??= new Array(cases.length);
  if (haystacks[index] === undefined) {
    const c = cases[index];
    haystacks[index] = [c.id, c.text, ...c.references, ...Object.values(c.others),
      ...variants.map((name) => textOf(name, index) ?? "")].join("\n").toLowerCase();
  }
  return haystacks[index];
}
