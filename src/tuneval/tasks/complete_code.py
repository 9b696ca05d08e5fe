"""Code: complete a prompt as it stands, or ask in a chat and read the code block of the answer.

Predictions hold whole programs. Not for running them, which the sandbox alone does.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from tuneval.errors import ConfigError
from tuneval.tasks.thinking import without_thinking
from tuneval.types import Case, Decoding, Message, Prediction, Request, Response

STYLES = ("completion", "instruction")
FUNCTION_STOPS = ("\nclass", "\ndef", "\n#", "\nif", "\nprint")
"""Of Chen et al. (2021): what follows a function at the left margin is no part of it."""
SCRIPT_STOPS = ("\nclass", "\nassert", '\n"""', "\nprint", "\nif", "\n```")
"""For problems in words: the first function may need a second one beside it."""
INSTRUCTION = (
    "Complete the following Python function. Answer with the whole function, imports included, in one "
    "Python code block."
)

_FENCE = re.compile(
    r"^[ \t]*(?:```|~~~)[ \t]*([^\n`]*)\n(.*?)(?:^[ \t]*(?:```|~~~)|\Z)", re.M | re.S
)
_NOT_PYTHON = re.compile(
    r"^(?:bash|sh|shell|console|text|txt|output|json|javascript|java|c\+\+)\b", re.I
)


class CompleteCode:
    """Ask for programs.

    Parameters
    ----------
    style : {"completion", "instruction"}
        "completion": the model goes on from exactly the characters of the prompt, until a stop
        string. "instruction": a chat turn asks for the function, and the code block of the answer is
        read.
    n_completions : int
        Draws per problem; pass@k needs at least k.
    stop : sequence of str, optional
        For "completion"; by default those of Chen et al. (2021) for prompts that begin a function,
        and those usual for MBPP for problems in words.
    """

    has_probabilities = False

    def __init__(
        self,
        *,
        style: str = "completion",
        n_completions: int = 1,
        temperature: float = 0.0,
        top_p: float = 1.0,
        max_tokens: int = 512,
        stop: Sequence[str] | None = None,
        sampling_seed: int = 0,
    ) -> None:
        if style not in STYLES:
            raise ConfigError(
                f'task "complete_code": there is no style "{style}". Choose one of {", ".join(STYLES)}.'
            )
        if n_completions > 1 and temperature == 0:
            raise ConfigError(
                f'task "complete_code": {n_completions} completions at temperature 0 are all the same. '
                "Give a temperature above 0 (0.2 for pass@1, 0.8 for pass@100), or 1 completion."
            )
        self.style = style
        self.stop = None if stop is None else tuple(stop)
        self.n_completions, self.temperature, self.top_p = n_completions, temperature, top_p
        self.max_tokens, self.sampling_seed = max_tokens, sampling_seed

    def ask(self, case: Case) -> tuple[Request, ...]:
        """One request for all completions of the problem."""
        decoding = Decoding(
            max_tokens=self.max_tokens,
            stop=self._stops(case),
            temperature=self.temperature,
            top_p=self.top_p,
            n_completions=self.n_completions,
            sampling_seed=self.sampling_seed,
        )
        prompt: str | tuple[Message, ...] = _prompt(case)
        if self.style == "instruction":
            prompt = (Message("user", _instruction(case)),)
        return (Request(f"{case.id}#0", case.id, prompt, decoding=decoding),)

    def read(self, case: Case, responses: Sequence[Response]) -> Prediction:
        """Programs in the order drawn; ``text`` is the first answer as the model gave it."""
        (response,) = responses
        if response.problem is not None:
            return Prediction(case.id, problem=response.problem, is_truncated=response.is_truncated)
        texts = [without_thinking(one.text).text for one in response.completions]
        return Prediction(
            case.id,
            text=texts[0] if texts else None,
            completions=tuple(self.program(case, text) for text in texts),
            n_tokens=sum(completion.n_tokens for completion in response.completions),
            problem=None if texts else "no completion",
            finish_reasons=tuple(one.finish_reason for one in response.completions),
            is_truncated=response.is_truncated,
        )

    def program(self, case: Case, text: str) -> str:
        """The whole program that ``text`` makes of the problem."""
        if self.style == "completion":
            return _prompt(case) + cut(text, self._stops(case))
        entry = str(case.inputs.get("entry_point", ""))
        code = code_block(text, entry)
        if not entry or _defines(code, entry):
            return _preamble(_prompt(case), entry) + code
        return _prompt(case) + code

    def _stops(self, case: Case) -> tuple[str, ...]:
        if self.style == "instruction":
            return ()
        if self.stop is not None:
            return self.stop
        is_script = case.inputs.get("test_kind") == "assertions"
        return SCRIPT_STOPS if is_script else FUNCTION_STOPS

    def signature(self) -> str:
        """Style and every decoding setting."""
        stop = "default" if self.stop is None else repr(self.stop)
        return (
            f"complete_code|style:{self.style}|completions:{self.n_completions}"
            f"|temperature:{self.temperature:g}|top_p:{self.top_p:g}|max_tokens:{self.max_tokens}"
            f"|stop:{stop}|sampling_seed:{self.sampling_seed}"
        )

    def warnings(self) -> tuple[str, ...]:
        """Say nothing: a program is judged by its tests alone."""
        return ()


def cut(text: str, stops: Sequence[str]) -> str:
    """``text`` up to the first stop string; some servers take fewer stop strings than we have."""
    ends = [at for stop in stops if (at := text.find(stop)) >= 0]
    return text[: min(ends)] if ends else text


def code_block(text: str, entry_point: str) -> str:
    """The code of a chat answer.

    The first fenced block that defines ``entry_point``; else the longest that is not marked as
    another language; without any fence, the whole answer. A fence that was never closed counts: the
    answer was cut.
    """
    blocks = [body for name, body in _FENCE.findall(text) if not _NOT_PYTHON.match(name.strip())]
    for body in blocks:
        if entry_point and _defines(body, entry_point):
            return str(body)
    return max(blocks, key=len) if blocks else text


def _defines(code: str, name: str) -> bool:
    pattern = (
        rf"^(?:(?:async[ \t]+)?def|class)[ \t]+{re.escape(name)}\b|^{re.escape(name)}[ \t]*[:=]"
    )
    return re.search(pattern, code, re.M) is not None


def _preamble(prompt: str, entry_point: str) -> str:
    """What stands in the prompt before the function: imports and helpers that an answer may take for
    granted."""
    start = re.search(rf"^(?:async[ \t]+)?def[ \t]+{re.escape(entry_point)}\b", prompt, re.M)
    return prompt[: start.start()] if entry_point and start else ""


def _prompt(case: Case) -> str:
    return str(case.inputs["prompt"])


def _instruction(case: Case) -> str:
    given = case.inputs.get("instruction")
    if given:
        return str(given)
    return f"{INSTRUCTION}\n\n```python\n{_prompt(case).rstrip()}\n```"
