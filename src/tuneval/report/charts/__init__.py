"""Charts of the HTML report as SVG, one file a chart, on the ground of ``svg``, ``scale`` and ``marks``.

Positions and marks only: colours go by class, numbers stand in a table. Every text goes through
``Markup.format`` and is escaped there. No style attributes: the report's content security policy
forbids them.
"""
