"""The transformers + PEFT backend: ``weights``, ``text`` and ``passes``, joined by ``backend``."""
