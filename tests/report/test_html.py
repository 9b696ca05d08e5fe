"""The page is one safe file: no request, no inline code, hostile texts as text, readable colours."""

from __future__ import annotations

import base64
import dataclasses
import gzip
import hashlib
import json
import re
import time
from html.parser import HTMLParser
from importlib.resources import files
from typing import Any

import pytest

from report.finished_run import HOSTILE_TEXTS, finished_run, five_arms, many_arms, with_benchmark
from tuneval.report import html
from tuneval.types import Finding, RunResult

RUN = finished_run(40)
PAGE = html.render(RUN)
PAGES = {
    "usual": PAGE,
    "five arms": html.render(five_arms(RUN)),
    "two case sets": html.render(with_benchmark(RUN)),
    "notebook": html.render_summary(RUN),
}


class Reader(HTMLParser):
    """Collects what a test asks about: elements with attributes, and texts by element."""

    void = frozenset({"meta", "input", "br", "link", "img"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.scripts: list[str] = []
        self.open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in self.void:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"{tag} closed out of order"

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.scripts.append(data)
        elif not self.open or self.open[-1] != "style":
            self.texts.append(data)


@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)
def test_is_well_formed_and_asks_for_nothing(page: str) -> None:
    reader = Reader(page)
    assert not reader.open
    for tag, attributes in reader.elements:
        assert tag not in {"link", "img", "iframe", "object", "embed", "base", "form"}
        assert not {"src", "style", "action", "srcset", "xlink:href"} & attributes.keys(), tag
        assert not [name for name in attributes if name.startswith("on")]
        assert (attributes.get("href") or "#").startswith("#")
    for style in re.findall(r"<style>(.*?)</style>", page, re.DOTALL):
        assert "url(" not in style
        assert "@import" not in style


@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)
def test_ids_are_unique_and_labels_resolve(page: str) -> None:
    elements = Reader(page).elements
    ids = [attributes["id"] for _, attributes in elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    wanted = {a["aria-labelledby"] for _, a in elements if "aria-labelledby" in a}
    assert wanted <= set(ids)


def test_policy_allows_exactly_this_script_and_style() -> None:
    policy = next(a["content"] for t, a in Reader(PAGE).elements if a.get("http-equiv"))
    assert policy is not None
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    for kind in ("script", "style"):
        texts = re.findall(rf"<{kind}>(.*?)</{kind}>", PAGE, re.DOTALL)
        assert len(texts) == 1
        digest = base64.b64encode(hashlib.sha256(texts[0].encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy


def _data(page: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/gzip" id="data">([\w+/=]*)</script>', page)
    assert found
    content: dict[str, Any] = json.loads(gzip.decompress(base64.b64decode(found[1])))
    return content


def test_hostile_texts_are_data_only() -> None:
    texts = [case[1] for case in _data(PAGE)["cases"]]
    assert texts[: len(HOSTILE_TEXTS)] == list(HOSTILE_TEXTS)
    assert PAGE.count("<script") == 2
    assert not [tag for tag, _ in Reader(PAGE).elements if tag == "img"]


def test_answers_survive_packing() -> None:
    data = _data(PAGE)
    for name, answers in data["answers"].items():
        for packed, prediction, score in zip(
            answers, RUN.predictions[name], RUN.case_scores[name], strict=True
        ):
            if prediction.label is not None:
                assert data["labels"][packed[0]] == prediction.label
            assert (packed[1] if len(packed) > 1 else None) == score
    assert data["pairs"] == [[flips.baseline, flips.candidate] for flips in RUN.flips]


def test_prompts_survive_packing() -> None:
    data = _data(PAGE)
    texts = [case[1] for case in data["cases"]]
    for name, places in data["asked"].items():
        for text, place, original in zip(texts, places, RUN.prompt_places[name], strict=True):
            shape, whole, continuation, *cut = [*data["prompts"][place], None, None, None][:5]
            if shape is not None:
                before, after = data["shapes"][shape]
                whole = before + text + after
            prompt = RUN.prompts[original or 0]
            assert (whole, continuation) == (prompt.text, prompt.continuation)
            assert (cut[0] or 0, cut[1]) == (prompt.n_cut, prompt.cut_at)
    assert len(data["shapes"]) == 2


def test_every_chart_has_title_and_numbers() -> None:
    charts = re.findall(r"<figure>.*?</figure>", PAGE, re.DOTALL)
    assert len(charts) >= 10
    for chart in charts:
        assert re.search(r'role="(img|group)" view.*?<title>\S', chart, re.DOTALL)
        assert "<details>" in chart


def test_flips_link_into_the_browser() -> None:
    flips = RUN.flips[0]
    pair = "from=base&amp;to=lora-0"
    assert f'href="#cases?show=fixed&amp;{pair}"><b>{len(flips.fixed)}</b>' in PAGE
    assert f'href="#cases?show=broken&amp;{pair}"><b>{len(flips.broken)}</b>' in PAGE


def test_private_holds_no_text_of_any_case() -> None:
    page = html.render(finished_run(40, hostile=False), private=True)
    for case in finished_run(40, hostile=False).case_sets[0].cases:
        assert str(case.inputs["text"]) not in page
    assert 'id="data"' not in page


def test_too_long_texts_keep_what_tells_most() -> None:
    result = finished_run(60)
    page = html.render(result, most_text_bytes=9000)
    data = _data(page)
    kept = {case[0] for case in data["cases"]}
    assert 0 < len(kept) < len(result.case_sets[0].cases)
    assert f"it keeps {len(kept)} of 180 cases" in page
    assert set(result.flips[0].broken) <= kept
    assert {len(answers) for answers in data["answers"].values()} == {len(kept)}


def test_incomplete_says_so_and_how_to_go_on() -> None:
    page = html.render(dataclasses.replace(RUN, is_complete=False))
    assert "<h2>INCOMPLETE</h2>" in page
    assert "tuneval run ./tuneval-runs/support-3f9c21/run.yaml" in page
    assert "Fine-tuning improved" not in page


@pytest.mark.parametrize(
    ("result", "limit"),
    [
        (RUN, "full is one training run"),
        (finished_run(20, perturbed=False), "changed inputs were not tried"),
        (dataclasses.replace(RUN, variants=RUN.variants[:4]), "the LoRA gap is unknown"),
        (dataclasses.replace(RUN, learning_curves=()), "No training log was read"),
        (RUN, "detect differences in accuracy between base and lora from about 3.1 points on"),
    ],
)
def test_limits_of_the_evidence(result: RunResult, limit: str) -> None:
    assert limit in html.render(result)


def test_many_cases_stay_small_and_quick() -> None:
    result = finished_run(15_000, perturbed=False)
    begin = time.perf_counter()
    page = html.render(result)
    assert time.perf_counter() - begin < 10
    assert len(page.encode()) < 2e6


def _palettes() -> dict[str, dict[str, str]]:
    css = (files("tuneval.report") / "templates" / "summary.css").read_text("utf-8")
    blocks = re.findall(r"\{([^{}]*--paper:[^{}]*)\}", css)
    light, dark, forced = (dict(re.findall(r"--([\w-]+): (#\w{6})", block)) for block in blocks)
    assert dark == forced
    return {"light": light, "dark": dark}


def _contrast(one: str, other: str) -> float:
    def luminance(color: str) -> float:
        parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        r, g, b = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
        return 0.2126 * r + 0.7152 * g + 0.0722 * b

    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_contrast_is_at_least_4_5(theme: str) -> None:
    palette = _palettes()[theme]
    inks = [name for name in palette if name not in {"paper", "card", "wash", "line", "on-fill"}]
    assert len(inks) == 18
    for ink in inks:
        for ground in ("paper", "card", "wash"):
            assert _contrast(palette[ink], palette[ground]) >= 4.5, (ink, ground)
        if re.match("base|adapter|full|bad", ink):
            assert _contrast(palette["on-fill"], palette[ink]) >= 4.5, ink


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_numbers_on_heat_maps_can_be_read(theme: str) -> None:
    from tuneval.report.charts.confusion import DARK_ABOVE, _opacity

    palette = _palettes()[theme]

    def mixed(color: str, opacity: float) -> str:
        pairs = [
            (int(color[i : i + 2], 16), int(palette["wash"][i : i + 2], 16)) for i in (1, 3, 5)
        ]
        return "#" + "".join(f"{round(a * opacity + b * (1 - opacity)):02x}" for a, b in pairs)

    for name in ("base-0", "adapter-0", "full-0", "bad"):
        for share, ink in ((DARK_ABOVE, "ink"), (0.01, "ink"), (DARK_ABOVE + 0.01, "on-fill")):
            ground = mixed(palette[name], _opacity(share))
            assert _contrast(palette[ink], ground) >= 4.5, (name, share)


def test_findings_stand_under_their_check_warnings_first() -> None:
    page = Reader(PAGE)
    text = " ".join(" ".join(page.texts).split())
    block = text[text.index("Beyond the score") : text.index("How it was learned")]
    titles = ["Swapped words about people", "Can its confidence be trusted", "Leaked cases"]
    places = [block.index(title) for title in [*titles, "House rules"]]
    assert places == sorted(places), "known checks in reading order, others after them"
    assert "8 of 400 cases occur in the training file." in block
    assert "100.0" in block and "n/a" in block, "shares times 100, undefined said"


def test_bins_of_confidence_are_drawn() -> None:
    assert "full: how often right, by confidence" in " ".join(Reader(PAGE).texts)


def test_a_run_without_findings_has_no_such_section() -> None:
    assert 'id="beyond"' not in html.render(dataclasses.replace(RUN, findings=()))


def test_warnings_are_said_without_any_pair() -> None:
    alone = dataclasses.replace(RUN, verdicts=(), headline="SCORES ONLY")
    assert (
        "8 of 400 cases occur in the training file." in html.render(alone).split("All metrics")[0]
    )


def test_many_arms_stand_below_one_another_the_best_first() -> None:
    names = [f"lora-{place}" for place in "abcdef"]
    run = many_arms(RUN, names)
    scores = {"lora-a": 0.7, "lora-b": 0.95, "lora-c": 0.9, "lora-d": 0.94}
    verdicts = (
        dataclasses.replace(RUN.verdicts[0], candidate="lora-b", headline="BETTER"),
        dataclasses.replace(RUN.verdicts[0], candidate="lora-a", headline="WORSE"),
    )
    ranking = Finding(
        "ranking", "", "test", "accuracy", "note", "Best: lora-b.",
        columns={"candidate": "text", "against": "text", "p adjusted": "number"},
        rows=(("lora-d", "lora-b", 0.4), ("lora-c", "lora-b", 0.001)),
    )  # fmt: skip
    run = dataclasses.replace(
        run,
        verdicts=verdicts,
        findings=(ranking,),
        scores=tuple(
            dataclasses.replace(s, value=scores.get(s.variant, 0.5))
            if s.metric == "accuracy"
            else s
            for s in run.scores
        ),
    )
    page = html.render(run)
    table = page[page.index('<table class="standing">') :]
    table = re.sub(r"<[^>]*>", " ", table[: table.index("</table>")])
    places = [table.rindex(name) for name in ("lora-b", "lora-d", "lora-c", "lora-a", "base")]
    assert places == sorted(places)
    rows = {name: table[at : at + 60] for name, at in zip("bdca", places, strict=False)}
    assert "best" in rows["b"] and "not told apart" in rows["d"] and "best" not in rows["c"]
    assert "better" in table and "worse" in table
    assert 'class="cards"' not in page


def test_warnings_without_room_stand_by_kind() -> None:
    found = tuple(
        Finding("robustness", f"arm-{n}", "test", "typos", "warning", f"arm-{n} is brittle <{n}>.")
        for n in range(14)
    )
    verdict = dataclasses.replace(RUN.verdicts[0], warnings=tuple(one.sentence for one in found))
    silent = Finding(
        "house rules", "lora", "test", "", "clear", ""
    )  # says nothing, so is no source
    page = html.render(dataclasses.replace(RUN, findings=(silent, *found), verdicts=(verdict,)))
    first = page.split("All metrics")[0]
    summary = re.search(r'<details class="group"><summary>(.*?)</summary>', first, re.DOTALL)
    assert summary
    text = re.sub(r"<[^>]*>", "", summary[1])
    n = int(re.search(r"Changed inputs: (\d+) more warnings", text)[1])  # type: ignore[index]
    assert "arm-13" in text and "&lt;13&gt;" in first
    shown = first.split('<details class="group">')[0]
    assert sum(f"is brittle &lt;{k}&gt;" in shown for k in range(14)) == 14 - n


def test_effort_stands_in_one_table() -> None:
    table = PAGE[PAGE.index("<h3>Effort</h3>") :]
    rows = re.findall(r"<tr>(.*?)</tr>", table[: table.index("</table>")], re.DOTALL)
    cells = [re.sub(r"<[^>]*>", " ", row).split() for row in rows]
    assert cells[1] == ["base", "120", "3,840", "240", "2.5", "1,632"]
    assert "<h3>Effort</h3>" not in html.render(dataclasses.replace(RUN, effort=()))
