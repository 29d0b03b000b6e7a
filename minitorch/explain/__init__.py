"""Look inside: what ran, what each gradient is made of, how gradients flow, and where something went wrong.

>>> from minitorch import explain
"""

from .causal import CausalReport, check_causal
from .finite import NotFiniteError, nan_watch
from .flow import Flow, Layer, gradient_flow, plot_gradient_flow
from .inside_bert import AddNorm, InsideBERT, look_inside_bert
from .into import Line, into
from .lab import residual_lab, save_residual_lab
from .player import Player, player_html, save_player
from .probe import Probe, probe
from .reach import GradsReport, check_grads
from .recorder import record
from .script import PROGRAMS, program, record_script
from .stacks import VARIANTS, DeepStack, compare_stacks, expected_gains, train_stacks
from .stepper import Stepper
from .stop import transcript
from .trace import Arrival, Place, Step, Summary, Trace, Value
from .why import Part, Why, why

__all__ = [
    "AddNorm", "Arrival", "CausalReport", "DeepStack", "Flow", "GradsReport", "InsideBERT", "Layer", "Line",
    "NotFiniteError", "PROGRAMS", "Part", "Place", "Player", "Probe", "Step", "Stepper", "Summary", "Trace",
    "VARIANTS", "Value", "Why", "check_causal", "check_grads", "compare_stacks", "expected_gains", "gradient_flow",
    "into", "look_inside_bert", "nan_watch", "player_html", "plot_gradient_flow", "probe", "program", "record",
    "record_script", "residual_lab", "save_player", "save_residual_lab", "train_stacks", "transcript", "why",
]
