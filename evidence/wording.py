"""Is the wording found that a fine-tune was trained on? The table of docs/prompt.md.

    python evidence/wording.py --shared ../shared [--only trec6] [--steps 250]

Trains one LoRA adapter per data set and wording on real rows (the demo's own rows for the demo), then
lets tuneval compare it with its base on 48 test rows, asked in the default wording (in
"{text}\\nAnswer:" where the default was trained) and in the trained one, and reads the finding.
One thread; a row takes half a minute to a minute. Rows that are there already are not made again.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import sys
import tempfile
import time
import warnings
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "examples"))

import torch  # noqa: E402 - examples/ must be on the path first
from training import Pair, Recipe, encode, load, train, with_lora  # noqa: E402

import tuneval  # noqa: E402
from tuneval.pipeline.wording_trial import ALIKE, BEST  # noqa: E402

DEFAULT = "{text}\nLabel:"
WORDINGS = (
    DEFAULT,
    "Input: {text}\nOutput:",
    "### Instruction:\n{text}\n\n### Response:\n",
    "{text}\n\nAnswer:",
    "{text}\n",
)
"""Beside them each data set's own, the wording of its example."""
SETS = {
    "trec6": ("coarse_name", "test_half", "Question: {text}\nType:"),
    "banking77": ("category", "test_half", "Message: {text}\nIntent:"),
    "clinc150": ("intent", "val", "Request: {text}\nIntent:"),
    "demo": ("label", "test", "Message: {text}\nTopic:"),
}
N_TEST, HELD_OUT = 40, 80
"""Margins and rules of the trial were set on the 80 rows before."""
BATCH = 16
Row = dict[str, str]


def rows_of(name: str, part: str, shared: Path) -> list[Row]:
    """Rows as text and label, the label in words, in an order that is random but always the same."""
    column = SETS[name][0]
    if name == "demo":
        lines = (ROOT / f"src/tuneval/demo/{part}.jsonl").read_text(encoding="utf-8").splitlines()
    else:
        with gzip.open(shared / "data" / name / f"{part}.jsonl.gz", "rt", encoding="utf-8") as file:
            lines = file.read().splitlines()
    rows = [json.loads(line) for line in lines]
    random.Random(0).shuffle(rows)
    return [{"text": row["text"], "label": row[column].replace("_", " ")} for row in rows]


def base_of(name: str, shared: Path) -> Path:
    return (
        ROOT / "src/tuneval/demo/base"
        if name == "demo"
        else shared / "data" / "models" / "stories260k"
    )


def pair(template: str, row: Row) -> Pair:
    """Joined as tuneval joins: a blank after a colon, nothing after white space."""
    joint = " " if template.endswith(":") else ""
    prompt = template.replace("{text}", row["text"])
    return Pair(prompt, f"{joint}{row['label']}\n", has_end_token=False)


def tune(name: str, template: str, steps: int, shared: Path, folder: Path) -> None:
    model, tokenizer = load(base_of(name, shared))
    model = with_lora(model, rank=16, targets="all-linear", training_seed=0, dropout=0.0)
    rows = rows_of(name, "train", shared)[: steps * BATCH]
    encoded = []
    for row in rows:
        try:
            encoded.append(encode(tokenizer, pair(template, row)))
        except ValueError:  # a byte that joins its neighbour's token
            continue
    recipe = Recipe(learning_rate=3e-3, epochs=1, batch_size=BATCH, steps=steps, evaluations=4)
    train(model, tokenizer, encoded, [], recipe, folder)


def found_by(name: str, asked: str, adapter: Path, test: Path, shared: Path) -> dict[str, object]:
    """The finding of a comparison that asks so; answers are one token long, only the trial counts."""
    result = tuneval.compare(
        str(base_of(name, shared)),
        adapters=[str(adapter)],
        data=str(test),
        task="generate",
        options={"max_tokens": 1},
        template=asked,
        output={"dir": str(adapter / "runs"), "reports": []},
        statistics={"resamples": 200},
        backend={"device": "cpu", "threads": 1},
    )
    (one,) = (finding for finding in result.findings if finding.kind == "wording")
    rows = [(str(row[0]).strip('"').replace("\\n", "\n"), row[1], row[3]) for row in one.rows]
    return {
        "level": one.level,
        "sentence": one.sentence,
        "best": next((text for text, _, what in rows if what == BEST), None),
        "best_nats": next((nats for _, nats, what in rows if what == BEST), None),
        "alike": [text for text, _, what in rows if what == ALIKE],
        "nats": one.rows[0][1] if one.rows else one.values["nats"],
        "wordings": one.values["wordings"],
    }


def is_same(one: str, other: str) -> bool:
    """A line break after the text is also the joint of no words at all."""
    return one.rstrip("\n") == other.rstrip("\n") and one.endswith(":") == other.endswith(":")


def outcome(template: str, found: dict) -> str:
    """How the trained wording stands in a finding of a run that asked otherwise."""
    if found["wordings"] == 1:  # the references are certain already: no other can be better
        return "all alike"
    if found["best"] is not None and is_same(found["best"], template):
        return "named"
    if any(is_same(one, template) for one in found["alike"]):
        return "in the set"
    return "not found"


def measure(name: str, template: str, options: argparse.Namespace) -> dict[str, object]:
    began = time.process_time()
    adapter = options.keep / f"{name}-{(*WORDINGS, SETS[name][2]).index(template)}"
    if not (adapter / "adapter_config.json").exists():
        tune(name, template, options.steps, options.shared, adapter)
    with tempfile.TemporaryDirectory() as place:
        test = Path(place) / "test.jsonl"
        rows = rows_of(name, SETS[name][1], options.shared)[HELD_OUT : HELD_OUT + N_TEST]
        test.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        asked = "{text}\nAnswer:" if template == DEFAULT else DEFAULT
        elsewhere = found_by(name, asked, adapter, test, options.shared)
        trained = found_by(name, template, adapter, test, options.shared)
    return {
        "set": name,
        "trained": template,
        "asked": asked,
        "elsewhere": elsewhere,
        "as_trained": trained,
        "outcome": outcome(template, elsewhere),
        "seconds": time.process_time() - began,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--shared", type=Path, default=Path(os.environ.get("TUNEVAL_SHARED", "../shared"))
    )
    parser.add_argument("--only", choices=list(SETS))
    parser.add_argument("--steps", type=int, default=250)
    parser.add_argument("--rows", type=Path, default=Path("wording_rows.jsonl"), help="kept here")
    parser.add_argument(
        "--keep", type=Path, default=Path("wording_adapters"), help="as are adapters"
    )
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    known = (
        [json.loads(line) for line in options.rows.read_text().splitlines()]
        if options.rows.exists()
        else []
    )
    for name in [options.only] if options.only else SETS:
        for template in (*WORDINGS, SETS[name][2]):
            if any((one["set"], one["trained"]) == (name, template) for one in known):
                continue
            row = measure(name, template, options)
            known.append(row)
            with options.rows.open("a") as file:
                file.write(json.dumps(row) + "\n")
            print(json.dumps(row, indent=1), flush=True)
    print(table(known))


def table(rows: list[dict]) -> str:
    """The table of the page."""
    lines = [
        "| data | trained as | nats as trained, as asked | asked otherwise: | best | nats | trained wording | "
        "set | asked as trained |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        there, trained = row["elsewhere"], row["as_trained"]
        best, nats = "", ""
        if there["best"] is not None:
            best, nats = f"`{json.dumps(there['best'])[1:-1]}`", f"{there['best_nats']:.2f}"
        lines.append(
            f"| {row['set']} | `{json.dumps(row['trained'])[1:-1]}` | "
            f"{trained['nats']:.2f}, {there['nats']:.2f} | {there['level']} | {best} | {nats} | "
            f"{row['outcome']} | {len(there['alike'])} | {trained['level']} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
