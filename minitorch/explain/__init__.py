"""Look inside: what ran, what each gradient is made of, how gradients flow, and where something went wrong.

>>> from minitorch import explain
"""

from .finite import NotFiniteError, nan_watch
from .into import Line, into
from .probe import Probe, probe
from .recorder import record
from .script import PROGRAMS, program, record_script
from .stepper import Stepper
from .stop import transcript
from .trace import Arrival, Place, Step, Summary, Trace, Value
from .why import Part, Why, why

__all__ = [
    "Arrival", "Line", "NotFiniteError", "PROGRAMS", "Part", "Place", "Probe", "Step", "Stepper", "Summary", "Trace",
    "Value", "Why", "into", "nan_watch", "probe", "program", "record", "record_script", "transcript", "why",
]
