"""How long it takes to look for test cases in a training file, and how much memory.

    python evidence/overlap.py                       # 100,000 rows against 10,000 cases
    python evidence/overlap.py --training 10000 --test 1000

Texts of 5 to 60 words drawn with the frequencies of a natural language (Zipf), some planted in both.
Prints processor seconds of one process, the largest resident size, and what of the plant was found.
"""

from __future__ import annotations

import argparse
import random
import resource
import sys
import time

from tuneval.data.overlap import Text, find_overlap

WORDS = [f"word{n}" for n in range(30_000)]
WEIGHTS = [1 / (n + 3) for n in range(30_000)]


def texts(dice: random.Random, n: int, name: str) -> list[Text]:
    return [
        Text(f"{name}:{at}", " ".join(dice.choices(WORDS, WEIGHTS, k=dice.randint(5, 60))), "a")
        for at in range(n)
    ]


def nearly(dice: random.Random, text: str) -> str:
    """One word in twelve changed."""
    words = text.split()
    for at in dice.sample(range(len(words)), len(words) // 12):
        words[at] = "changed"
    return " ".join(words)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--training", type=int, default=100_000)
    parser.add_argument("--test", type=int, default=10_000)
    arguments = parser.parse_args()
    dice = random.Random(0)
    training, test = texts(dice, arguments.training, "train"), texts(dice, arguments.test, "test")
    planted = dice.sample([one for one in test if len(one.text.split()) >= 12], len(test) // 10)
    exact, near = planted[::2], planted[1::2]
    training += [one._replace(id=f"exact:{one.id}") for one in exact]
    training += [one._replace(id=f"near:{one.id}", text=nearly(dice, one.text)) for one in near]
    dice.shuffle(training)
    started = time.process_time()
    found = {one.case_id: one.kind for one in find_overlap(training, test)}
    seconds = time.process_time() - started
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
    print(
        f"{len(training):,} training rows, {len(test):,} test cases: {seconds:.1f} cpu s, {peak:,.0f} MB"
    )
    print(
        f"  exact copies found: {sum(found.get(one.id) == 'exact' for one in exact)} of {len(exact)}"
    )
    print(
        f"  near copies found:  {sum(found.get(one.id) == 'near' for one in near)} of {len(near)}"
    )
    print(f"  flagged besides:    {len(found.keys() - {one.id for one in planted})}")


if __name__ == "__main__":
    main()
