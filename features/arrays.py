"""The array types that the packages pass around.

A *column* is one field or feature over the n events of a batch. Numbers, booleans (0.0 and 1.0) and
timestamps (milliseconds since the epoch) are float64 and NaN is SQL's null. Strings are object
arrays of ``str`` and ``None`` is null.
"""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]
UInts: TypeAlias = NDArray[np.uint64]
Bools: TypeAlias = NDArray[np.bool_]
Strings: TypeAlias = NDArray[np.object_]
Column: TypeAlias = NDArray[Any]
"""``Floats`` or ``Strings``."""
