"""``python -m tuneval``."""

from tuneval.cli.main import main

main()
