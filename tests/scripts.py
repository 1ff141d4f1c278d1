"""Import the scripts of examples/, bench/ and docs/, which are no packages."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[1]


def script(path: str) -> ModuleType:
    """The module of a script, given by its path (from the root, if relative) without `.py`.

    As when it is run, its folder comes first on the path; the modules beside it are forgotten
    again, since several folders have a model.py.
    """
    folder = (ROOT / path).parent
    beside = {file.stem for file in folder.glob("*.py")}
    kept = {name: sys.modules.pop(name) for name in beside if name in sys.modules}
    sys.path.insert(0, str(folder))
    try:
        return importlib.import_module(Path(path).name)
    finally:
        sys.path.remove(str(folder))
        for name in beside:
            sys.modules.pop(name, None)
        sys.modules.update(kept)
