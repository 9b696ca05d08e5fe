"""The demo that ships inside the package: test data, a small base, its adapters and full fine-tunes.

Data only; ``examples/demo/make.py`` of the repository made it. Runs nothing.
"""

from importlib.resources import files
from pathlib import Path


def folder() -> Path:
    """Folder of the demo's files, among them ``run.yaml``.

    Raises
    ------
    FileNotFoundError
        The package lies in an archive, where transformers could not read the weights either.
    """
    path = Path(str(files(__name__)))
    if not path.is_dir():
        raise FileNotFoundError(
            f'the demo needs tuneval installed as plain files, but it lies in "{path}". '
            "Install it with pip."
        )
    return path
