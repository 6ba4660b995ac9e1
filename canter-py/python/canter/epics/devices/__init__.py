"""``epics.devices``: records of some kinds, and devices of some makes."""

from .basic import ai, ao, bi, bo
from .scaler import Scaler
from .srs570 import SRS570
from .transform import Transform

__all__ = ["SRS570", "Scaler", "Transform", "ai", "ao", "bi", "bo"]
