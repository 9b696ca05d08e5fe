/* Word by word: what only the first has, what only the second has. Myers' greedy algorithm, O(ND):
   quick where texts are alike, given up where they share little (then nothing is marked). */
const MOST_EDITS = 2000;

function edits(ours, theirs) {
  let begin = 0, end = 0;
  while (begin < ours.length && begin < theirs.length && ours[begin] === theirs[begin]) begin++;
  while (end < ours.length - begin && end < theirs.length - begin && ours[ours.length - 1 - end] === theirs[theirs.length - 1 - end]) end++;
  const a = ours.slice(begin, ours.length - end), b = theirs.slice(begin, theirs.length - end);
  const middle = path(a, b);
  if (middle === null) return null;
  return [["same", ours.slice(0, begin)], ...middle, ["same", end ? ours.slice(-end) : []]];
}
function path(a, b) {
  const most = Math.min(a.length + b.length, MOST_EDITS), trace = [];
  let reach = new Int32Array([0, 0, 0]); /* furthest x on each diagonal -d-1 .. d+1 */
  for (let d = 0; d <= most; d++) {
    const next = new Int32Array(2 * d + 5);
    for (let k = -d; k <= d; k += 2) {
      const down = k === -d || (k !== d && at(reach, d, k - 1) < at(reach, d, k + 1));
      let x = d === 0 ? 0 : down ? at(reach, d, k + 1) : at(reach, d, k - 1) + 1;
      while (x < a.length && x - k < b.length && a[x] === b[x - k]) x++;
      next[k + d + 2] = x;
      if (x >= a.length && x - k >= b.length) { trace.push(next); return walked(a, b, trace); }
    }
    trace.push(next);
    reach = next;
  }
  return null;
}
/* Row d of the trace holds diagonals -d-2 .. d+2; the row before it is one narrower on each side. */
const at = (reach, d, k) => reach[k + d + 1] ?? 0;
function walked(a, b, trace) {
  const steps = [];
  let x = a.length, y = b.length;
  for (let d = trace.length - 1; d > 0; d--) {
    const before = trace[d - 1], k = x - y;
    const down = k === -d || (k !== d && at(before, d, k - 1) < at(before, d, k + 1));
    const from = down ? at(before, d, k + 1) : at(before, d, k - 1);
    const fromY = from - (down ? k + 1 : k - 1);
    const [startX, startY] = down ? [from, fromY + 1] : [from + 1, fromY];
    if (x > startX) steps.push(["same", a.slice(startX, x)]);
    steps.push(down ? ["theirs", [b[fromY]]] : ["ours", [a[from]]]);
    [x, y] = [from, fromY];
  }
  if (x > 0) steps.push(["same", a.slice(0, x)]);
  return steps.reverse();
}
/* Chinese, Japanese and Thai have no blanks between words: there a word is a character. */
const words = (text) => String(text ?? "").match(/[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}]|[^\s\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}]+|\s+/gu) ?? [];

/* ``own`` with what only it has underlined, and what only ``other`` has struck out. */
function compared(own, other) {
  const pre = element("pre");
  pre.dir = "auto";
  const steps = edits(words(own), words(other));
  if (steps === null) {
    pre.textContent = visible(own);
    pre.append(element("span", "soft", "\n(too different to mark word by word)"));
    return pre;
  }
  for (const [kind, parts] of steps) {
    if (!parts.length) continue;
    const text = visible(parts.join(""));
    pre.append(kind === "same" ? text : element(kind === "ours" ? "ins" : "del", "", text));
  }
  return pre;
}
