"""The tests. Importing this makes errors of the warnings that this project's own code causes."""

import re
import warnings
from pathlib import Path

from hypothesis import HealthCheck, settings

_ROOT = Path(__file__).resolve().parent.parent
# While a module is imported it is known by its name; trial reports what it collected by the file.
_OWN = rf"(gandalf|tests)(\.|$)|{re.escape(str(_ROOT))}/(gandalf|tests|twisted)/"
warnings.filterwarnings("ignore", category=BytesWarning)  # of other people's code
warnings.filterwarnings("error", module=_OWN)

# How fast a machine makes its examples says nothing about what is tested.
settings.register_profile("gandalf", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("gandalf")
