"""What columns are called in the field, and what each name stands for. Knows no rows.

Case, blanks, hyphens and underscores do not matter: "Expected Output" is "expected_output".
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

Tiers = tuple[tuple[str, ...], ...]
"""Names that a column may bear, the usual ones first; a later tier counts when no earlier does."""

LABELS: Tiers = (
    ("label", "intent", "category"),
    ("class", "sentiment", "emotion", "topic", "labels", "gold_label", "label_text",
     "label_name", "coarse_label", "coarse_name", "fine_label", "fine_name", "class_name",
     "category_name", "intent_name", "is_duplicate", "stance", "relation"),
)  # fmt: skip
EXPECTED: Tiers = (
    ("reference", "references", "expected", "expected_output", "expected_answer",
     "expected_response", "gold_answer", "golden_answer", "ideal", "ideal_answer",
     "ideal_response", "ground_truth", "ground_truths", "correct_answer", "correct_answers",
     "best_answer", "possible_answers", "final_answer", "reference_answer", "reference_output",
     "assistant",
     "summary", "highlights", "translation", "solution", "reply", "target_text", "tgt"),
)  # fmt: skip
"""Texts that are expected, by name: no classes, however often they repeat, unless somebody says so."""
REFERENCES: Tiers = (
    ("answer", "answers", "output", "outputs", "response", "completion", "target", "targets", "gold",
     *EXPECTED[0]),
)  # fmt: skip
"""What is expected, in words or in classes; which of several is meant is the user's to say."""
QUESTIONS: Tiers = (("question",), ("query", "problem", "user_query", "user_input"))
PASSAGES: Tiers = (
    ("context",),
    ("passage", "article", "document", "story", "background", "paragraph", "evidence", "support",
     "facts", "knowledge", "contexts", "source_text"),
)  # fmt: skip
SYSTEMS: Tiers = (("system", "system_prompt", "system_message"),)
HISTORIES: Tiers = (("history", "chat_history", "conversation_history", "dialogue_history"),)
TEXTS: Tiers = (
    ("question",),
    ("text", "sentence", "input"),
    ("utterance", "content", "review", "tweet", "comment", "query", "message", "problem",
     "user_query", "user_input", "inputs", "input_text", "source", "src", "statement", "claim",
     "body", "post", "dialogue", "dialog", "transcript", "headline"),
    ("prompt",),
    ("user", "human"),
    *PASSAGES,
)  # fmt: skip
"""What is read and asked about; a passage only where nothing else is."""
ALONE: Tiers = (
    ("text", "sentence", "content", "body", "post", "document", "article", "story", "passage",
     "paragraph", "code"),
)  # fmt: skip
"""Names under which a text without reference is language modelling unasked."""
PAIRS = (
    ("premise", "hypothesis"),
    ("sentence1", "sentence2"),
    ("sentence_a", "sentence_b"),
    ("question1", "question2"),
    ("question", "sentence"),
    ("text1", "text2"),
    ("text_a", "text_b"),
)
"""Two texts of which a relation is asked."""
OFFERED: Tiers = (
    ("choices", "options", "endings", "questions", "distractors", "incorrect_answers", "wrong_answers",
     "distractor", *(f"{name}{n}" for name in ("distractor", "incorrect_answer", "wrong_answer")
                     for n in range(1, 6))),
)  # fmt: skip
"""What a question offers to choose from, and questions of which there are several."""
HEADS: Tiers = (("title", "subject", "headline"),)
"""What stands over a text, and may belong to it."""
ASIDES: Tiers = (
    ("id", "_id", "uid", "uuid", "guid", "idx", "index", "key", "task_id", "custom_id", "url", "link", "date",
     "time", "timestamp", "created", "created_at", "updated_at", "split", "lang", "language",
     "author", "user", "username", "user_id", "writer", "file", "filename", "path", "hash",
     "licence", "license", "length", "n_tokens", "num_tokens", "token_count", "tokens", "word_count",
     "char_count", "line", "page", "offset", "year"),
)  # fmt: skip
"""What a row says about itself: never part of a question."""

AFTERWARDS: Tiers = (
    ("explanation", "explanations", "rationale", "rationales", "reasoning", "reason", "justification",
     "cot", "chain_of_thought", "thought", "thoughts", "thinking", "analysis", "steps", "solution",
     "comment", "comments", "note", "notes", "feedback", "critique", "remark", "remarks", "hint",
     "prediction", "predictions", "pred", "predicted", "generated", "generated_text", "generation",
     "model_output", "model_answer", "model_response", "actual_output", "metadata", "meta", "info",
     "rejected", "chosen", "full_text", "formatted", "rendered", "original", "raw", "embedding"),
)  # fmt: skip
"""What comes after a question: why an answer is right, what some model said, how a row was made."""

_BETWEEN = re.compile(r"[\s_-]+")


@lru_cache(maxsize=4096)
def folded(name: str) -> str:
    """A name without what does not matter in it."""
    return _BETWEEN.sub("", name).casefold()


def has_name(tiers: Tiers, column: str) -> bool:
    """Is ``column`` one of these names, in any tier?"""
    return any(folded(column) == folded(name) for tier in tiers for name in tier)


def first_tier(tiers: Tiers, present: Iterable[str]) -> tuple[str, ...]:
    """The columns that bear a name of the first tier that any of them does."""
    present = tuple(present)
    for tier in tiers:
        if found := tuple(column for column in present if has_name((tier,), column)):
            return found
    return ()
