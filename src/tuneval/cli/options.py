"""The words of a comparison: declared once, shared by every command that takes them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

from tuneval.cli.ending import fail_on_words

VARIANTS, DATA, HOW, MACHINE, OUTPUT = "variants", "data", "how", "machine", "output"
AUTO = "auto"


def _option(
    panel: str, help_text: str, *names: str, metavar: str | None = None, rare: bool = False
) -> Any:
    return typer.Option(*names, help=help_text, rich_help_panel=panel, metavar=metavar, hidden=rare)


def _words(
    base: Annotated[
        str | None,
        typer.Argument(help="folder or hub id (left out: the adapters' own)"),
    ] = None,
    base_model: Annotated[
        str | None, _option(VARIANTS, "BASE by name", "--base", metavar="BASE", rare=True)
    ] = None,
    adapter: Annotated[
        list[str] | None,
        _option(VARIANTS, "adapter folder or glob; repeatable", metavar="[NAME=]DIR"),
    ] = None,
    full: Annotated[
        list[str] | None,
        _option(VARIANTS, "full fine-tune; repeatable", metavar="[NAME=]DIR"),
    ] = None,
    base_as: Annotated[
        str,
        _option(
            VARIANTS,
            "beside classifiers: by likelihood, or majority alone",
            metavar="auto|lm|none",
            rare=True,
        ),
    ] = "auto",
    revision: Annotated[
        str | None, _option(VARIANTS, "revision of the base on the hub", metavar="REV", rare=True)
    ] = None,
    training_log: Annotated[
        str,
        _option(VARIANTS, "trainer_state.json or its folder", metavar="auto|none|FILE", rare=True),
    ] = "auto",
    trust_remote_code: Annotated[
        bool,
        _option(VARIANTS, "run code that comes with a model", "--trust-remote-code", rare=True),
    ] = False,
    data: Annotated[
        list[str] | None,
        _option(DATA, "test cases (jsonl, csv, tsv, json, .gz, ...)", metavar="FILE"),
    ] = None,
    benchmark: Annotated[
        list[str] | None,
        _option(DATA, "see: tuneval list benchmarks; repeatable", metavar="NAME[:SUBSET]"),
    ] = None,
    benchmark_data: Annotated[
        str | None,
        _option(DATA, "where benchmarks lie, instead of the hub", metavar="DIR", rare=True),
    ] = None,
    guard: Annotated[
        list[str] | None,
        _option(
            DATA,
            "must not get worse: file, benchmark or standard; repeatable",
            metavar="NAME",
            rare=True,
        ),
    ] = None,
    task: Annotated[
        str,
        _option(DATA, "see: tuneval list tasks", metavar="auto|NAME"),
    ] = "auto",
    input: Annotated[str | None, _option(DATA, "column with the input", metavar="COLUMN")] = None,
    reference: Annotated[
        str | None, _option(DATA, "column with what is expected", metavar="COLUMN")
    ] = None,
    labels: Annotated[
        str | None, _option(DATA, "label set, or names of numbers", metavar="a,b|0=a,1=b")
    ] = None,
    group: Annotated[
        list[str] | None,
        _option(DATA, "columns A or A+B for subgroups; repeatable", metavar="COLUMN"),
    ] = None,
    cluster: Annotated[
        str | None,
        _option(DATA, "cases that share its value count together", metavar="COLUMN", rare=True),
    ] = None,
    limit: Annotated[
        str | None, _option(DATA, "that many cases (0.1: that share)", metavar="N")
    ] = None,
    train_data: Annotated[
        str | None,
        _option(DATA, "training file: leaked cases, learnt by heart", metavar="FILE"),
    ] = None,
    validation: Annotated[
        str | None,
        _option(DATA, "chooses among checkpoints of one training", metavar="FILE", rare=True),
    ] = None,
    adversarial: Annotated[
        list[str] | None,
        _option(
            DATA,
            "your own hard cases; column origin ties to the originals",
            metavar="FILE",
            rare=True,
        ),
    ] = None,
    ood: Annotated[
        list[str] | None,
        _option(DATA, "inputs that no label fits: are they noticed?", metavar="FILE", rare=True),
    ] = None,
    split: Annotated[
        str, _option(DATA, "split of a data set folder or hub id", metavar="NAME", rare=True)
    ] = "test",
    skip_bad_rows: Annotated[
        bool, _option(DATA, "count and list unreadable rows, go on", "--skip-bad-rows")
    ] = False,
    turns: Annotated[
        str,
        _option(
            DATA, "of a chat: its last answer is a case, or all", metavar="last|all", rare=True
        ),
    ] = "last",
    prompt: Annotated[
        str | None,
        _option(HOW, "template, a file, or auto: as trained", metavar="TEXT|auto"),
    ] = None,
    no_prompt_trial: Annotated[
        bool,
        _option(HOW, "do not try which wording was trained", "--no-prompt-trial", rare=True),
    ] = False,
    system: Annotated[
        str | None, _option(HOW, "system message of chat prompts", metavar="TEXT", rare=True)
    ] = None,
    chat_template: Annotated[
        str, _option(HOW, "use each model's chat template", metavar="auto|on|off", rare=True)
    ] = "auto",
    allow_lost_questions: Annotated[
        bool,
        _option(HOW, "ask where a prompt does not fit, too", "--allow-lost-questions", rare=True),
    ] = False,
    thinking: Annotated[
        str,
        _option(HOW, "blocks such as <think>...</think>", metavar="cut|keep|off", rare=True),
    ] = "cut",
    scoring: Annotated[
        str | None, _option(HOW, "of labels: likelihood or generate", metavar="KIND", rare=True)
    ] = None,
    prompt_style: Annotated[
        str | None,
        _option(HOW, "ask by chat messages or by one text", metavar="messages|text", rare=True),
    ] = None,
    few_shot: Annotated[int, _option(HOW, "examples before every question", metavar="K")] = 0,
    few_shot_file: Annotated[
        str | None, _option(HOW, "where the examples come from", metavar="FILE", rare=True)
    ] = None,
    max_tokens: Annotated[int | None, _option(HOW, "longest completion", metavar="N")] = None,
    stop: Annotated[
        list[str] | None, _option(HOW, "end of a completion; repeatable", metavar="TEXT", rare=True)
    ] = None,
    stride: Annotated[
        int | None,
        _option(HOW, "perplexity of long texts: windows so far apart", metavar="N", rare=True),
    ] = None,
    metrics: Annotated[
        str, _option(HOW, "the first decides; see: tuneval list metrics", metavar="auto|A,B")
    ] = "auto",
    primary: Annotated[
        str, _option(HOW, "another metric decides", metavar="NAME", rare=True)
    ] = "auto",
    perturb: Annotated[
        str,
        _option(HOW, "changed inputs too, e.g. typos,long:2x,gender", metavar="NAME[:LEVEL],.."),
    ] = "none",
    robustness: Annotated[
        bool, _option(HOW, "the standard suite of changed inputs", "--robustness")
    ] = False,
    judge: Annotated[
        list[str] | None,
        _option(HOW, "who compares two answers; repeatable", metavar="MODEL|openai:NAME"),
    ] = None,
    judge_url: Annotated[
        str | None, _option(HOW, "OpenAI-compatible server of the judge", metavar="URL", rare=True)
    ] = None,
    until_decided: Annotated[
        bool, _option(HOW, "draw cases at random, stop when decided", "--until-decided")
    ] = False,
    margin: Annotated[
        float | None,
        _option(HOW, "with it: also stop when within that margin", metavar="POINTS", rare=True),
    ] = None,
    backend: Annotated[
        str,
        _option(
            MACHINE,
            "who runs the models: hf, vllm, openai (a server), ray",
            metavar="NAME",
            rare=True,
        ),
    ] = "hf",
    base_url: Annotated[
        str | None,
        _option(MACHINE, "server of the models; openai unless --backend", metavar="URL", rare=True),
    ] = None,
    tokenizer: Annotated[
        list[str] | None,
        _option(
            MACHINE,
            "of a served model: prompts are written here; repeatable",
            metavar="[NAME=]DIR",
            rare=True,
        ),
    ] = None,
    device: Annotated[
        str, _option(MACHINE, "cpu, mps, cuda, cuda:1, ...", metavar="auto|NAME")
    ] = "auto",
    dtype: Annotated[
        str, _option(MACHINE, "float32, bfloat16, float16", metavar="auto|NAME", rare=True)
    ] = "auto",
    batch_size: Annotated[
        str, _option(MACHINE, "requests per batch", metavar="auto|N", rare=True)
    ] = "auto",
    threads: Annotated[
        str, _option(MACHINE, "CPU threads (auto: 1 for small models)", metavar="auto|N", rare=True)
    ] = "auto",
    workers: Annotated[
        str | None,
        _option(MACHINE, "processes: one a GPU, or a core", metavar="auto|N", rare=True),
    ] = None,
    offline: Annotated[bool, _option(MACHINE, "never ask the hub", "--offline")] = False,
    head_labels: Annotated[
        str | None,
        _option(MACHINE, "what a classifier's outputs are, in order", metavar="A,B,..", rare=True),
    ] = None,
    allow_base_mismatch: Annotated[
        bool,
        _option(MACHINE, "adapter may name another base", "--allow-base-mismatch", rare=True),
    ] = False,
    allow_pickle_weights: Annotated[
        bool, _option(MACHINE, "load .bin weights, data only", "--allow-pickle-weights", rare=True)
    ] = False,
    tokenizer_from: Annotated[
        str,
        _option(MACHINE, "whose tokenizer an adapter uses", metavar="auto|base|adapter", rare=True),
    ] = "auto",
    output_dir: Annotated[
        str, _option(OUTPUT, "where run folders go", "--output-dir", metavar="DIR")
    ] = "tuneval-runs",
    name: Annotated[
        str | None, _option(OUTPUT, "name of the run", metavar="TEXT", rare=True)
    ] = None,
    report: Annotated[
        str, _option(OUTPUT, "html, md, csv beside result.json", metavar="KIND,..")
    ] = "html",
    track: Annotated[
        str,
        _option(OUTPUT, "mlflow, wandb, trackio, tensorboard", metavar="TRACKER,..", rare=True),
    ] = "",
    fail_on: Annotated[
        str | None,
        _option(OUTPUT, "worse, warning, inconclusive: exit 1 or 4", metavar="WHAT,..", rare=True),
    ] = None,
    resamples: Annotated[
        int, _option(OUTPUT, "bootstrap and permutation draws", metavar="N", rare=True)
    ] = 10_000,
    resampling_seed: Annotated[int, _option(OUTPUT, "their seed", metavar="N", rare=True)] = 0,
) -> None:
    """Carry the signature; nothing calls it."""


def takes_comparison(command: Callable[..., int]) -> Callable[..., int]:
    """Give ``command(words, **own)`` the options of a comparison, gathered in one mapping."""
    shared = inspect.signature(_words, eval_str=True).parameters
    own = {
        name: one
        for name, one in inspect.signature(command, eval_str=True).parameters.items()
        if name != "words"
    }

    def wrapper(**given: Any) -> int:
        return command(
            {name: given[name] for name in shared}, **{name: given[name] for name in own}
        )

    wrapper.__doc__ = command.__doc__
    wrapper.__name__ = command.__name__
    parameters = [*shared.values(), *own.values()]
    wrapper.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in parameters]
    )
    wrapper.__annotations__ = {one.name: one.annotation for one in parameters}
    return wrapper


def to_options(words: dict[str, Any]) -> dict[str, Any]:
    """Command-line words -> keyword arguments of ``plan.words.describe_run``."""
    task_options = {
        key: words[key]
        for key in ("scoring", "prompt_style", "max_tokens", "stop", "stride")
        if words[key] not in (None, [], ())
    }
    if "stop" in task_options:
        task_options["stop"] = [one.replace("\\n", "\n") for one in task_options["stop"]]
    cases = {
        "task": words["task"],
        "columns": {
            key: words[key] for key in ("input", "reference", "cluster") if words[key] is not None
        },
        "labels": _labels(words["labels"]),
        "groups": words["group"] or (),
        "limit": to_number(words["limit"]),
        "split": words["split"],
        "few_shot": words["few_shot"] or None,
        "few_shot_file": words["few_shot_file"],
        "skip_bad_rows": words["skip_bad_rows"],
        "turns": words["turns"],
        "template": None if words["prompt"] == AUTO else _text_or_file(words["prompt"]),
        "options": task_options,
    }
    return {
        "said": spelled(words),
        "base": _either(words["base"], words["base_model"]),
        "adapters": words["adapter"] or (),
        "full": words["full"] or (),
        "data": words["data"] or (),
        "benchmarks": [name for one in words["benchmark"] or () for name in _listed(one)],
        "guards": words["guard"] or (),
        "benchmark_data": words["benchmark_data"],
        "adversarial": words["adversarial"] or (),
        "ood": words["ood"] or (),
        "judge": judges_of(words["judge"], words["judge_url"]),
        "revision": words["revision"],
        "base_as": words["base_as"],
        "trust_remote_code": words["trust_remote_code"],
        "training_log": None if words["training_log"] == "none" else words["training_log"],
        "cases": cases,
        "name": words["name"],
        "train_data": words["train_data"],
        "validation": words["validation"],
        "prompting": {
            "chat_template": words["chat_template"],
            "allow_lost_questions": words["allow_lost_questions"],
            "thinking": words["thinking"],
            "system": words["system"],
            "trial": _trial(words["prompt"], is_off=words["no_prompt_trial"]),
        },
        "metrics": _metrics(_listed(words["metrics"]), words["primary"]),
        "perturbations": _perturbations(words["perturb"], words["robustness"]),
        "statistics": {
            "until_decided": words["until_decided"],
            "decided_margin_points": words["margin"],
            "resamples": words["resamples"],
            "resampling_seed": words["resampling_seed"],
        },
        "backend": {
            "kind": "openai"
            if words["base_url"] and words["backend"] == "hf"
            else words["backend"],
            "base_url": words["base_url"],
            "tokenizers": _tokenizers(words["tokenizer"] or ()),
            "head_labels": _listed(words["head_labels"] or ""),
        }
        | {
            key: _number_or_text(words[key])
            for key in (
                "device",
                "dtype",
                "batch_size",
                "threads",
                "workers",
                "offline",
                "allow_base_mismatch",
                "allow_pickle_weights",
                "tokenizer_from",
            )
        },
        "output": {
            "dir": words["output_dir"],
            "reports": _listed(words["report"]),
            "track": _listed(words["track"]),
            "fail_on": fail_on_words(words["fail_on"]),
        },
    }


def spelled(words: dict[str, Any]) -> list[str]:
    """All that was said beside BASE, as words of a command line."""
    said: list[str] = []
    for name, parameter in inspect.signature(_words).parameters.items():
        value = words[name]
        if name in ("base", "base_model") or not value or value == parameter.default:
            continue
        flag = f"--{name.replace('_', '-')}"
        values = value if isinstance(value, list) else [value]
        said += [word for one in values for word in ((flag,) if one is True else (flag, str(one)))]
    return said


def _either(argument: str | None, option: str | None) -> str | None:
    from tuneval.errors import ConfigError

    if argument is not None and option is not None and argument != option:
        raise ConfigError(f'two base models: "{argument}" and --base "{option}". Give one.')
    return argument or option


def _trial(prompt: str | None, *, is_off: bool) -> str:
    from tuneval.errors import ConfigError

    if prompt == AUTO and is_off:
        raise ConfigError("--prompt auto needs the trial that --no-prompt-trial turns off.")
    return "take" if prompt == AUTO else "none" if is_off else "warn"


def _metrics(names: list[str], primary: str) -> dict[str, Any]:
    if names in ([], ["auto"]):
        return {"primary": primary}
    return {"primary": names[0] if primary == "auto" else primary, "also": names}


def _perturbations(named: str, is_suite: bool) -> list[str]:
    """Those named, and with --robustness the standard suite."""
    from tuneval.perturbations import STANDARD

    own = [] if named == "none" else _listed(named)
    return list(dict.fromkeys([*own, *([STANDARD] if is_suite else [])]))


def judges_of(models: Sequence[str] | None, url: str | None) -> list[dict[str, Any]] | None:
    """Read --judge and --judge-url. The address is that of every judge called openai:NAME, and of all
    where none is called so."""
    from tuneval.errors import ConfigError

    if not models:
        if url is not None:
            raise ConfigError("--judge-url without --judge: name the judge's model, too.")
        return None
    are_served = [one.startswith("openai:") for one in models]
    if url is not None and not any(are_served):
        are_served = [True] * len(models)
    return [
        {"model": model.removeprefix("openai:"), "backend": "openai", "base_url": url}
        if is_served
        else {"model": model}
        for model, is_served in zip(models, are_served, strict=True)
    ]


def _tokenizers(words: Sequence[str]) -> dict[str, str]:
    """Read "NAME=DIR" as the tokenizer of one variant and "DIR" as that of every other."""
    named = (word.partition("=") if "=" in word else ("*", "=", word) for word in words)
    return {name: folder for name, _, folder in named}


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _number_or_text(value: Any) -> Any:
    return int(value) if isinstance(value, str) and value.isdigit() else value


def to_number(text: str | None) -> int | float | str | None:
    """Keep 1 (one case) apart from 1.0 (all of them); anything else is the config's to refuse."""
    if text is None:
        return None
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _labels(text: str | None) -> list[str] | dict[str, str] | None:
    """Read "a,b" as a set of labels and "0=a,1=b" as names of raw values."""
    if text is None:
        return None
    parts = _listed(text)
    if all("=" in part for part in parts):
        return {key.strip(): name.strip() for key, name in (part.split("=", 1) for part in parts)}
    return parts


def _text_or_file(text: str | None) -> str | None:
    """A prompt may be given as a file; anything with a line break or a column in braces is text."""
    from pathlib import Path

    from tuneval.errors import ConfigError

    if text is None or "\n" in text or "{" in text:
        return text.replace("\\n", "\n") if text else text
    try:
        return Path(text).read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(
            f'--prompt "{text}" is neither a file nor a template: a template names a column in '
            'braces, e.g. "{text}\\nLabel:".'
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f'--prompt "{text}" cannot be read as a text file: {error}.') from None
