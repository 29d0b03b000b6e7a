"""What a GPU would do for a launch, counted while ptx_machine runs it: no times, but what times are made of.

    with paper_gpu.running(count=True) as memory:
        kernels.softmax_forward(x, 1)
    memory.counts[0].arrays, .work, .wavefronts, .conflicts

Global memory comes in sectors of 32 bytes. A warp's load asks for every sector that one of its threads is in, once:
neighbours that read neighbours share them. Shared memory has 32 banks of 4 bytes, and each hands out one word at a time;
threads that want the same word are served together. Of a warp that asks for 8 or 16 bytes a thread, a half or a quarter is
served at a time. One time is a *wavefront*; those beyond the fewest possible are conflicts. A GPU may serve parts of a warp
together that want the same words; how far it goes is not documented. ``merged`` counts as if it always did, ``wavefronts``
as if never.

"""

from collections import Counter

import numpy as np

__all__ = ["Counts", "kind_of"]

SECTOR, BANKS, WARP = 32, 32, 32


class Counts:
    """Of one launch: traffic of each array by its address, and what all threads did in shared memory and computed."""

    def __init__(self, name, threads):
        self.name, self.threads = name, threads
        self.arrays: dict[int, Traffic] = {}
        self.work, self.merged = Counter(), 0
        self.wavefronts, self.conflicts = Counter(), Counter()      # by instruction

    def ran(self, kinds, threads):
        """So many threads executed these instructions."""
        self.work.update({kind: n * threads for kind, n in kinds.items()})

    def at(self, space, text, piece, lanes, address, width):
        """What an instruction of all threads of a group does in memory."""
        action = text[:2]
        address = address if len(address) == len(lanes) else address.repeat(len(lanes))
        if space == "global":
            self.arrays.setdefault(piece.start, Traffic(piece)).note(action, lanes, address, width)
        elif space == "shared":
            served = max(1, WARP * width // (4 * BANKS))        # parts of a warp, one after the other
            wavefronts, parts = banks_busy(lanes // (WARP // served), address, width)
            self.wavefronts[text] += wavefronts
            self.conflicts[text] += wavefronts - parts
            self.merged += banks_busy(lanes // WARP, address, width)[0]


class Traffic:
    """One array: how many sectors warps asked for, which these were, and how many bytes threads wanted."""

    def __init__(self, piece):
        self.start, self.bytes = piece.start, piece.end - piece.start
        self.asked, self.wanted, self.which = Counter(), Counter(), {"ld": set(), "st": set()}

    def note(self, action, lanes, address, width):
        sectors = (address - self.start) // SECTOR
        by_warp = np.unique((lanes // WARP << 40) + sectors)
        self.asked[action] += len(by_warp)
        self.wanted[action] += len(lanes) * width
        self.which[action].update((by_warp & (1 << 40) - 1).tolist())

    def times(self, action):
        """How often each of the array's sectors was asked for, on average."""
        return self.asked[action] / -(-self.bytes // SECTOR)


def banks_busy(part, address, width):
    """How often shared memory hands out something until all threads have what they want, when those of a part of a warp are
    served together; and how many parts there are."""
    words = (address // 4)[:, None] + np.arange(max(1, width // 4))
    wanted = np.unique((part[:, None] << 32) + words)      # the same word is wanted once
    part, bank = wanted >> 32, wanted % BANKS
    queue, length = np.unique(part * BANKS + bank, return_counts=True)
    longest = np.zeros(int(part.max()) + 1, np.int64)
    np.maximum.at(longest, queue // BANKS, length)
    return int(longest.sum()), int((longest > 0).sum())


def kind_of(text):
    """fma, memory, or other: all that is calculated, compared and moved."""
    opcode = text.partition(" ")[0]
    return "fma" if opcode.startswith("fma") else "memory" if opcode[:3] in ("ld.", "st.") else "other"
