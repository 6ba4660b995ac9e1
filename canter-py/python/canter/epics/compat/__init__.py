"""``epics.compat``: what scripts of other packages for Python call, on ours: ``CaChannel``, ``ca_util``, ``epicsPV``.

>>> from canter.epics.compat.ca_util import caget, caput

In PyEpics 3.5 the first two are texts that nothing runs, and the third fails when it is used; here they work.
"""

from .epicsPV import epicsPV

__all__ = ["epicsPV"]
