"""The transformers + PEFT backend, split by verb: describe, load, render, schedule, score, generate."""
