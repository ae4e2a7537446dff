"""What graphs are made from: the tensors of a model by name."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float32]
Weights = Mapping[str, Matrix]
