"""Fields of the states of ``mbbi`` and ``mbbo`` records."""

from __future__ import annotations

#: What their names begin with, state by state.
STATE_PREFIXES = ("ZR", "ON", "TW", "TH", "FR", "FV", "SX", "SV", "EI", "NI", "TE", "EL", "TV", "TT", "FT", "FF")
