"""Settings that hold for all tests, those in `tests` and the examples in docstrings."""

import os

from hypothesis import HealthCheck, settings

# before anything imports Keras, which would ask for TensorFlow
os.environ.setdefault("KERAS_BACKEND", "torch")

# how long an example takes says how loaded the machine is
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")
