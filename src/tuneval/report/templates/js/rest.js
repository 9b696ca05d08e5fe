/* A page that had no room for all cases takes the others from the run's predictions.jsonl, when a person
   gives it that file: the page itself asks for nothing. */
function offerRest() {
  if (data.all <= cases.length) return;
  const label = element("label", "", "Add the other cases from predictions.jsonl: "), box = element("input");
  box.type = "file"; box.accept = ".jsonl"; box.id = "rest";
  const told = element("span", "soft");
  box.addEventListener("change", async () => {
    if (!box.files.length) return;
    told.textContent = "reading...";
    try {
      const n = adopt(await box.files[0].text());
      told.textContent = n ? `${grouped(n)} cases added` : "no case of this run was missing in it";
      if (n) draw();
    } catch (error) { told.textContent = `this is no predictions.jsonl (${error.name})`; }
  });
  label.append(box, told);
  byId("save").before(label);
}
function adopt(text) {
  const added = new Map();
  for (const line of text.split("\n")) {
    if (line.trim() === "") continue;
    const row = JSON.parse(line);
    if (byCase.has(row.case_id) || !data.sets.includes(row.case_set) || !data.answers[row.variant]) continue;
    if (!added.has(row.case_id)) added.set(row.case_id, { row, answers: new Map() });
    added.get(row.case_id).answers.set(row.variant, row);
  }
  const places = new Map(cases.map((c) => [c.id, c.index]));
  for (const { row, answers } of added.values()) {
    const index = data.cases.length;
    data.cases.push([row.case_id, row.input ?? "", row.references ?? [], data.sets.indexOf(row.case_set),
      row.perturbation ? known(data.kinds, row.perturbation) : null,
      groupNames.map((name) => (row.groups?.[name] === undefined ? undefined : known(data.groups[name], row.groups[name])))]);
    places.set(row.case_id, index);
    data.origins.push(places.get(row.origin) ?? null);
    for (const [name, one] of answers) data.answers[name][index] = [one.label ?? one.text ?? one.completions?.[0] ?? null, one.score ?? null, null, one.problem ?? null, one.text ?? null, null];
  }
  if (added.size) { prepare(data); controls(); }
  return added.size;
}
function known(values, value) {
  if (!values.includes(value)) values.push(value);
  return values.indexOf(value);
}
