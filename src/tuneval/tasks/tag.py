"""A tag for every word of a text: entities in BIO or BIOES, parts of speech.

Not for: which words make an entity (``metrics/entities.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tuneval.tasks import options
from tuneval.tasks.parse import fold, problem_of, unpacked, unparsed
from tuneval.tasks.wording import Examples, build_wording, first_reference, question_of, usual_stop
from tuneval.types import Case, Decoding, Prediction, Request, Response

TOKENS_PER_WORD = 8
"""What a language model may write for the tag of a word: "B-MISC" is about four tokens and a blank."""
_UNNAMED = "label-"
"""What an output without a name is called: LABEL_3."""


class Tag:
    """Ask for one tag a word, in the order of the words.

    A head over words reads the words themselves. A language model is asked to write the tags, which
    examples or a fine-tune have to show it; it is right only where it writes as many as there are words.
    """

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Options:
        """What can be set.

        Parameters
        ----------
        labels : sequence of str
            The tags, in the order of their numbers where they have any.
        max_tokens : int, optional
            Of what a language model writes; by default eight for every word.
        """

        labels: Sequence[str] | None = None
        template: str | None = None
        system: str | None = None
        few_shot: Examples = ()
        max_tokens: int | None = None
        prompt_style: str = "messages"

    has_probabilities = False

    def __init__(self, given: Options) -> None:
        self.labels = tuple(given.labels or ())
        self._by_spelling = {_folded(label): label for label in self.labels}
        self.decoding = options.decoding(
            "tag",
            max_tokens=1 if given.max_tokens is None else given.max_tokens,
            stop=usual_stop(given.few_shot),
        )
        self.has_limit = given.max_tokens is not None
        self.wording = build_wording(
            "tag", lambda case: question_of(case, "Tags:"), given, answer_of=first_reference
        )

    def ask(self, case: Case) -> tuple[Request, ...]:
        """One request, whatever the number of words."""
        text = str(case.inputs["text"])
        n_tokens = TOKENS_PER_WORD * (len(text.split()) + 1)
        decoding = self.decoding if self.has_limit else _with(self.decoding, n_tokens)
        prompt = self.wording.prompt_to_complete(case)
        return (Request(f"{case.id}#0", case.id, prompt, decoding=decoding, texts=(text,)),)

    def read(self, case: Case, responses: Sequence[Response]) -> Prediction:
        """Take the tags, spelled as the file spells them; another number than of words is unparsed."""
        (response,) = responses
        if problem_of(responses) is not None:
            return Prediction(case.id, problem=response.problem, is_truncated=response.is_truncated)
        (completion,) = response.completions
        tags = [self._spelled(tag) for tag in completion.text.split()]
        n_words = len(str(case.inputs["text"]).split())
        if len(tags) != n_words:
            tags = [self._spelled(tag) for tag in unpacked(completion.text).split()]
        is_read = len(tags) == n_words
        return Prediction(
            case.id,
            text=" ".join(tags) if is_read else None,
            completions=(completion.text,),
            n_tokens=completion.n_tokens,
            finish_reasons=(completion.finish_reason,),
            is_truncated=response.is_truncated,
            problem=None
            if is_read
            else f"{unparsed(completion.text)}: {len(tags)} tags of {n_words} words",
        )

    def _spelled(self, tag: str) -> str:
        """A tag as the file has it: capitals do not matter, and LABEL_3 is 3 where tags are numbers."""
        folded = _folded(tag)
        number = self._by_spelling.get(folded.removeprefix(_UNNAMED), tag)
        return self._by_spelling.get(folded, number)

    def signature(self) -> str:
        """Name every setting that can change the number."""
        limit = self.decoding.max_tokens if self.has_limit else f"{TOKENS_PER_WORD} a word"
        return options.sign(
            "tag",
            {"labels": self.labels, "max_tokens": limit, **self.wording.settings()},
        )

    def warnings(self) -> tuple[str, ...]:
        """Say nothing: tags have one reading."""
        return ()


def _folded(tag: str) -> str:
    return fold(tag).replace("_", "-")


def _with(decoding: Decoding, max_tokens: int) -> Decoding:
    return Decoding(max_tokens=max_tokens, stop=decoding.stop)
