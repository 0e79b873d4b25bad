"""Which facts are posted together: those that share a stock key or an order line, in as few transactions as they fit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from shared.domain.events import Count
from shared.domain.stock import EventKey, LocationId, Sku, StockKey
from shared.operations.facts import Fact, Result, compare, order_line_of, stock_keys
from shared.store.table import MAX_ACTIONS


def distinct(facts: Sequence[Fact]) -> tuple[list[Result], list[Fact]]:
    """Split off facts whose key stands earlier in the same batch."""
    first: dict[EventKey, Fact] = {}
    results = []
    for fact in facts:
        known = first.setdefault(fact.event.key, fact)
        if known is not fact:
            results.append(compare(fact, known.effect, uncertain=False))
    return results, list(first.values())


def chains(facts: Sequence[Fact]) -> list[list[list[Fact]]]:
    """Pack groups into units of work that will fit one transaction each, as a rule; those of one group are a chain."""
    chains: list[list[list[Fact]]] = []
    room = 0
    for group in groups(facts):
        weights = [3 if isinstance(fact.event, Count) else 1 for fact in group]
        weight = sum(weights) + 4
        if weight <= room:
            chains[-1][0] += group
            room -= weight
        elif weight <= MAX_ACTIONS:
            chains.append([list(group)])
            room = MAX_ACTIONS - weight
        else:
            chains.append([group[start : start + 90] for start in range(0, len(group), 90)])
            room = 0
    return chains


def groups(facts: Iterable[Fact]) -> list[list[Fact]]:
    """Part facts into groups that share no stock key and no order line."""
    parent: dict[object, object] = {}

    def root(node: object) -> object:
        while parent.setdefault(node, node) != node:
            node = parent[node]
        return node

    anchors: list[tuple[Fact, object]] = []
    for fact in facts:
        nodes: list[object] = [*stock_keys(fact.event)]
        name = order_line_of(fact.event)
        if name is not None:
            nodes.append(name)
        nodes = nodes or [fact.event.key]
        for other in nodes[1:]:
            parent[root(other)] = root(nodes[0])
        anchors.append((fact, nodes[0]))
    parts: dict[object, list[Fact]] = {}
    for fact, anchor in anchors:
        parts.setdefault(root(anchor), []).append(fact)
    return list(parts.values())


def halves(facts: Sequence[Fact]) -> list[list[Fact]]:
    """Part a unit of several facts in two, between what shares no stock key and no order line where that is possible."""
    parts = groups(facts)
    if len(parts) == 1:
        parts = [[fact] for fact in facts]
    middle = len(parts) // 2
    return [[fact for part in half for fact in part] for half in (parts[:middle], parts[middle:])]


def busiest(facts: Iterable[Fact]) -> StockKey:
    """Return the stock key that most of some facts concern: where posters meet, as a rule."""
    keys = Counter(key for fact in facts for key in stock_keys(fact.event))
    return max(sorted(keys), key=lambda key: keys[key], default=StockKey(Sku(""), LocationId("")))
