"""One trial to make others of with ``dataclasses.replace``."""

from __future__ import annotations

import numpy as np

from streamtts.settings import Settings
from streamtts.tune.sweep import Trial

TRIAL = Trial("a", Settings(), 1.0, -20.0, 10, 0, 200.0, 0.3, 0.0, 1, np.zeros(10, np.float32), ())
