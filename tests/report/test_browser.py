"""The report open in Chromium: every control does what it says, hostile texts stay text."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from report.chromium import CHROMIUM, Tab
from report.finished_run import (
    HOSTILE_TEXTS,
    finished_run,
    five_arms,
    free_text,
    with_benchmark,
)
from report.test_escape import HIDING, JOINED, ORDINARY
from tuneval.report import escape, html, predictions

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")

slow = pytest.mark.slow
RUN = finished_run(120)
GRADED = free_text(finished_run(60))


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    tab = Tab(tmp_path_factory.mktemp("chromium"))
    yield tab
    tab.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Name -> address of a page on disk."""
    folder = tmp_path_factory.mktemp("pages")
    made = {
        "labels": html.render(RUN),
        "graded": html.render(GRADED),
        "cut": html.render(RUN, most_text_bytes=9000),
        "five arms": html.render(five_arms(finished_run(20))),
        "two case sets": html.render(with_benchmark(finished_run(20))),
        "private": html.render(finished_run(20), private=True),
        # Nothing to fix or break, and no verdict.
        "incomplete": html.render(
            dataclasses.replace(finished_run(20), flips=(), is_complete=False)
        ),
    }
    for name, page in made.items():
        (folder / f"{name}.html").write_text(page, encoding="utf-8")
    return {name: (folder / f"{quote(name)}.html").as_uri().replace("%25", "%") for name in made}


@pytest.fixture
def open_page(tab: Tab, pages: dict[str, str]) -> Iterator[Callable[..., Tab]]:
    """Open a page, afresh and at 1280 px; nothing may be logged and nothing asked for but the page."""
    tab.resize(1280, 900)
    tab.console.clear()
    tab.requests.clear()

    def opened(name: str, fragment: str = "") -> Tab:
        tab.goto(pages[name])
        tab.run("localStorage.clear()")
        tab.goto(pages[name] + fragment)
        return tab

    yield opened
    assert tab.console == []
    assert {one.split("#")[0] for one in tab.requests} <= {*pages.values(), "about:blank"}


def _rows(tab: Tab) -> int:
    return int(tab.run("document.documentElement.dataset.rows"))


def test_hostile_texts_are_shown_as_text(open_page: Callable[..., Tab]) -> None:
    tab = open_page("labels")
    shown = tab.run("document.getElementById('rows').innerText")
    assert HOSTILE_TEXTS[0] in shown
    assert "\\x1b[31mred\\x1b[0m \\x1b]52;c;aGk=\\x07" in shown
    assert "right \\u202eto left\\u202c and \\u2028 separator" in shown
    assert tab.run("document.scripts.length") == 2
    assert tab.run("document.images.length") == 0
    assert tab.run("document.title") == "support-intents: better, with warnings"
    assert tab.run("document.querySelectorAll('#rows > li').length") == 50
    assert tab.run("document.getElementById('announce').textContent") == "120 cases"


@pytest.mark.parametrize(
    ("fragment", "expected"),
    [
        ("#cases?show=fixed&to=full", lambda: len(RUN.flips[1].fixed)),
        ("#cases?show=broken", lambda: len(RUN.flips[0].broken)),
        ("#cases?kind=&page=99", lambda: 360),
        ("#cases?kind=typos%3Amedium", lambda: 120),
        ("#cases?find=no+such+text", lambda: 0),
        (
            "#cases?group=writer%3Dlearner",
            lambda: sum(
                c.groups["writer"] == "learner" and c.origin is None for c in RUN.case_sets[0].cases
            ),
        ),
        (
            "#cases?label=refund&got=billing&by=base",
            lambda: RUN.confusions[0].counts[2][1],
        ),
        ("#cases?got=unread&by=base", lambda: sum(row[-1] for row in RUN.confusions[0].counts)),
        ("#cases?named=Leaked+cases", lambda: 1),  # of the two, one is no case of the run
        ("#cases?show=promptcut", lambda: 14),
        ("#cases?show=constructor&from=nobody&group=%00&x=1&sort=__proto__", lambda: 0),
    ],
)
def test_view_can_be_linked(
    open_page: Callable[..., Tab], fragment: str, expected: Callable[[], int]
) -> None:
    assert _rows(open_page("labels", fragment)) == expected()


def test_every_link_of_the_page_leads_to_cases(open_page: Callable[..., Tab]) -> None:
    tab = open_page("labels")
    links = tab.run("[...new Set([...document.querySelectorAll('a[href^=\"#cases?\"]')]"
                    ".map(a => a.getAttribute('href')))]")  # fmt: skip
    assert len(links) > 20
    for link in links:
        tab.run(f"location.hash = {json.dumps(link)}")
        tab.wait("document.documentElement.dataset.rows !== '0'")


def test_an_opened_case_shows_every_answer(open_page: Callable[..., Tab]) -> None:
    tab = open_page("labels", "#cases?open=test.jsonl%3A106")
    opened = tab.run("document.querySelector('.open').innerText")
    for name in ("base", "lora-0", "lora-1", "lora-2", "full"):
        assert name in opened
    # A prompt that several read is held once.
    assert opened.count("Prompt as sent to base, lora-0, lora-1, lora-2") == 1
    assert opened.count("Prompt as sent to full") == 1
    assert "<s><|user|>Message: " in opened
    # It lies on the third page of the list, and the reader lands on it.
    assert tab.run("document.getElementById('range').textContent") == "101–120 of 120"
    top = tab.run("document.querySelector('#rows details[open]').getBoundingClientRect().top")
    assert 0 <= top < 200


def test_twins_lead_to_one_another(open_page: Callable[..., Tab]) -> None:
    tab = open_page("labels", "#cases?open=test.jsonl%3A7")
    assert tab.run("document.querySelector('.twins').innerText.trim()") == "typos:medium long:2x"
    tab.click(".twins a")
    tab.wait("decodeURIComponent(location.hash).includes('test.jsonl:7~typos:medium')")
    tab.wait("document.querySelector('.twins a')?.textContent === 'the original'")


def test_sorting_puts_what_it_says_first(open_page: Callable[..., Tab]) -> None:
    tab = open_page("labels", "#cases?sort=losses")
    first = tab.run("document.querySelector('#rows .id').textContent")
    assert first in RUN.flips[0].broken
    tab.run("location.hash = '#cases?sort=long'")
    tab.wait("decodeURIComponent(location.hash).includes('long')")
    texts = {c.id: str(c.inputs["text"]) for c in RUN.case_sets[0].cases if c.origin is None}
    longest = max(map(len, texts.values()))
    tab.wait("document.querySelector('#rows .id') !== null")
    shown = tab.run("document.querySelector('#rows .id').textContent")
    assert len(texts[shown]) == longest


def test_search_reads_answers_and_other_columns(open_page: Callable[..., Tab]) -> None:
    tab = open_page("labels")
    find = (
        "(text) => { const box = document.getElementById('search'); box.value = text;"
        "box.dispatchEvent(new Event('input')); }"
    )
    tab.run(f"({find})('1011')")  # the order number, a column that no prompt reads
    tab.wait("document.documentElement.dataset.rows === '1'")
    tab.run(f"({find})('MY PARCEL')")
    tab.wait("document.documentElement.dataset.rows !== '1'")
    n = sum(
        "my parcel" in str(c.inputs["text"]).lower() and c.origin is None
        for c in RUN.case_sets[0].cases
    )
    assert _rows(tab) == n


def test_graded_answers_are_neither_right_nor_wrong(open_page: Callable[..., Tab]) -> None:
    tab = open_page("graded", "#cases?open=test.jsonl%3A7")
    rows = tab.run("document.getElementById('rows').innerHTML")
    assert "score 0.857" in rows
    assert not re.search('class="(right|wrong)"', rows)
    assert "<ins>should</ins><del>will</del>" in rows
    labels = tab.run("[...document.querySelectorAll('#shows button')].map(b => b.innerText)")
    assert labels[1].startswith("Worse") and labels[2].startswith("Better")


def test_pictures_select_cases(open_page: Callable[..., Tab], tmp_path: Path) -> None:
    tab = open_page("graded")
    tab.run("document.querySelector('.more').open = true")
    tab.wait("!document.getElementById('pictures').hidden")
    counts = tab.run(
        "[...document.querySelectorAll('.histogram .pick title')].map(t => t.textContent)"
    )
    n = int(re.search(r": (\d+) cases", counts[0])[1])  # type: ignore[index]
    tab.run(
        "document.querySelector('.histogram .pick').dispatchEvent(new Event('click', {bubbles: true}))"
    )
    assert _rows(tab) == n
    assert "low=" in tab.run("location.hash")
    tab.click("#clear")
    assert _rows(tab) == 60
    spot = tab.run(
        "(() => { const r = document.querySelector('.spot').getBoundingClientRect();"
        "return [r.x + r.width / 2, r.y + r.height / 2]; })()"
    )
    tab.run("document.querySelector('.more').open = true")
    spot = tab.run(
        "(() => { const s = document.querySelector('.spot'); const r = s.getBoundingClientRect();"
        "const at = {clientX: r.x + r.width / 2, clientY: r.y + r.height / 2, bubbles: true};"
        "const said = s.querySelector('title').textContent;"
        "s.dispatchEvent(new PointerEvent('pointerdown', at));"
        "document.querySelector('.map').dispatchEvent(new PointerEvent('pointerup', at));"
        "return said; })()"
    )
    assert _rows(tab) == int(re.search(r": (\d+) cases", spot)[1])  # type: ignore[index]


def test_two_answers_side_by_side(open_page: Callable[..., Tab]) -> None:
    tab = open_page("graded", "#cases?open=test.jsonl%3A7")
    tab.run("document.querySelector('.sides').open = true")
    tab.wait("document.querySelectorAll('.sides pre').length === 2")
    sides = "[...document.querySelectorAll('.sides pre')].map(pre => pre.innerHTML)"
    left, right = tab.run(sides)
    assert "<ins>base.</ins>" in left and "<ins>lora-0.</ins>" in right
    tab.run(
        "(() => { const s = document.querySelectorAll('.sides select')[1]; s.value = 'expected';"
        "s.dispatchEvent(new Event('change')); })()"
    )
    assert "<ins>will</ins>" in tab.run(sides)[1]


def test_the_page_shows_what_the_terminal_shows(open_page: Callable[..., Tab]) -> None:
    tab = open_page("graded")
    texts = [*ORDINARY, *JOINED, *HIDING, *HOSTILE_TEXTS, "\u2028\x85\ufeff", "\U000e0041"]
    script = html._text("js/page.js")
    own = script[script.index("const HIDDEN") :]
    shown = tab.run(f"(() => {{ {own}; return {json.dumps(texts)}.map(visible); }})()")
    assert shown == [escape.terminal(one) for one in texts]


@pytest.mark.parametrize(
    ("own", "other", "expected"),
    [
        ("a b c", "a b c", "a b c"),
        ("a b c", "a x c", "a <ins>b</ins><del>x</del> c"),
        ("", "x", "<del>x</del>"),
        ("x", "", "<ins>x</ins>"),
        ("你好吗", "你好吧", "你好<ins>吗</ins><del>吧</del>"),
        ("a <b> c", "a c", "a <ins>&lt;b&gt; </ins>c"),
    ],
)
def test_difference_word_by_word(
    open_page: Callable[..., Tab], own: str, other: str, expected: str
) -> None:
    tab = open_page("graded")
    # The function is inside the page's scope: its file is read again beside it.
    parts = "\n".join(html._text(f"js/{name}.js") for name in ("diff",))
    helpers = (
        "const element = (tag, c, text) => { const n = document.createElement(tag);"
        "if (text !== undefined) n.textContent = text; return n; }; const visible = (t) => t;"
    )
    call = f"return compared({json.dumps(own)}, {json.dumps(other)}).innerHTML;"
    found = tab.run(f"(() => {{ {helpers} {parts} {call} }})()")
    merged = re.sub(r"</(ins|del)><\1>", "", found)
    assert merged == expected


def test_difference_gives_both_texts_back(open_page: Callable[..., Tab]) -> None:
    """Whatever the texts: without what is struck out it is the one, without what is underlined the
    other, and no shorter script exists (checked by dynamic programming)."""
    tab = open_page("graded")
    parts = html._text("js/diff.js")
    script = f"""(() => {{ {parts}
      let seed = 7; const dice = (n) => (seed = (seed * 1103515245 + 12345) % 2147483648) % n;
      for (let round = 0; round < 400; round++) {{
        const make = () => Array.from({{length: dice(14)}}, () => "abc"[dice(3)]);
        const a = make(), b = make(), steps = edits(a, b);
        const own = steps.filter(([k]) => k !== "theirs").flatMap(([, p]) => p).join("");
        const other = steps.filter(([k]) => k !== "ours").flatMap(([, p]) => p).join("");
        const cost = steps.filter(([k]) => k !== "same").length;
        const t = Array.from({{length: a.length + 1}}, (_, i) => Array.from({{length: b.length + 1}}, (_, j) => i && j ? 0 : i + j));
        for (let i = 1; i <= a.length; i++) for (let j = 1; j <= b.length; j++)
          t[i][j] = a[i-1] === b[j-1] ? t[i-1][j-1] : 1 + Math.min(t[i-1][j], t[i][j-1]);
        if (own !== a.join("") || other !== b.join("") || cost !== t[a.length][b.length]) return [a, b, steps, t[a.length][b.length]];
      }}
      return "all"; }})()"""
    assert tab.run(script) == "all"


def test_marks_are_kept_and_saved(open_page: Callable[..., Tab], tab: Tab) -> None:
    open_page("labels", "#cases?open=test.jsonl%3A7")
    assert tab.run("document.getElementById('save-marks').hidden")
    tab.click(".marking button:nth-of-type(3)")
    tab.run(
        "(() => { const note = document.querySelector('.marking input'); note.value = 'off topic';"
        "note.dispatchEvent(new Event('input')); })()"
    )
    assert tab.run("document.getElementById('save-marks').textContent") == "Save 1 mark"
    tab.goto(tab.run("location.href"))  # kept in this browser
    tab.run("location.hash = '#cases?show=marked'")
    tab.wait("document.documentElement.dataset.rows === '1'")
    tab.click("#save-marks")
    line = json.loads(_downloaded(tab, "marks-3f9c21.jsonl"))
    assert line == {
        "run": "3f9c21",
        "case_id": "test.jsonl:7",
        "mark": "worse",
        "note": "off topic",
        "baseline": "base",
        "candidate": "lora-0",
    }


def test_selection_is_saved_without_harm(open_page: Callable[..., Tab], tab: Tab) -> None:
    open_page("labels", "#cases?label=refund")
    tab.click("#save button:nth-of-type(2)")
    lines = [json.loads(line) for line in _downloaded(tab, "cases.jsonl").splitlines()]
    assert len(lines) == _rows(tab)
    assert {line["references"][0] for line in lines} == {"refund"}
    assert lines[0]["answers"]["full"].keys() == {"answer", "score", "problem"}
    open_page("labels")
    tab.click("#save button:nth-of-type(3)")
    rows = list(csv.reader(io.StringIO(_downloaded(tab, "cases.csv"))))
    assert len(rows) == 121
    inputs = [row[2] for row in rows[1:]]
    assert inputs[4] == f"'{HOSTILE_TEXTS[4]}"  # a formula no more
    assert "\x1b" not in "".join(inputs)


def _downloaded(tab: Tab, name: str) -> str:
    path = tab.downloads / name
    end = time.monotonic() + 20
    while not (path.exists() and path.stat().st_size):
        assert time.monotonic() < end, name
        time.sleep(0.02)
    time.sleep(0.1)
    text = path.read_bytes().decode("utf-8")
    path.unlink()
    return text


def test_copying_a_case_copies_its_record(open_page: Callable[..., Tab], tab: Tab) -> None:
    open_page("labels", "#cases?open=test.jsonl%3A7")
    tab.run("navigator.clipboard.writeText = async (text) => { window.copied = text; }")
    tab.click(".open .tools button")
    tab.wait("window.copied !== undefined")
    record = json.loads(tab.run("window.copied"))
    assert record["case_id"] == "test.jsonl:7"
    assert record["answers"].keys() == {"base", "lora-0", "lora-1", "lora-2", "full"}


def test_cases_that_had_no_room_come_from_the_side_file(
    open_page: Callable[..., Tab], tab: Tab
) -> None:
    open_page("cut")
    kept = _rows(tab)
    assert kept < 120
    script = (
        "(text) => { const box = document.getElementById('rest');"
        "Object.defineProperty(box, 'files', {value: [new File([text], 'predictions.jsonl')], configurable: true});"
        "box.dispatchEvent(new Event('change')); }"
    )
    tab.run(f"({script})({json.dumps(predictions.render(RUN))})")
    tab.wait("document.documentElement.dataset.rows === '120'")
    tab.run("location.hash = '#cases?show=fixed&to=full'")
    tab.wait(f"document.documentElement.dataset.rows === '{len(RUN.flips[1].fixed)}'")
    tab.run("location.hash = '#cases?kind=long%3A2x'")
    tab.wait("document.querySelector('#rows .id').textContent.includes('long:2x')")
    assert _rows(tab) == 120
    tab.run(f"({script})('<no json>')")
    tab.wait("document.querySelector('#rest + span').textContent.startsWith('this is no')")


def test_keys(open_page: Callable[..., Tab]) -> None:
    tab = open_page("labels", "#cases?show=all")
    tab.press("j")
    focused = "document.activeElement.closest('details')?.dataset.index"
    assert tab.run(focused) == "0"
    tab.press("j")
    tab.press("j")
    tab.press("k")
    assert tab.run(focused) == "1"
    tab.press("Enter")
    tab.wait("document.querySelector('#rows details[open]') !== null")
    tab.press("Escape")
    tab.wait("document.querySelector('#rows details[open]') === null")
    tab.press("n")
    assert tab.run("document.getElementById('range').textContent").startswith("51–100 ")
    tab.press("p")
    assert tab.run("document.getElementById('range').textContent").startswith("1–50 ")
    tab.press("?")
    assert tab.run("document.getElementById('keys').open")
    tab.press("Escape")
    tab.wait("!document.getElementById('keys').open")
    tab.press("/")
    assert tab.run("document.activeElement.id") == "search"


@pytest.mark.parametrize("name", ["five arms", "two case sets", "private", "incomplete"])
def test_other_pages_run_too(open_page: Callable[..., Tab], name: str) -> None:
    tab = open_page(name)
    assert tab.run("document.querySelectorAll('#contents a').length") >= 2


@pytest.mark.parametrize("width", [360, 800, 1280, 1920])
@pytest.mark.parametrize("name", ["labels", "graded", "five arms", "two case sets"])
def test_nothing_is_cut_at_any_width(open_page: Callable[..., Tab], name: str, width: int) -> None:
    """No sideways scrolling of the page; what is wider scrolls inside its own frame."""
    tab = open_page(name)
    tab.resize(width, 900)
    tab.run("document.querySelectorAll('details').forEach((box) => { box.open = true; })")
    assert tab.run("document.documentElement.scrollWidth") <= width
    # No column so narrow that words are broken letter by letter.
    broken = tab.run(
        "[...document.querySelectorAll('.scroll td:not(.mono), .scroll th')].filter((cell) =>"
        " cell.textContent.trim().length > 8 && cell.clientWidth < 40).length"
    )
    assert broken == 0
    assert tab.run("[...document.querySelectorAll('.scroll')].every((one) => one.tabIndex === 0)")


def test_a_link_opens_a_folded_section(open_page: Callable[..., Tab]) -> None:
    tab = open_page("labels")
    tab.run("document.getElementById('how').closest('details').open = false")
    tab.click('#contents a[href="#how"]')
    assert tab.run("document.getElementById('how').closest('details').open")
