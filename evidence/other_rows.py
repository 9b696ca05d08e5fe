"""Other rows of the same sets: a shared folder without every second row, its figures made anew.

    TUNEVAL_SHARED=../shared python evidence/other_rows.py /tmp/other
    TUNEVAL_SHARED=/tmp/other make test
    TUNEVAL_SHARED=../shared python evidence/other_rows.py --check   # that all rows give the shared figures

Figures are recomputed with the libraries that made them (scikit-learn, sacrebleu, rouge-score) or by
counting. What an official program computed is left out with its file or key, and its tests skip.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import re
import shutil
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from math import comb
from pathlib import Path
from typing import Any

import numpy as np

SHARED = Path(os.environ.get("TUNEVAL_SHARED", Path(__file__).parents[2] / "shared")).resolve()
WHOLE = (
    *("models", "vectors", "nltk_data", "README.md", "sealed", "codexglue/evaluator_samples"),
    *("mmlu/dev", "mbpp/prompt", "humaneval/example", "glue/mnli_hans"),
)
"""What is no set of rows, or a set of examples that prompts are made of."""

Figures = dict[str, Any]


def text_of(path: Path) -> str:
    data = path.read_bytes()
    return (gzip.decompress(data) if path.suffix == ".gz" else data).decode()


def write(path: Path, text: str) -> None:
    data = text.encode()
    path.write_bytes(gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)


def lines_of(path: Path) -> list[str]:
    return text_of(path).removesuffix("\n").split("\n")


def rows_of(path: Path) -> list[Any]:
    return [json.loads(line) for line in lines_of(path)]


def is_kept(name: str, place: int, line: str) -> bool:
    """Whether a line stays: files of one set must keep the same rows."""
    if name.startswith("alpaca_eval"):  # some files lack rows
        if "csv" in name:
            index = line.split(",")[name.startswith("alpaca_eval/annotations")]
            return not index.isdigit() or int(index) % 2 == 0  # the first line names the columns
        return bool(json.loads(line)["index"] % 2 == 0)
    if name.startswith("humaneval/samples"):  # every other one of the problems that have samples
        return int(json.loads(line)["task_id"].rpartition("/")[2]) % 4 == 0
    return place % 2 == 0


def other_squad(nested: Figures) -> Figures:
    for article in nested["data"]:
        for passage in article["paragraphs"]:
            passage["qas"] = passage["qas"][::2]
    return nested


def other_text(name: str, path: Path) -> str | None:
    """The file with half of its rows; None where it holds no rows."""
    if name.startswith(WHOLE):
        return None
    if name.startswith("squad/dev"):
        return json.dumps(other_squad(json.loads(text_of(path))))
    if name.startswith("squad/predictions"):
        version = name.split("/")[1].partition("_")[2]
        nested = json.loads(text_of(path.parents[1] / f"dev_{version}_subset.json.gz"))
        ids = {
            question["id"]
            for article in other_squad(nested)["data"]
            for passage in article["paragraphs"]
            for question in passage["qas"]
        }
        return json.dumps({k: v for k, v in json.loads(text_of(path)).items() if k in ids})
    if not name.endswith((".jsonl", ".gz")) and not name.startswith("alpaca_eval/instruction"):
        return None
    kept = [line for n, line in enumerate(lines_of(path)) if is_kept(name, n, line)]
    if name == "bertscore_minilm/pairs.jsonl":  # these two depend on all rows of the file
        kept = [
            json.dumps({k: v for k, v in json.loads(line).items() if "_" not in k}) for line in kept
        ]
    return "\n".join(kept) + "\n"


def corpus_figures(texts: list[str], references: list[str], figures: Figures) -> Figures:
    from sacrebleu.metrics import BLEU, CHRF, TER

    made = {
        "bleu_13a": BLEU(force=True),
        "bleu_none": BLEU(tokenize="none", force=True),
        "bleu_lc_13a": BLEU(lowercase=True, force=True),
        "chrf": CHRF(),
        "chrf++": CHRF(word_order=2),
        "ter": TER(),
    }
    return {
        key: {
            "score": made[key].corpus_score(texts, [references]).score,
            "signature": figures[key]["signature"],
        }
        for key in made.keys() & figures.keys()
    }


def ted(folder: Path, figures: Figures) -> Figures:
    found = {}
    for key, own in figures.items():
        system, _, kind = key.partition(".")
        end = ".detok.eng.gz" if kind == "detok" else ".eng.gz"
        found[key] = corpus_figures(
            lines_of(folder / f"ted.{system}{end}"), lines_of(folder / f"ted.ref{end}"), own
        )
    return found


def wmt17(folder: Path, figures: Figures) -> Figures:
    references = lines_of(folder / "reference.de.gz")
    systems = {
        name: corpus_figures(lines_of(folder / f"{name}.de.gz"), references, own)
        for name, own in figures["systems"].items()
    }
    return {"baseline": figures["baseline"], "systems": systems}


def wmt19(folder: Path, figures: Figures) -> Figures:
    from sacrebleu import sentence_bleu, sentence_chrf

    rows = rows_of(folder / "kk-en.jsonl.gz")
    found = {}
    for name, score in (("sentence_bleu", sentence_bleu), ("sentence_chrf", sentence_chrf)):
        better, worse = (
            np.array([score(row[side]["text"], [row["reference"]]).score for row in rows])
            for side in ("better", "worse")
        )
        concordant, ties = int((better > worse).sum()), int((better == worse).sum())
        found[name] = {
            "concordant": concordant,
            "discordant": len(rows) - concordant - ties,
            "ties": ties,
            "tau_like_ties_discordant": 2 * concordant / len(rows) - 1,
        }
    return {"n_sampled": len(rows), "metrics": found}


def mean_rouge(pairs: list[tuple[str, str]], stemmer: bool) -> Figures:
    from rouge_score.rouge_scorer import RougeScorer

    names = ["rouge1", "rouge2", "rougeL", "rougeLsum"]
    scored = [RougeScorer(names, use_stemmer=stemmer).score(*pair) for pair in pairs]
    return {name: float(np.mean([one[name].fmeasure for one in scored])) for name in names}


def summeval(folder: Path, figures: Figures) -> Figures:
    from scipy.stats import kendalltau

    rows = rows_of(folder / "summeval.jsonl.gz")
    systems: Figures = {}
    for system in figures["systems"]:
        pairs = [(row["reference"], row["systems"][system]["summary"]) for row in rows]
        own = systems[system] = {}
        for stemmer, end in ((True, "stem"), (False, "nostem")):
            found = mean_rouge(pairs, stemmer)
            own |= {f"{name}_f_{end}": found[name] for name in ("rouge1", "rouge2", "rougeL")}
        for quality in ("coherence", "consistency", "fluency", "relevance"):
            # Equal means must not be untied by the last bits.
            mean = np.mean([row["systems"][system][quality] for row in rows])
            own[quality] = round(float(mean), 9)
    tau = {
        name: {
            quality: float(
                kendalltau(
                    [own[f"{name}_f_stem"] for own in systems.values()],
                    [own[quality] for own in systems.values()],
                ).statistic
            )
            for quality in taus
        }
        for name, taus in figures["system_level_kendall"].items()
    }
    return {"n_docs": len(rows), "systems": systems, "system_level_kendall": tau}


def realsumm(folder: Path, figures: Figures) -> Figures:
    rows = rows_of(folder / "realsumm.jsonl.gz")

    def plain(text: str) -> str:
        return "\n".join(one.strip() for one in re.findall(r"<t>(.*?)</t>", text))

    systems = {}
    for system in figures["systems"]:
        given = [row["systems"][system] for row in rows]
        found = mean_rouge(
            [
                (plain(row["reference"]), plain(one["summary"]))
                for row, one in zip(rows, given, strict=True)
            ],
            stemmer=True,
        )
        systems[system] = {
            **{f"rouge_score_{name[5:]}_f": value for name, value in found.items()},
            **{
                f"rouge155_{part}_f": float(
                    np.mean([one[f"rouge_{part.lower()}_f_score"] for one in given])
                )
                for part in "12L"
            },
            "litepyramid_recall": float(np.mean([one["litepyramid_recall"] for one in given])),
        }
    return {"n_docs": len(rows), "systems": systems}


def predictions(folder: Path, figures: Figures) -> Figures:
    from sklearn.metrics import accuracy_score, f1_score

    found: Figures = {}
    for name, own in figures.items():
        file = next(folder.glob(f"{name}*.jsonl.gz"))
        rows = rows_of(file)
        gold_name = "answer" if name == "fig_qa" else "label"
        labelled = [row for row in rows if row[gold_name] != -1]
        gold = [row[gold_name] for row in labelled]
        found[name] = {
            system: {
                "n": len(gold),
                "accuracy": accuracy_score(gold, [row[system] for row in labelled]),
                "macro_f1": f1_score(gold, [row[system] for row in labelled], average="macro"),
            }
            for system in own
            if system in rows[0]
        }
        if "no_gold" in own:
            found[name] |= {"rows": len(rows), "no_gold": len(rows) - len(labelled)}
    return found


def pass_at_k(folder: Path, figures: Figures) -> Figures:
    passed: dict[str, list[bool]] = defaultdict(list)
    for row in rows_of(folder / "samples_n5.jsonl.gz"):
        passed[row["task_id"]].append(row["expected"] == "passed")
    found: Figures = {"n_tasks": len(passed), "n_samples": sum(map(len, passed.values()))}
    for k in (1, 2, 3, 5):
        found[f"pass@{k}"] = float(
            np.mean(
                [1 - comb(len(one) - sum(one), k) / comb(len(one), k) for one in passed.values()]
            )
        )
    return found


def leaderboard(folder: Path, figures: Figures) -> Figures:
    wins: dict[str, list[float]] = defaultdict(list)
    for row in csv.DictReader(io.StringIO(text_of(folder / "annotations.csv.gz"))):
        if row["preference"]:
            code = float(row["preference"])
            wins[row["model"]].append(0.5 if code == 0 else code - 1)
    found = {}
    for model in figures.keys() & wins.keys():
        own = np.array(wins[model])
        n_wins, n_draws = int((own > 0.5).sum()), int((own == 0.5).sum())
        found[model] = {
            "win_rate": 100 * own.mean(),
            "standard_error": 100 * own.std(ddof=1) / np.sqrt(len(own)),
            "n_wins": n_wins,
            "n_wins_base": len(own) - n_wins - n_draws,
            "n_draws": n_draws,
            "n_total": len(own),
            "discrete_win_rate": 100 * (n_wins + n_draws / 2) / len(own),
        }
    return found


def squad(folder: Path, figures: Figures) -> Figures:
    """Counts alone; its scores are those of the official programs."""
    found = {}
    for version in ("v2.0", "v1.1"):
        nested = json.loads(text_of(folder / f"dev_{version}_subset.json.gz"))
        questions = [
            question
            for article in nested["data"]
            for passage in article["paragraphs"]
            for question in passage["qas"]
        ]
        found[f"n_questions_{version}"] = len(questions)
        if version == "v2.0":
            found["n_unanswerable_v2.0"] = sum(not one["answers"] for one in questions)
    return found


def codexglue(folder: Path, figures: Figures) -> Figures:
    return {key: own for key, own in figures.items() if key.startswith("evaluator_samples")}


RECOMPUTED: dict[str, Callable[[Path, Figures], Figures]] = {
    "alpaca_eval/published_leaderboard.json": leaderboard,
    "cnndm_realsumm/expected_rouge.json": realsumm,
    "cnndm_summeval/expected_rouge.json": summeval,
    "codexglue/expected_scores.json": codexglue,
    "human_wmt19_darr/expected_kk-en.json": wmt19,
    "humaneval/expected_pass_at_k.json": pass_at_k,
    "mt_ted_slk_eng/expected_scores.json": ted,
    "mt_wmt17_en_de/expected_scores.json": wmt17,
    "predictions/expected.json": predictions,
    "squad/expected_scores.json": squad,
}


def differences(made: Any, shared: Any) -> Iterator[float]:
    """Of every number that both have."""
    if isinstance(made, dict):
        for key in made.keys() & shared.keys():
            yield from differences(made[key], shared[key])
    elif not isinstance(made, str):
        yield abs(made - shared)


def check() -> int:
    for name, figures in RECOMPUTED.items():
        path = SHARED / "data" / name
        shared = json.loads(path.read_text(encoding="utf-8"))
        found = list(differences(figures(path.parent, shared), shared))
        print(f"{name}: {len(found)} figures, largest difference {max(found):.1e}")
    return 0


def main() -> int:
    if sys.argv[1] == "--check":
        return check()
    target = Path(sys.argv[1])
    (target / "data").mkdir(parents=True)
    for path in SHARED.iterdir():
        if path.name != "data":
            (target / path.name).symlink_to(path)
    data, halved, left_out = SHARED / "data", 0, []
    for path in sorted(one for one in data.rglob("*") if one.is_file()):
        name = path.relative_to(data).as_posix()
        made = target / "data" / name
        made.parent.mkdir(parents=True, exist_ok=True)
        text = other_text(name, path)
        if text is not None:
            write(made, text)
            halved += 1
        elif path.name.startswith("expected") and path.suffix == ".json":
            left_out += [name] * (name not in RECOMPUTED)
        elif name not in RECOMPUTED:
            shutil.copyfile(path, made)  # NLTK opens no link to another folder
    for name, figures in RECOMPUTED.items():
        made = target / "data" / name
        found = figures(made.parent, json.loads((data / name).read_text(encoding="utf-8")))
        write(made, json.dumps(found, indent=1, sort_keys=True) + "\n")
    print(
        f"{halved} files with every second row removed, {len(RECOMPUTED)} files of figures made anew"
    )
    print(f"left out: {', '.join(left_out)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
