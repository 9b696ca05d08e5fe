"""The second lap: a judge compares the texts of two arms, its verdicts are assessed like predictions."""
