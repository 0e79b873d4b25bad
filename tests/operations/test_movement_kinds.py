"""Every kind of movement keeps its stock keys exact: what is withheld is not available, what is sent is in transit."""

from __future__ import annotations

from shared.domain.events import Leg, Movement, MovementKind
from shared.domain.stock import Counter, EventKey, StockKey
from shared.store.table import WriteRefusedError
from tests.operations.house import EAST, KEY, ORIGIN, TEA, WEST, House, at, movement

AT_WEST = StockKey(TEA, WEST)


def moved(name: str, minute: float, kind: MovementKind, *legs: Leg) -> Movement:
    return Movement(EventKey(name), TEA, kind, legs, at(minute), ORIGIN)


def test_held_and_damaged_units_stay_on_hand_and_are_not_available() -> None:
    house = House()
    house.post(movement("opening", 0, 10))
    house.post(moved("hold", 1, MovementKind.HOLD, Leg(EAST, 3, Counter.QUALITY_HOLD)))
    house.post(moved("damage", 2, MovementKind.DAMAGE, Leg(EAST, 2, Counter.DAMAGED)))
    assert (house.on_hand(), house.available()) == (10, 5)

    house.post(moved("release", 3, MovementKind.RELEASE, Leg(EAST, -3, Counter.QUALITY_HOLD)))

    quantities = house.view.quantities(KEY)
    assert (quantities["quality_hold"], quantities["damaged"], quantities["available"]) == (0, 2, 8)
    assert house.view.quantities(KEY, at(1.5))["available"] == 7
    house.assert_exact()


def test_a_transfer_is_one_event_in_two_places_and_loses_nothing_on_the_way() -> None:
    house = House()
    house.post(movement("opening", 0, 10))
    ship = moved("ship", 1, MovementKind.TRANSFER_SHIP, Leg(EAST, -4), Leg(WEST, 4, Counter.IN_TRANSIT))
    for _ in range(2):
        house.post(ship)
    assert (house.on_hand(), house.view.quantities(AT_WEST)["in_transit"], house.on_hand(AT_WEST)) == (
        6,
        4,
        0,
    )

    receive = moved(
        "receive", 2, MovementKind.TRANSFER_RECEIVE, Leg(WEST, -3, Counter.IN_TRANSIT), Leg(WEST, 3)
    )
    house.post(receive)

    assert (house.view.quantities(AT_WEST)["in_transit"], house.on_hand(AT_WEST)) == (1, 3)
    assert house.available(AT_WEST) == 3
    house.assert_exact()


def test_a_transfer_posts_in_both_places_or_in_neither() -> None:
    house = House()
    house.post(movement("opening", 0, 10))
    refusals = 0

    class Refuse:
        def before(self, actions: object) -> None:
            nonlocal refusals
            if refusals < 3:
                refusals += 1
                raise WriteRefusedError([])

        def after(self, actions: object) -> None: ...

    house.stock.faults = Refuse()
    house.post(moved("ship", 1, MovementKind.TRANSFER_SHIP, Leg(EAST, -4), Leg(WEST, 4, Counter.IN_TRANSIT)))
    assert (house.on_hand(), house.view.quantities(AT_WEST)["in_transit"]) == (6, 4)
    house.assert_exact()
