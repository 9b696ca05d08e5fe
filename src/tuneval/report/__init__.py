"""RunResult -> text. Computes nothing beyond rounding, so an old run renders without a model.

Each report is a module with ``render(result: RunResult) -> str``; the table's key is also the file
suffix. Everything that came from a model or a data file is hostile text: escape it.
"""

REPORTS = {
    "json": "tuneval.report.results_json:render",
    "html": "tuneval.report.html:render",
    "md": "tuneval.report.markdown:render",
    "csv": "tuneval.report.table_csv:render",
    "junit": "tuneval.report.junit:render",
}
