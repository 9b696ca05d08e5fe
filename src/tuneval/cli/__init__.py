"""Words -> RunSpec -> pipeline -> report; the only place that knows exit codes."""
