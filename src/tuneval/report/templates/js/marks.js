/* A person's judgement of a case: kept in this browser, saved as JSON Lines. */
const MARKS = ["better", "same", "worse", "wrong reference"];
const marksKey = () => `tuneval-marks-${data.run}`;

function readMarks() {
  try { marks = JSON.parse(kept.read(marksKey()) ?? "{}"); } catch { marks = {}; }
  for (const [id, one] of Object.entries(marks)) if (!byCase.has(id) || !MARKS.includes(one?.mark)) delete marks[id];
}
function drawMarks(box, c) {
  const line = element("div", "tools marking");
  line.setAttribute("role", "group");
  line.setAttribute("aria-label", `Your judgement of ${visible(state.to)} beside ${visible(state.from)}`);
  const note = element("input");
  note.placeholder = "Note";
  note.setAttribute("aria-label", "Note to your judgement");
  note.value = marks[c.id]?.note ?? "";
  const buttons = MARKS.map((mark) => button(mark, () => {
    if (marks[c.id]?.mark === mark) delete marks[c.id];
    else marks[c.id] = { mark, note: note.value, baseline: state.from, candidate: state.to };
    keep();
  }));
  note.addEventListener("input", () => { if (marks[c.id]) { marks[c.id].note = note.value; keep(); } });
  const told = element("span", "soft", "");
  function keep() {
    told.textContent = kept.write(marksKey(), JSON.stringify(marks)) ? "" : "This browser keeps nothing: save the marks before you leave.";
    show();
    count();
  }
  function show() { for (const one of buttons) one.setAttribute("aria-pressed", String(marks[c.id]?.mark === one.textContent)); }
  show();
  line.append(...buttons, note, told);
  const heading = marks[c.id] ? [marks[c.id].candidate, marks[c.id].baseline] : [state.to, state.from];
  box.append(element("h3", "", visible(`Your judgement: ${heading[0]} beside ${heading[1]}`)), line);
}
function count() {
  const n = Object.keys(marks).length;
  byId("save-marks").hidden = !n;
  byId("save-marks").textContent = `Save ${n} ${n === 1 ? "mark" : "marks"}`;
  const shown = byId("shows").querySelector('[data-show="marked"]');
  shown.hidden = !n;
  shown.querySelector(".n").textContent = n;
}
/* One record a line, whatever reader splits it: marks that part or hide lines stand as escapes. */
function lines(records) {
  const escaped = (c) => Array.from({ length: c.length }, (_, n) => `\\u${c.charCodeAt(n).toString(16).padStart(4, "0")}`).join("");
  return records.map((one) => JSON.stringify(one).replace(HIDDEN, escaped) + "\n").join("");
}
const marksText = () => lines(cases.filter((c) => marks[c.id]).map((c) => ({ run: data.run, case_id: c.id, ...marks[c.id] })));

/* ---- copies and downloads ---- */
function record(c) {
  return {
    case_id: c.id, case_set: data.sets[c.set], input: c.text, ...(Object.keys(c.others).length ? { other_inputs: c.others } : {}),
    references: c.references, perturbation: c.kind === null ? null : data.kinds[c.kind],
    groups: Object.fromEntries(groupNames.map((name, place) => [name, data.groups[name][c.groups[place]]]).filter(([, value]) => value !== undefined)),
    answers: Object.fromEntries(variants.map((name) => [name, { answer: textOf(name, c.index), score: scoreOf(name, c.index), problem: raw(name, c.index)[3] ?? null }])),
    ...(marks[c.id] ? { mark: marks[c.id] } : {}),
  };
}
/* What a spreadsheet would read as a formula begins with an apostrophe; control characters are shown. */
function csvCell(value) {
  const text = String(value ?? "");
  const safe = /^[=+\-@\t\r\n＝＋－＠]/.test(text) && !/^-?\d+(\.\d+)?$/.test(text) ? `'${text}` : text;
  return `"${visible(safe).replaceAll('"', '""')}"`;
}
function csvText(chosen) {
  const head = ["case_id", "case_set", "input", "expected", ...variants.flatMap((name) => [`${name} answer`, `${name} score`])];
  const rows = chosen.map((c) => [c.id, data.sets[c.set], c.text, c.references.join(" | "),
    ...variants.flatMap((name) => [textOf(name, c.index), scoreOf(name, c.index)])]);
  return [head, ...rows].map((row) => row.map(csvCell).join(",")).join("\r\n") + "\r\n";
}
function save(name, text, kind) {
  const link = element("a");
  link.href = URL.createObjectURL(new Blob([text], { type: kind }));
  link.download = name;
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
async function copy(text, told) {
  const words = told.textContent;
  let done = true;
  try { await navigator.clipboard.writeText(text); } catch {
    const area = element("textarea", "sr");
    area.value = text;
    document.body.append(area);
    area.select();
    done = document.execCommand("copy");
    area.remove();
  }
  told.textContent = done ? "Copied" : "Not copied: this browser forbids it";
  setTimeout(() => { told.textContent = words; }, 1500);
}
