"""Statistics of the questions beyond the test score, one file a question."""
