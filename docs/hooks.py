"""What the build of the pages adds: pages from the root, the demo's report and its picture.

Called by mkdocs (mkdocs.yml). A link to a file of the repository that is no page becomes its name.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
RUN = ROOT / "build" / "docs-run"
"""Where ``make docs`` lets the demo run."""
FROM_ROOT = {"CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
OUTSIDE = re.compile(r"\[([^\]]+)\]\(\.\./(?!tutorials|decisions)([^)#]+)(#[^)]*)?\)")
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
PLACE = "<!-- the report of the demo -->"
SIZE = "1200,1500"


def on_files(files: Files, config: Any) -> Files:
    """Add pages that lie in the root, and the report of the demo."""
    for name, page in FROM_ROOT.items():
        text = (ROOT / name).read_text(encoding="utf-8").replace("](docs/", "](")
        files.append(File.generated(config, page, content=text))
    report = _report()
    if report is not None:
        files.append(File.generated(config, "demo/report.html", abs_src_path=str(report)))
        picture = _picture(report)
        if picture is not None:
            files.append(File.generated(config, "demo/report.png", abs_src_path=str(picture)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Show the report where a page asks for it; name what is no page."""
    if PLACE in markdown:
        markdown = markdown.replace(PLACE, _shown(files))
    if page.file.src_uri.count("/"):
        return markdown
    return OUTSIDE.sub(_inside, markdown)


def _inside(found: re.Match[str]) -> str:
    text, target, anchor = found.groups()
    page = FROM_ROOT.get(target)
    return f"[{text}]({page}{anchor or ''})" if page else text


def _shown(files: Files) -> str:
    if files.get_file_from_path("demo/report.html") is None:
        return "`tuneval demo` writes such a report beside every run."
    link = "[Open the whole report](demo/report.html)"
    if files.get_file_from_path("demo/report.png") is None:
        return link
    return f"[![The report of the demo](demo/report.png)](demo/report.html)\n\n{link}"


def _report() -> Path | None:
    found = sorted(RUN.glob("*/report.html"), key=lambda path: path.stat().st_mtime)
    return found[-1] if found else None


def _picture(report: Path) -> Path | None:
    """The first screen as a browser draws it; None where there is no browser."""
    browser = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if browser is None:
        return None
    picture = RUN / "report.png"
    words = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    words += [f"--window-size={SIZE}", f"--screenshot={picture}", report.resolve().as_uri()]
    subprocess.run([browser, *words], check=True, capture_output=True, timeout=120)
    return picture
