"""Root cause: which handoff made a source's number differ from the ledger.

Every system is right by itself; the error is in the handoff. So each way in which a handoff fails is asked what the
source *would* have said at each of its statements, had it failed so, and is judged by what the source did say::

    ledger            100 ---- 92 (S-17: -8) ------- 142 (R-3: +50) ------------ 137 (S-18: -5)
    source says       100            92                       192                        187
    S-17 missing                    100  x
    R-3 doubled       100            92                       192                        187     fits all
    set by hand +50   100            92                       192                        187     fits all, as would any number

=================  ====================================================================================
``evidence``       what an explanation is found from: statements, changes, what else is known
``timeline``       the ledger's course under the declared meaning; what latency forgives
``suspect``        one way to be wrong, with its prior and its prediction for each statement
``single_events``  lost, doubled, misread, unrecognised by its document, not let go, still held though undone
``several_events`` sets, batches, kinds of events; delay; an old batch over newer numbers
``numbers``        another meaning or unit, set by hand, another key's, counted in motion
``references``     how documents are written
``judge``          prior times fit, as a share of the whole
``telling``        in words
=================  ====================================================================================

Time is bounded whatever the length of the history: at most 50 statements and 400 changes are looked at, sets of events
are looked for among 48, and only suspects that explain the newest statement are judged.
"""

from shared.domain.root_cause.evidence import Account, Change, Mirror, Nature, Sibling, Undone
from shared.domain.root_cause.hypothesis import Evidence, Explanation, Hypothesis, RootCause, Sphere
from shared.domain.root_cause.judge import counted, explain, is_within_latency, mirror_of

__all__ = [
    "Account",
    "Change",
    "Evidence",
    "Explanation",
    "Hypothesis",
    "Mirror",
    "Nature",
    "RootCause",
    "Sibling",
    "Sphere",
    "Undone",
    "counted",
    "explain",
    "is_within_latency",
    "mirror_of",
]
