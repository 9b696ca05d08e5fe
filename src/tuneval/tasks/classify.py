"""One label out of a set: by the likelihood of each label, or from a completion, read strictly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tuneval import registry
from tuneval.errors import ConfigError
from tuneval.tasks import options
from tuneval.tasks.likelihood import NORMALIZATIONS, choice_scores, softmax
from tuneval.tasks.parse import problem_of, read_label, unparsed
from tuneval.tasks.wording import (
    BETWEEN_TURNS,
    Examples,
    build_wording,
    first_reference,
    joiner,
    question_of,
)
from tuneval.types import Case, Prediction, Request, Response

SCORINGS = ("likelihood", "generate")
MAX_TOKENS = 16
"""Longest completion where labels are drawn, not scored."""


class Classify:
    """Ask for one label of a known set.

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

    def __init__(
        self,
        labels: Sequence[str] | None,
        *,
        template: str | None = None,
        system: str | None = None,
        scoring: str = "likelihood",
        normalize: str = "sum",
        verbalizers: Mapping[str, str] | None = None,
        few_shot: Examples = (),
        max_tokens: int | None = None,
        stop: Sequence[str] | None = None,
        prompt_style: str = "messages",
        preface: str | None = None,
    ) -> None:
        self.labels = _checked_labels(labels)
        self.scoring = options.one_of("classify", "scoring", scoring, SCORINGS)
        self.normalize = options.one_of("classify", "normalize", normalize, NORMALIZATIONS)
        self.words = _checked_words(self.labels, verbalizers or {})
        self.decoding = options.decoding(
            "classify",
            max_tokens=MAX_TOKENS if max_tokens is None else max_tokens,
            stop=((BETWEEN_TURNS,) if few_shot else ()) if stop is None else stop,
        )
        is_drawn = self.scoring == "generate"
        self.unused = (
            () if is_drawn else options.unused("classify", max_tokens=max_tokens, stop=stop)
        )
        self.wording = build_wording(
            "classify",
            lambda case: question_of(case, "Label:"),
            template=template,
            system=system,
            prompt_style=prompt_style,
            few_shot=few_shot,
            preface=preface,
            answer_of=self._words_of_reference,
        )

    def ask(self, case: Case) -> tuple[Request, ...]:
        """One request per label (``pmi``: a second one without the prompt), or one completion."""
        if self.scoring == "generate":
            prompt = self.wording.prompt_to_complete(case)
            return (Request(f"{case.id}#0", case.id, prompt, decoding=self.decoding),)
        prompt = self.wording.prompt(case)
        asked = [(prompt, self.wording.continuation(case, words)) for words in self.words.values()]
        if self.normalize == "pmi":
            asked += [("", words) for words in self._without_prompt(case)]
        return tuple(
            Request(f"{case.id}#{n}", case.id, one, continuation=words)
            for n, (one, words) in enumerate(asked)
        )

    def read(self, case: Case, responses: Sequence[Response]) -> Prediction:
        """Choose the label; ties go to the first of the set."""
        cut = any(response.is_truncated for response in responses)
        problem = problem_of(responses)
        if problem is not None:
            return Prediction(case.id, problem=problem, is_truncated=cut)
        if self.scoring == "generate":
            return self._read_completion(case, responses[0])
        n = len(self.labels)
        words = tuple(self.words.values())
        scores = choice_scores(responses[:n], words, self.normalize, responses[n:])
        probabilities = zip(self.labels, softmax(scores).tolist(), strict=True)
        best = int(scores.argmax())
        return Prediction(
            case.id,
            text=words[best],
            label=self.labels[best],
            label_probabilities=dict(probabilities),
            is_truncated=cut,
        )

    @property
    def has_probabilities(self) -> bool:
        """Generated answers come without."""
        return self.scoring != "generate"

    def signature(self) -> str:
        """Name every setting that can change the number."""
        return options.sign(
            "classify",
            {
                "labels": self.labels,
                "scoring": self.scoring,
                "normalize": self.normalize if self.scoring == "likelihood" else None,
                "verbalizers": tuple(self.words.values()),
                "decoding": self.decoding if self.scoring == "generate" else None,
                **self.wording.settings(),
            },
        )

    def warnings(self) -> tuple[str, ...]:
        """Say which labels cannot be compared fairly, and which settings change nothing."""
        if self.scoring == "generate" or self.normalize != "sum":
            return self.unused
        return (*self.unused, *prefix_warnings(tuple(self.words.values())))

    def _read_completion(self, case: Case, response: Response) -> Prediction:
        said = response.completions[0]
        spellings = {words: label for label, words in self.words.items()}
        label = read_label(said.text, spellings)
        return Prediction(
            case.id,
            text=said.text.strip(),
            label=label,
            completions=(said.text,),
            finish_reasons=(said.finish_reason,),
            is_truncated=response.is_truncated,
            problem=None if label is not None else unparsed(said.text),
        )

    def _without_prompt(self, case: Case) -> list[str]:
        prompt = self.wording.prompt(case)
        if isinstance(prompt, str):
            return [self.wording.continuation(case, words) for words in self.words.values()]
        return [joiner(prompt[-1].content) + words for words in self.words.values()]

    def _words_of_reference(self, case: Case) -> str:
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
