"""The seeded fault simulation: the real operations over tables in memory, in a world where everything goes wrong.

One seed is one history: a few days of deliveries, orders, files, counts, crashes, lost answers and outages of a small
network, played by a scheduler on a virtual clock. Nothing is random but what the seed decides, so a seed that fails
fails again, and its workload can be shortened until only what matters is left.

===============  ==========================================================================================
``scheduler``    virtual time, and actors of which exactly one runs; every table call is where another may go on
``chaos``        what goes wrong: crashes, conflicts, throttles, unknown outcomes, stalls; counted
``tables``       the memory table with those faults, telling the auditor of every commit
``transports``   queues with receives and dead letters, streams with lost, doubled and late batches
``channels``     a shop that compares before it sets, and a market that does not
``network``      who is believed where, and what is sold
``house``        the real operations, wired as in ``shared/runtime/wiring`` over these
``workload``     what the outside world does, drawn from the seed
``world``        plays it as senders, shoppers, callers and operators do; ``wire`` is how they write
``transfers``    transfers in some histories, drawn apart; ``transfer_world`` plays them
``bins``         a yard in some histories, whose bins are counted: drawn apart, replayed, and what is in doubt
``lots``         a cellar in some histories, whose lots are recalled or expire; ``lot_world`` plays it
``oracle``       what must come of it, known without the ledger
``auditor``      compares the two at every commit
``claims``       the same for reservations and what is set aside: all or none, and for whom
``counts``       the same for counts that wait: which may, what an approver sees, whether a decision fits
``transfer_audit``  the same for transfers: a document shows what the ledger has of it; ``transfer_inspection`` at the end
``lot_audit``    the same for lots: what is on hold of one that may not be sold is what lies there
``verdicts``     the invariants by number
``inspection``   compares everything once all is quiet
``history``      one seed from its first delivery to its verdict
``campaign``     many seeds, on all cores; the tally
===============  ==========================================================================================
"""
