"""Numbers with intervals -> what may be said: multiplicity, power, verdicts, their sentences."""
