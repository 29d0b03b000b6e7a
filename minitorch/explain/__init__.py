"""Look inside: what ran, what each gradient is made of, how gradients flow, and where something went wrong.

>>> from minitorch import explain
"""

from .recorder import record
from .script import PROGRAMS, program, record_script
from .trace import Arrival, Place, Step, Summary, Trace, Value

__all__ = [
    "Arrival", "Place", "Step", "Summary", "Trace", "Value",
    "record",
    "PROGRAMS", "program", "record_script",
]
