"""One run, from a Plan to a RunResult; outputs that exist already; judging; the run's folder.

The room is not called ``run``: that name is the public function ``tuneval.run``, which a subpackage
of the same name would hide as soon as it is imported.
"""
