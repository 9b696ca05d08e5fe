"""Makes the demo's messages and documents from ``wording.py`` and a seed.

The same seed gives the same text, byte for byte, on every machine: nothing here depends on hashing
order, locale or clock.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

import wording

ARTICLES = {"a", "an", "the"}
VOWELS = "aeiou"
QUESTION = re.compile(r"(where|how|why|which|what|when|can|do you|is|may)\b")


@dataclass(frozen=True)
class Message:
    """One customer's message: a row of the data files."""

    text: str
    label: str
    writer: str
    channel: str

    def row(self) -> dict[str, str]:
        return asdict(self)


@dataclass(frozen=True)
class Traffic:
    """Who writes what in one period of the shop."""

    learner_share: float
    new_form_share: float  # requests worded in a way that the tuning data do not have
    second_request_share: float = 0.12
    remark_share: float = 0.30


TUNING = Traffic(learner_share=0.05, new_form_share=0.0)
LATER = Traffic(learner_share=0.30, new_form_share=0.35, second_request_share=0.05)
PAST = Traffic(learner_share=0.05, new_form_share=0.4, second_request_share=0.05, remark_share=0.15)


def choose(rng: random.Random, shares: dict[str, float]) -> str:
    return rng.choices(list(shares), weights=list(shares.values()))[0]


def fill(rng: random.Random, text: str) -> str:
    """Put a value into every slot."""

    def value(match: re.Match[str]) -> str:
        slot = match.group(1)
        if slot == "order":
            return str(rng.randrange(10_000, 100_000))
        if slot == "number":
            return str(rng.randrange(3, 60))
        if slot == "amount":
            return f"{rng.randrange(5, 200)}.{rng.choice(['00', '50', '90', '95', '99'])} euros"
        return rng.choice(wording.SLOTS[slot])

    return re.sub(r"\{(\w+)\}", value, text)


def request(rng: random.Random, label: str, traffic: Traffic) -> str:
    """One request on a topic, without capital and full stop."""
    forms = wording.FORMS[label]
    is_new = rng.random() < traffic.new_form_share
    form = rng.choice(forms[wording.TUNED_FORMS :] if is_new else forms[: wording.TUNED_FORMS])
    return fill(rng, form)


def message(rng: random.Random, traffic: Traffic, label: str | None = None) -> Message:
    """One message; the topic is that of its first request."""
    label = label or choose(rng, wording.SHARES)
    channel = choose(rng, wording.CHANNELS)
    is_learner = rng.random() < traffic.learner_share
    lead = rng.choice(wording.LEADS) if rng.random() < 0.25 else ""
    sentences = [sentence(lead, request(rng, label, traffic))]
    if rng.random() < traffic.remark_share:
        sentences.insert(rng.randrange(2), fill(rng, rng.choice(wording.REMARKS)))
    if rng.random() < traffic.second_request_share:
        other = rng.choice([topic for topic in wording.LABELS if topic != label])
        sentences.append(sentence("also, ", request(rng, other, traffic)))
    body = " ".join(sentences)
    if is_learner:
        body = as_learner(rng, body)
    if channel == "chat":
        body = body.lower()
    greeting = fill(rng, rng.choice(wording.GREETINGS[channel]))
    farewell = fill(rng, rng.choice(wording.FAREWELLS[channel]))
    text = " ".join(part for part in (greeting, body, farewell) if part)
    return Message(text, label, "learner" if is_learner else "fluent", channel)


def sentence(lead: str, request: str) -> str:
    text = lead + request
    return text[0].upper() + text[1:] + ("?" if QUESTION.match(request) else ".")


def as_learner(rng: random.Random, text: str) -> str:
    """Rewrite a text as somebody might who is still learning English."""
    for fluent, learner in wording.TURNS:
        if fluent in text and rng.random() < 0.5:
            text = text.replace(fluent, learner, 1)
    words = []
    for word in text.split(" "):
        if word.lower() in ARTICLES and rng.random() < 0.5:
            continue
        words.append(misspelled(rng, word))
    return " ".join(words)


def misspelled(rng: random.Random, word: str) -> str:
    """The word as it is, with a usual misspelling, or with one letter wrong."""
    core = word.strip(".,?:")
    known = wording.MISSPELLINGS.get(core.lower())
    if known and rng.random() < 0.6:
        return word.replace(core, rng.choice(known))
    if len(core) < 5 or not core.isalpha() or rng.random() > 0.25:
        return word
    return word.replace(core, one_letter_wrong(rng, core))


def one_letter_wrong(rng: random.Random, word: str) -> str:
    at = rng.randrange(1, len(word) - 1)
    kind = rng.choice(["drop", "double", "swap", "vowel"])
    if kind == "drop":
        return word[:at] + word[at + 1 :]
    if kind == "double":
        return word[:at] + word[at] + word[at:]
    if kind == "vowel" and word[at] in VOWELS:
        return word[:at] + rng.choice(VOWELS.replace(word[at], "")) + word[at + 1 :]
    return word[: at - 1] + word[at] + word[at - 1] + word[at + 1 :]


# Documents that the base model is pre-trained on


def note(rng: random.Random) -> str:
    """A message with its topic, as the shop filed it in the past."""
    written = message(rng, PAST)
    topic = written.label
    old, share = wording.OLD_FILING.get(topic, (topic, 0.0))
    return f"Message: {written.text}\nTopic: {old if rng.random() < share else topic}"


def chat(rng: random.Random) -> str:
    """A message and the answer of the shop, which depends on the true topic."""
    written = message(rng, PAST)
    return (
        f"Customer: {written.text}\nShop: {fill(rng, rng.choice(wording.REPLIES[written.label]))}"
    )


def mail(rng: random.Random) -> str:
    """A message and the subject line that somebody gave it."""
    written = message(rng, PAST)
    return (
        f"Mail: {written.text}\nSubject: {fill(rng, rng.choice(wording.SUBJECTS[written.label]))}"
    )


DOCUMENTS: dict[Callable[[random.Random], str], float] = {note: 0.35, chat: 0.40, mail: 0.25}


def documents(seed: int, n: int) -> list[str]:
    """Texts of the past: what the base model learns to read from."""
    rng = random.Random(seed)
    kinds, shares = list(DOCUMENTS), list(DOCUMENTS.values())
    return [rng.choices(kinds, weights=shares)[0](rng) for _ in range(n)]


# Data to tune on and to test with


def words_of(text: str) -> tuple[str, ...]:
    return tuple(re.findall(r"[a-z0-9]+", text.lower()))


def runs(words: tuple[str, ...], length: int) -> set[tuple[str, ...]]:
    """All runs of so many neighbouring words; the whole text where it is shorter."""
    return {words[at : at + length] for at in range(max(1, len(words) - length + 1))}


def repeats(words: tuple[str, ...], seen: set[tuple[str, ...]]) -> bool:
    """Whether a text shares 13 words in a row (8 if it is short) with what was seen."""
    return not seen.isdisjoint(runs(words, 13 if len(words) >= 13 else 8))


def remember(words: tuple[str, ...], seen: set[tuple[str, ...]]) -> None:
    seen |= runs(words, 13) | runs(words, 8) | {words}


def tuning_messages(seed: int, n: int) -> list[Message]:
    """Messages to tune on: the topics come as often as they happen to."""
    rng = random.Random(seed)
    return [message(rng, TUNING) for _ in range(n)]


def is_near_copy(words: tuple[str, ...], old: tuple[str, ...]) -> bool:
    """Whether two texts are made of nearly the same words: another number, another greeting."""
    one, other = set(words), set(old)
    return len(one & other) > 0.7 * len(one | other)


def later_messages(
    seed: int, n: int, earlier: list[Message], *, near_copies: bool = True
) -> list[Message]:
    """Messages of the time after tuning that repeat no long run of words of earlier messages.

    Without ``near_copies`` none of them is made of nearly the same words as an earlier one, either.
    The number of messages of each topic is exact, so that the rare topic is not a matter of luck.
    """
    rng = random.Random(seed)
    seen: set[tuple[str, ...]] = set()
    for old in earlier:
        remember(words_of(old.text), seen)
    topics = [label for label in wording.LABELS for _ in range(round(n * wording.SHARES[label]))]
    rng.shuffle(topics)
    old = [] if near_copies else [words_of(one.text) for one in earlier]
    return [unseen_message(rng, topic, seen, old) for topic in topics]


def unseen_message(
    rng: random.Random, topic: str, seen: set[tuple[str, ...]], old: list[tuple[str, ...]]
) -> Message:
    while True:
        fresh = message(rng, LATER, topic)
        words = words_of(fresh.text)
        if not repeats(words, seen) and not any(is_near_copy(words, one) for one in old):
            seen.add(words)
            return fresh


# A leak, planted: rows of the test file that found their way into the training data


def leaked(seed: int, test: list[Message], n_exact: int, n_near: int) -> list[Message]:
    """So many test messages word for word, and others with one word in a dozen changed."""
    rng = random.Random(seed)
    long_enough = [one for one in test if len(one.text.split(" ")) >= 12]
    near = rng.sample(long_enough, n_near)
    exact = rng.sample([one for one in test if one not in near], n_exact)
    return exact + [replace(one, text=nearly(rng, one.text)) for one in near]


def nearly(rng: random.Random, text: str) -> str:
    """The text with its last word replaced, and one more for each further two dozen words."""
    words = text.split(" ")
    for at in range(len(words) - 1, 0, -24):
        words[at] = rng.choice(("thanks", "please", "today", "now"))
    return " ".join(words)


# What the base learned before: which answer of the shop fits


@dataclass(frozen=True)
class ReplyChoice:
    """A customer's message and four answers of the shop, one of which fits its topic."""

    question: str
    choices: tuple[str, ...]
    answer: int

    def row(self) -> dict[str, object]:
        return asdict(self)


def reply_choices(seed: int, n: int, earlier: list[Message]) -> list[ReplyChoice]:
    """Messages as in the past, each with the answer that fits and three of other topics."""
    rng = random.Random(seed)
    seen: set[tuple[str, ...]] = set()
    for old in earlier:
        remember(words_of(old.text), seen)
    found: list[ReplyChoice] = []
    while len(found) < n:
        written = message(rng, PAST)
        if repeats(words_of(written.text), seen):
            continue
        seen.add(words_of(written.text))
        others = rng.sample([topic for topic in wording.LABELS if topic != written.label], 3)
        answer = rng.randrange(4)
        topics = [*others[:answer], written.label, *others[answer:]]
        choices = tuple(fill(rng, rng.choice(wording.REPLIES[topic])) for topic in topics)
        found.append(ReplyChoice(written.text, choices, answer))
    return found
