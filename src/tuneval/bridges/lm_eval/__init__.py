"""The tasks of an installed lm-evaluation-harness, asked by our engine and compared by our statistics.

lm-eval words the requests, filters the answers and measures each document; how a task's numbers are
summed up is looked up in a short table, and what is no sum is refused. Not for: its models, its
caches, its statistics.
"""
