"""The tests. Importing this makes errors of the warnings that this project's own code causes."""

import re
import warnings
from pathlib import Path

_ROOT = Path(__file__).resolve().parent.parent
# While a module is imported it is known by its name; trial reports what it collected by the file.
_OWN = rf"(gandalf|tests)(\.|$)|{re.escape(str(_ROOT))}/(gandalf|tests|twisted)/"
warnings.filterwarnings("error", module=_OWN)
