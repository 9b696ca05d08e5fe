/* Two pictures of the selected cases that select among them: differences as a histogram, scores before
   against scores after as a map of squares. Drawn for graded scores; right and wrong have their buttons. */
const BINS = 24;

function extent(values) {
  let low = Infinity, high = -Infinity;
  for (const value of values) { if (value < low) low = value; if (value > high) high = value; }
  return low > high ? null : low === high ? [low - 0.5, high + 0.5] : [low, high];
}
const binOf = (value, [low, high]) => Math.min(BINS - 1, Math.floor((value - low) / (high - low) * BINS));
const edge = (n, [low, high]) => Number((low + (high - low) * n / BINS).toPrecision(6));
/* The outer edges reach over the rounding of their neighbours. */
const lowEdge = (n, range) => n === 0 ? Math.min(range[0], edge(0, range)) : edge(n, range);
const highEdge = (n, range) => n === BINS ? Math.max(range[1], edge(BINS, range)) : edge(n, range);

function histogram(selected) {
  const values = selected.map(delta).filter((value) => !Number.isNaN(value));
  const range = extent(values);
  if (!range) return null;
  const counts = new Array(BINS).fill(0);
  for (const value of values) counts[binOf(value, range)]++;
  const most = Math.max(...counts);
  const box = element("figure", "picture");
  box.append(element("figcaption", "", visible(`${state.to} minus ${state.from}: ${grouped(values.length)} cases by difference (right is better)`)));
  const svg = drawn("svg", { viewBox: "0 0 320 150", role: "img", class: "chart histogram" });
  svg.append(title(`Differences from ${format(range[0])} to ${format(range[1])}`));
  if (range[0] < 0 && range[1] > 0) {
    const zero = (0 - range[0]) / (range[1] - range[0]) * 320;
    svg.append(drawn("line", { class: "rule", x1: zero, x2: zero, y1: 0, y2: 128 }));
  }
  counts.forEach((n, bin) => {
    if (!n) return;
    const height = Math.max(2, n / most * 120), middle = (edge(bin, range) + edge(bin + 1, range)) / 2;
    const bar = drawn("rect", { class: `pick ${middle < 0 ? "worse" : "gain"}`, x: bin * 320 / BINS + 1, y: 128 - height, width: 320 / BINS - 2, height });
    bar.append(title(`${format(edge(bin, range))} to ${format(edge(bin + 1, range))}: ${grouped(n)} cases`));
    bar.addEventListener("click", () => update({ low: lowEdge(bin, range), high: highEdge(bin + 1, range), show: "all" }));
    svg.append(bar);
  });
  axis(svg, range, 320, 146);
  box.append(svg);
  return box;
}
function scatter(selected) {
  const shown = selected.filter((c) => scoreOf(state.from, c.index) !== null && scoreOf(state.to, c.index) !== null);
  const range = extent(shown.flatMap((c) => [scoreOf(state.from, c.index), scoreOf(state.to, c.index)]));
  if (!range) return null;
  const counts = new Map();
  for (const c of shown) {
    const key = binOf(scoreOf(state.from, c.index), range) * BINS + binOf(scoreOf(state.to, c.index), range);
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  const most = Math.max(...counts.values()), side = 220 / BINS;
  const box = element("figure", "picture");
  box.append(element("figcaption", "", visible(`Score of ${state.from} (across) and of ${state.to} (up)`)));
  const svg = drawn("svg", { viewBox: "0 0 240 240", role: "img", class: "chart map" });
  svg.append(title(`Scores from ${format(range[0])} to ${format(range[1])}; on the line both are the same`));
  svg.append(drawn("rect", { class: "empty", x: 10, y: 2, width: 220, height: 220 }));
  svg.append(drawn("line", { class: "rule", x1: 10, y1: 222, x2: 230, y2: 2 }));
  for (const [key, n] of counts) {
    const across = Math.floor(key / BINS), up = key % BINS;
    const spot = drawn("rect", { class: "pick spot", x: 10 + across * side, y: 222 - (up + 1) * side, width: side - 0.6, height: side - 0.6, "fill-opacity": 0.25 + 0.75 * Math.sqrt(n / most) });
    spot.append(title(`${format(edge(across, range))} to ${format(edge(across + 1, range))} before, ${format(edge(up, range))} to ${format(edge(up + 1, range))} after: ${grouped(n)} cases`));
    svg.append(spot);
  }
  axis(svg, range, 240, 236);
  dragged(svg, range);
  box.append(svg);
  return box;
}
/* A rectangle drawn with the pointer selects; a click selects one square. */
function dragged(svg, range) {
  const place = (event) => {
    const frame = svg.getBoundingClientRect(), scale = 240 / frame.width;
    const bin = (value) => Math.max(0, Math.min(BINS - 1, Math.floor(value / 220 * BINS)));
    return [bin((event.clientX - frame.left) * scale - 10), bin(222 - (event.clientY - frame.top) * scale)];
  };
  let first = null;
  svg.addEventListener("pointerdown", (event) => { first = place(event); event.preventDefault(); });
  svg.addEventListener("pointerup", (event) => {
    if (!first) return;
    const last = place(event);
    const [x0, x1] = [Math.min(first[0], last[0]), Math.max(first[0], last[0]) + 1];
    const [y0, y1] = [Math.min(first[1], last[1]), Math.max(first[1], last[1]) + 1];
    first = null;
    update({ fromlow: lowEdge(x0, range), fromhigh: highEdge(x1, range), tolow: lowEdge(y0, range), tohigh: highEdge(y1, range), show: "all" });
  });
}
const format = (value) => String(Number(value.toPrecision(3)));
function title(text) { const node = drawn("title", {}); node.textContent = visible(text); return node; }
function axis(svg, range, width, y) {
  for (const [x, value, anchor] of [[0, range[0], "start"], [width, range[1], "end"]]) {
    const text = drawn("text", { x, y, "text-anchor": anchor });
    text.textContent = format(value);
    svg.append(text);
  }
}
let pictured = null; /* what is drawn when the fold is opened */
function drawPictures(selected) {
  pictured = null;
  const graded = selected.filter(isGraded);
  const drawings = graded.length > 1 && state.from !== state.to ? [histogram(graded), scatter(graded)].filter(Boolean) : [];
  byId("pictures").replaceChildren(...drawings);
  byId("pictures").hidden = !drawings.length;
}
