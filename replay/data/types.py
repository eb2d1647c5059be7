"""Array types and the mode of a metric, as annotations name them."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

__all__ = ["Bools", "Floats", "Ints", "Mode"]

Mode = Literal["min", "max"]


Floats = npt.NDArray[np.float64]


Bools = npt.NDArray[np.bool_]


Ints = npt.NDArray[np.int64]
