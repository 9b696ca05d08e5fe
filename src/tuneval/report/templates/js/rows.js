/* A row of the list, and the case when it is opened. */
const short = (text) => { const whole = String(text ?? ""); return visible(whole.length > SHORT ? `${whole.slice(0, SHORT)}...` : whole); };

function icon(css) {
  const svg = drawn("svg", { class: "icon", viewBox: "0 0 14 14", width: 12, height: 12, "aria-hidden": "true" });
  const kind = css.split("-")[0];
  const places = { base: { cx: 7, cy: 7, r: 5 }, adapter: { x: 2.5, y: 2.5, width: 9, height: 9, rx: 1 } }[kind] ?? { points: "7,1.2 12.5,11.3 1.5,11.3" };
  svg.append(drawn(kind === "base" ? "circle" : kind === "adapter" ? "rect" : "polygon", { ...places, class: `mark ${css}` }));
  return svg;
}
function judged(a, c) {
  if (a.problem !== null) return element("span", "unread", "? unreadable");
  if (a.score === null) return element("span", "soft", "no score");
  if (isGraded(c)) return element("span", "soft", `score ${a.score}`);
  if (a.score === 1) return element("span", "right", "✓ right");
  return element("span", "wrong", "✗ wrong");
}
function answerText(className, text) {
  const node = element("span", className, text);
  node.dir = "auto";
  return node;
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
  cell.append(answerText("answer", main.problem !== null ? "–" : short(main.shown)));
  const line = element("span", "");
  const right = answers.filter((a) => a.score === 1).length;
  if (!isGraded(c) && right > 0 && right < answers.length) {
    line.append(element("span", "unread", `◐ ${right} of ${answers.length} right`));
  } else line.append(judged(main, c));
  if (answers.length > 1 && isGraded(c)) {
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
  words.append(answerText("text", short(c.text)));
  const kind = c.kind === null ? "" : ` · ${visible(data.kinds[c.kind])}`;
  const mark = marks[c.id] ? ` · marked ${marks[c.id].mark}` : "";
  words.append(element("span", "id", `${visible(c.id)}${kind}${mark}`));
  const expected = element("span");
  expected.append(element("span", "cellname", "expected"), answerText("answer", short(c.references[0] ?? "–")));
  head.append(words, expected, ...data.arms.map((arm) => summaryCell(arm, c)));
  box.append(head);
  box.addEventListener("toggle", () => {
    if (box.open && box.childElementCount === 1) box.append(detail(c));
    if (box.open) { state.open = c.id; writeAddress(); }
    else if (state.open === c.id) { state.open = ""; writeAddress(); }
  });
  item.append(box);
  return item;
}
function part(parent, heading, text) {
  const pre = element("pre", "", visible(text));
  pre.dir = "auto";
  parent.append(element("h3", "", heading), pre);
}
function caseLink(c, text) {
  const link = element("a", "", text);
  link.href = `#cases?${new URLSearchParams({ kind: "", open: c.id })}`;
  return link;
}
function detail(c) {
  const box = element("div", "open");
  box.append(tools(c));
  part(box, "Input", c.text);
  for (const [key, value] of Object.entries(c.others)) part(box, visible(key), value);
  if (c.references.length) part(box, c.references.length > 1 ? "Expected (any of)" : "Expected", c.references.join("\n"));
  const attributes = groupNames.map((name, place) => [name, data.groups[name][c.groups[place]]]).filter(([, value]) => value !== undefined);
  if (attributes.length) box.append(element("h3", "", "Groups"), element("p", "", visible(attributes.map(([k, v]) => `${k}: ${v}`).join(", "))));
  drawTwins(box, c);
  drawPrompts(box, c);
  const isText = !data.labels.length && c.references.length > 0;
  box.append(element("h3", "", isText ? "Answers (underlined: only here; struck out: only expected)" : "Answers"));
  const grid = element("div", "answers");
  for (const arm of data.arms) for (const name of arm.variants) if (data.answers[name]) grid.append(drawAnswer(arm, name, c));
  box.append(grid);
  drawSides(box, c);
  drawMarks(box, c);
  return box;
}
function tools(c) {
  const bar = element("p", "tools");
  bar.append(button("Copy", (event) => copy(JSON.stringify(record(c), null, 2), event.target)),
    button("Copy link", (event) => copy(location.href.split("#")[0] + `#cases?${new URLSearchParams({ kind: "", open: c.id })}`, event.target)));
  return bar;
}
/* An original leads to its changed copies and back. */
function drawTwins(box, c) {
  const original = c.origin === null || c.origin === undefined ? c : cases[c.origin];
  const family = [original, ...cases.filter((other) => other.origin === original.index)].filter((other) => other !== c);
  if (!family.length) return;
  const line = element("p", "twins");
  for (const other of family) line.append(caseLink(other, other.kind === null ? "the original" : visible(data.kinds[other.kind])), " ");
  box.append(element("h3", "", "The same case"), line);
}
/* The prompt as sent: once for all variants that read the same text. */
function drawPrompts(box, c) {
  const readers = new Map();
  for (const name of variants) {
    const own = promptOf(name, c);
    if (own) readers.set(own.place, [own, [...(readers.get(own.place)?.[1] ?? []), name]]);
  }
  for (const [own, names] of readers.values()) {
    const who = readers.size === 1 ? "" : ` to ${names.join(", ")}`;
    const pre = element("pre", "prompt", visible(own.text));
    pre.dir = "auto";
    if (own.continuation !== null) pre.append(element("span", "soft", visible(own.continuation)));
    box.append(element("h3", "", visible(`Prompt as sent${who}`)), pre);
    if (own.cut) box.append(element("p", "unread", `${grouped(own.cut)} tokens were cut to fit the context${own.cutAt === 0 ? ", at the beginning" : " where [...] stands"}`));
  }
}
const MARKED_WORDS = 400;
function drawAnswer(arm, name, c) {
  const a = answer(name, c.index);
  const box = element("div", arm.css);
  const head = element("p", "cellname");
  head.append(icon(arm.css), visible(name));
  const line = element("p");
  line.append(judged(a, c));
  if (a.loss !== null) line.append(element("span", "soft", ` loss ${a.loss}`));
  if (a.cuts & ANSWER_WAS_CUT) line.append(element("span", "unread", " cut at the token limit"));
  box.append(head, line);
  if (a.problem !== null) box.append(element("p", "soft", visible(a.problem)));
  if (a.text !== null && (a.text !== a.shown || !a.shares.length)) {
    const wanted = c.references[0];
    const n = a.text.split(/\s+/).length;
    if (wanted !== undefined && !data.labels.length && n > 2 && n < MARKED_WORDS) box.append(compared(a.text, wanted));
    else {
      const pre = element("pre", "", visible(a.text));
      pre.dir = "auto";
      box.append(pre);
    }
  }
  if (a.tokens.length) box.append(tokenLosses(a.tokens));
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
/* One bar a token, in order: where the text was a surprise. */
function tokenLosses(losses) {
  const most = Math.max(1, ...losses.map((one) => one ?? 0)), step = Math.max(1, Math.min(6, 600 / losses.length));
  const svg = drawn("svg", { viewBox: `0 0 ${losses.length * step} 40`, class: "chart tokens", role: "img", preserveAspectRatio: "none" });
  svg.append(title(`Loss of each of ${losses.length} tokens, at most ${format(most)} nats`));
  losses.forEach((loss, n) => svg.append(drawn("rect", { class: "fill", x: n * step, y: 40 - (loss ?? 0) / most * 40, width: step * 0.9, height: (loss ?? 0) / most * 40 })));
  return svg;
}
/* Any two of the answers and the reference, side by side, with the words that differ. */
function drawSides(box, c) {
  const texts = new Map(variants.map((name) => [name, textOf(name, c.index)]));
  if (c.references.length) texts.set("expected", c.references[0]);
  const sides = [...texts].filter(([, text]) => text !== null && text !== undefined);
  if (sides.length < 2 || data.labels.length) return;
  const fold = element("details", "sides");
  fold.append(element("summary", "", "Two side by side"));
  const choose = element("p", "tools"), grid = element("div", "answers");
  const pick = (name) => {
    const list = element("select");
    list.setAttribute("aria-label", name);
    for (const [side] of sides) { const option = element("option", "", visible(side)); option.value = side; list.append(option); }
    list.addEventListener("change", show);
    return list;
  };
  const left = pick("Left"), right = pick("Right");
  left.value = texts.has(state.from) ? state.from : sides[0][0];
  right.value = texts.has(state.to) ? state.to : sides.at(-1)[0];
  choose.append(left, right);
  function column(name, own, other) {
    const side = element("div");
    side.append(element("p", "cellname", visible(name)), compared(own, other));
    for (const gone of side.querySelectorAll("del")) gone.remove(); /* it stands in the other column */
    return side;
  }
  function show() {
    const [a, b] = [texts.get(left.value), texts.get(right.value)];
    grid.replaceChildren(column(left.value, a, b), column(right.value, b, a));
  }
  fold.append(choose, grid);
  fold.addEventListener("toggle", () => { if (fold.open && !grid.childElementCount) show(); });
  box.append(fold);
}
