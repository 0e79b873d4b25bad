"""The incident lab: plants one fault in one handoff of a simulated network, and scores what Onecount says of it.

A warehouse system is the authority. Three others follow it, each with a state of its own and fed by a handoff of its
own; a stock-taker counts now and then. Each is right by itself; the fault is in a handoff. Onecount sees what it would
see in production: signed messages and statements, through the real operations over tables in memory.

============  =========================================================================================
``network``   what is declared: systems, what their numbers mean, how long they may take, items and packs
``history``   what truly happens: receipts, orders, shipments, counts ..., drawn from the seed
``systems``   those who follow, each with its state and its handoff
``faults``    one fault for each kind, planted in a handoff; says afterwards what was guilty
``observer``  Onecount: the real operations over memory tables
``world``     plays one seed: history, handoffs, statements, the fault
``lab``       scores one seed, and many; the confusion table
============  =========================================================================================

The generator (all but ``lab``) knows nothing of the analyser; the analyser knows nothing of the generator.
"""
