"""One label out of a set: by the likelihood of each label, or from a completion, read strictly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tuneval import registry
from tuneval.errors import ConfigError
from tuneval.tasks import options
from tuneval.tasks.choosing import Answer, Choosing
from tuneval.tasks.parse import read_label
from tuneval.tasks.wording import Examples, build_wording, first_reference, question_of
from tuneval.types import Case, Prediction, Request, Response

SCORINGS = ("likelihood", "generate")
MAX_TOKENS = 16
"""Longest completion where labels are drawn, not scored."""


class Classify:
    """Ask for one label of a known set."""

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Options:
        """What can be set.

        Parameters
        ----------
        labels : sequence of str
            The label set, in the order in which ties are broken.
        template : str, optional
            User turn with ``{column}`` places; by default the text and "Label:".
        scoring : {"likelihood", "generate"}
            ``likelihood`` asks for the log-likelihood of every label; ``generate`` draws a completion
            and reads it strictly.
        normalize : {"sum", "per_token", "per_character", "per_byte", "pmi"}
            What the label is chosen by, and what the probabilities are the softmax of.
        verbalizers : mapping, optional
            Label -> the words that stand for it in prompt and answer.
        few_shot : sequence of Case, or callable
            Examples before the question, in order; a callable gives those of one case.
        stop : sequence of str, optional
            For ``generate``; by default an empty line where examples stand before the question, because
            a base model goes on with further examples of its own.
        preface : str, optional
            Template of what stands before all examples, e.g. "Questions about {subject}."
        """

        labels: Sequence[str] | None
        template: str | None = None
        system: str | None = None
        scoring: str = "likelihood"
        normalize: str = "sum"
        verbalizers: Mapping[str, str] | None = None
        few_shot: Examples = ()
        max_tokens: int | None = None
        stop: Sequence[str] | None = None
        prompt_style: str = "messages"
        preface: str | None = None
        thinking: str = "cut"

    def __init__(self, given: Options) -> None:
        self.labels = _checked_labels(given.labels)
        self.words = _checked_words(self.labels, given.verbalizers or {})
        self.choosing = Choosing.of("classify", given, scorings=SCORINGS, max_tokens=MAX_TOKENS)
        self.wording = build_wording(
            "classify",
            lambda case: question_of(case, "Label:"),
            given,
            answer_of=self.words_of_reference,
            preface=given.preface,
        )

    def ask(self, case: Case) -> tuple[Request, ...]:
        """One request per label (``pmi``: a second one without the prompt), or one completion."""
        words = tuple(self.words.values())
        return self.choosing.ask(case, self.wording, words, self.labels)

    def read(self, case: Case, responses: Sequence[Response]) -> Prediction:
        """Choose the label; ties go to the first of the set."""
        spellings = {words: label for label, words in self.words.items()}
        answers = [Answer(label, words, words) for label, words in self.words.items()]
        return self.choosing.read(
            case, responses, answers, lambda said: read_label(said, spellings)
        )

    @property
    def has_probabilities(self) -> bool:
        """Generated answers come without."""
        return not self.choosing.is_drawn

    def signature(self) -> str:
        """Name every setting that can change the number."""
        chosen = self.choosing.settings()
        return options.sign(
            "classify",
            {
                "labels": self.labels,
                "scoring": chosen["scoring"],
                "normalize": chosen["normalize"],
                "verbalizers": tuple(self.words.values()),
                "decoding": chosen["decoding"],
                **({"thinking": chosen["thinking"]} if "thinking" in chosen else {}),
                **self.wording.settings(),
            },
        )

    def warnings(self) -> tuple[str, ...]:
        """Say which labels cannot be compared fairly, and which settings change nothing."""
        unused = self.choosing.unused
        if self.choosing.is_drawn or self.choosing.normalize != "sum":
            return unused
        return (*unused, *prefix_warnings(tuple(self.words.values())))

    def words_of_reference(self, case: Case) -> str:
        """What the model would say for the case's label."""
        label = first_reference(case)
        if label not in self.words:
            raise ConfigError(
                f'few-shot case "{case.id}": label {registry.unknown(label, self.labels)}.'
            )
        return self.words[label]


def prefix_warnings(words: Sequence[str]) -> tuple[str, ...]:
    """Say which labels open another label, as sentences for the user.

    The sum of log-likelihoods can never prefer "card arrival" to "card": every further token costs.
    """
    found = [
        f'"{short}" ("{long}")'
        for short in words
        for long in words
        if short != long and long.startswith(short)
    ]
    if not found:
        return ()
    more = f" and {len(found) - 3} more" if len(found) > 3 else ""
    return (
        f"a label is a prefix of another: {', '.join(found[:3])}{more}. By the sum of "
        "log-likelihoods the longer one can hardly win; normalize: per_token or verbalizers mend it.",
    )


def _checked_labels(labels: Sequence[str] | None) -> tuple[str, ...]:
    if labels is None or isinstance(labels, str) or len(labels) < 2:
        shown = "none" if not labels else f'"{labels if isinstance(labels, str) else labels[0]}"'
        raise ConfigError(
            f'task "classify" needs a set of two or more labels (found {shown}).\n'
            "Give them with --labels a,b,c, or labels: in run.yaml."
        )
    for label in labels:
        if not isinstance(label, str) or not label.strip():
            raise ConfigError(f'task "classify": label "{label}" is not a text with words in it.')
        if list(labels).count(label) > 1:
            raise ConfigError(f'task "classify": label "{label}" stands in the set twice.')
    return tuple(labels)


def _checked_words(labels: tuple[str, ...], verbalizers: Mapping[str, str]) -> dict[str, str]:
    for label, words in verbalizers.items():
        if label not in labels:
            raise ConfigError(
                f'task "classify", option "verbalizers": {registry.unknown(str(label), labels)}.'
            )
        if not isinstance(words, str) or not words.strip():
            raise ConfigError(
                f'task "classify", option "verbalizers": label "{label}" has no words.'
            )
    chosen = {label: verbalizers.get(label, label) for label in labels}
    seen: dict[str, str] = {}
    for label, words in chosen.items():
        if words in seen:
            raise ConfigError(
                f'task "classify", option "verbalizers": "{seen[words]}" and "{label}" are both '
                f'spelled "{words}", so an answer could not tell them apart.'
            )
        seen[words] = label
    return chosen
