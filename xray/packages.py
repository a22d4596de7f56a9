"""What the Python that runs a script lacks. Plain enough for an old Python to read."""

import sys
from importlib.util import find_spec

LEAST = (3, 11)
# the packages of requirements.txt that scripts import, by their modules' names
MODULES = "torch torchvision datasets pandas scipy sklearn matplotlib jinja2 markdown_it"
MODULES += " safetensors threadpoolctl filelock tqdm pydicom"


def problem():
    """One line that says why the scripts cannot run in this Python and which one can, or ""."""
    if sys.version_info < LEAST:
        what = "is version {}.{}, older than {}.{}".format(*sys.version_info[:2], *LEAST)
    else:
        missing = [name for name in MODULES.split() if find_spec(name) is None]
        if not missing:
            return ""
        what = "lacks packages ({})".format(", ".join(missing))
    return f"{sys.executable} {what}; use .venv/bin/python, which `make .venv/ready` sets up"
