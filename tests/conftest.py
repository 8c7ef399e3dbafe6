"""Hypothesis profiles: ``ci`` (the default) repeats the same examples, ``verify`` draws many new ones.

Choose with HYPOTHESIS_PROFILE=verify or ``pytest --hypothesis-profile verify``.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

_SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]
settings.register_profile("ci", derandomize=True, deadline=None, suppress_health_check=_SLOW, print_blob=True)
settings.register_profile(
    "verify", max_examples=2000, derandomize=False, deadline=None, suppress_health_check=_SLOW, print_blob=True
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))
