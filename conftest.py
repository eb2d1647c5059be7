"""Settings that hold for all tests, those in `tests` and the examples in docstrings."""

import os

# before anything imports Keras, which would ask for TensorFlow
os.environ.setdefault("KERAS_BACKEND", "torch")
