"""What one answer of ``inventorySetQuantities`` means for each offer that was in it.

Pure: offers and an answer in, a ``Verdict`` out. The rules, from certain to doubtful:

* The mutation is all or nothing: an answer with ``userErrors`` and no ``inventoryAdjustmentGroup`` wrote
  nothing, so the offers it does not blame are sent again without the blamed ones. Errors *and* a group
  contradict each other: unknown. [U] that it is all or nothing is what public clients report; the group is
  looked at because of that.
* An error may point at its entry (``["input", "quantities", "3", ...]``) or at nothing: clients of live shops
  report ``field: null`` for a stale compare value. Then the connector finds out which entry is meant.
* A top-level error of a kind that comes from checking the request (syntax, variables, missing directive, access)
  means that nothing ran. Any other top-level error may have come after the write: unknown.
* 4xx: refused before it ran. 5xx: unknown, also a 503 with Retry-After, because Shopify does not promise that
  such a request was not executed.
* ``IDEMPOTENCY_CONCURRENT_REQUEST`` means that an earlier attempt with this very key is being executed now: it
  may write a moment later, so it is unknown, not deferred.

Codes that the public enumeration (2026-10) lists and ``wire-formats`` does not: INVALID_QUANTITY_TOO_LOW,
INVALID_QUANTITY_NEGATIVE, INVALID_NAME, INVALID_REASON, INVALID_REFERENCE_DOCUMENT; all are refusals.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from shared.channels.answers import mapping, quoted, read_json, retry_after
from shared.channels.contract import Confirmed, Deferred, HttpResponse, Offer, Outcome, Refused, Unknown
from shared.channels.shopify_admin import THROTTLED_WAIT, error_codes, throttled_for

STALE: Final = frozenset({"CHANGE_FROM_QUANTITY_STALE", "COMPARE_QUANTITY_STALE"})
NEEDS_NEW_KEY: Final = frozenset(
    {"IDEMPOTENCY_KEY_PARAMETER_MISMATCH", "IDEMPOTENCY_PREVIOUS_ATTEMPT_FAILED"}
)
IN_PROGRESS: Final = "IDEMPOTENCY_CONCURRENT_REQUEST"
BUSY: Final = frozenset({"SERVICE_UNAVAILABLE", "ADJUST_QUANTITIES_FAILED"})
BUSY_WAIT: Final = timedelta(seconds=5)

ENTRY_REMEDIES: Final[Mapping[str, str]] = {
    "INVALID_INVENTORY_ITEM": "map the SKU to an inventory item that exists in this shop",
    "INVALID_LOCATION": "correct the location's id in the channel's locations",
    "INVALID_QUANTITY_NEGATIVE": "check the channel's rules: a promise must not be negative",
    "INVALID_QUANTITY_TOO_HIGH": "correct the count or the unit: Shopify takes at most 1,000,000,000",
    "INVALID_QUANTITY_TOO_LOW": "correct the count or the unit: Shopify takes at least -1,000,000,000",
    "ITEM_NOT_STOCKED_AT_LOCATION": "stock the item at this location in Shopify, or remove the listing there",
    "NON_MUTABLE_INVENTORY_ITEM": "list the bundle's components instead: Shopify computes a bundle itself",
    "NO_DUPLICATE_INVENTORY_ITEM_ID_GROUP_ID_PAIR": "map one SKU only to this inventory item",
}
"""Refusals that belong to one entry of the batch."""

BATCH_REMEDIES: Final[Mapping[str, str]] = {
    "COMPARE_QUANTITY_REQUIRED": "set options.api_version to a supported version",
    "INVALID_NAME": "set options.api_version to a supported version",
    "INVALID_REASON": "correct options.reason",
    "INVALID_REFERENCE_DOCUMENT": "set options.api_version to a supported version",
}

CALL_CODES: Final = NEEDS_NEW_KEY | BUSY | {IN_PROGRESS} | BATCH_REMEDIES.keys()
"""Codes that concern the call as a whole, wherever they point."""

NOT_RUN_REMEDIES: Final[Mapping[str, str]] = {
    "ACCESS_DENIED": "grant the app write_inventory, read_inventory and read_orders, and reinstall it",
    "SHOP_INACTIVE": "reopen the shop, or remove the channel",
    "MAX_COST_EXCEEDED": "report this: a batch costs more than the shop allows for one query",
    "MAX_INPUT_SIZE_EXCEEDED": "report this: a batch is larger than the shop allows",
    "BAD_REQUEST": "set options.api_version to a supported version",
    "INVALID_FIELD_ARGUMENTS": "set options.api_version to a supported version",
    "INVALID_VARIABLE": "set options.api_version to a supported version",
    "GRAPHQL_VALIDATION_FAILED": "set options.api_version to a supported version",
    "GRAPHQL_PARSE_FAILED": "set options.api_version to a supported version",
    "undefinedField": "set options.api_version to a supported version",
    "argumentNotAccepted": "set options.api_version to a supported version",
    "missingRequiredArguments": "set options.api_version to a supported version",
    "variableMismatch": "set options.api_version to a supported version",
    "undefinedDirective": "set options.api_version to a supported version",
    "undefinedType": "set options.api_version to a supported version",
}
"""Top-level errors that arise before the mutation runs, so that nothing was written."""

STATUS_REMEDIES: Final[Mapping[int, tuple[str, str]]] = {
    401: ("unauthorized", "store a valid Admin API token of this shop as the channel's secret"),
    402: ("shop_unavailable", "the shop's plan is frozen: settle it in Shopify, or remove the channel"),
    403: ("unauthorized", "grant the app write_inventory, read_inventory and read_orders, and reinstall it"),
    404: ("not_found", "correct options.shop_domain or options.api_version"),
    423: ("shop_unavailable", "the shop is locked: settle it with Shopify, or remove the channel"),
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one answer settled and what is still to do.

    Attributes
    ----------
    settled
        Outcomes that are final.
    stale
        Offers whose compare value did not match.
    resend
        Offers that were certainly not written and are not to blame.
    unattributed
        Code and message of an error that blames some entry of the batch without saying which; then ``resend``
        holds the whole batch.
    needs_new_key
        Whether ``resend`` must go under another idempotency key.
    pause
        Set when the channel as a whole is the trouble: nothing else should be sent for so long.
    """

    settled: Sequence[Outcome] = ()
    stale: Sequence[Offer] = ()
    resend: Sequence[Offer] = ()
    unattributed: tuple[str, str] | None = None
    needs_new_key: bool = False
    pause: timedelta | None = None


@dataclass(slots=True)
class _Blame:
    """The errors of one answer, sorted by what they point at."""

    stale: set[int] = field(default_factory=set)
    refused: dict[int, tuple[str, str]] = field(default_factory=dict)
    batch: list[tuple[str, str]] = field(default_factory=list)


def judge(offers: Sequence[Offer], response: HttpResponse) -> Verdict:
    """Say what ``response`` means for each of ``offers``, which were its entries in this order."""
    if response.status != 200:
        return _judge_status(offers, response)
    answer = read_json(response.body)
    if not isinstance(answer, dict):
        return unknown(offers, "the answer is not a JSON object")
    codes = error_codes(answer.get("errors"))
    payload = mapping(answer.get("data")).get("inventorySetQuantities")
    if codes:
        return _judge_errors(offers, answer, codes, ran=payload is not None)
    if not isinstance(payload, dict) or not isinstance(payload.get("userErrors"), list):
        return unknown(offers, "the answer lacks data.inventorySetQuantities.userErrors")
    errors = payload["userErrors"]
    if not errors:
        return Verdict(settled=[Confirmed(offer.listing, offer.quantity) for offer in offers])
    if payload.get("inventoryAdjustmentGroup") is not None:
        return unknown(offers, "the answer states both errors and a completed change")
    return _judge_user_errors(offers, errors)


def unknown(offers: Sequence[Offer], reason: str, pause: timedelta | None = None) -> Verdict:
    """Settle every offer as unknown."""
    return Verdict(settled=[Unknown(offer.listing, reason) for offer in offers], pause=pause)


def deferred(offers: Sequence[Offer], after: timedelta, reason: str) -> Verdict:
    """Settle every offer as deferred, and pause the channel for as long."""
    return Verdict(settled=[Deferred(offer.listing, after, reason) for offer in offers], pause=after)


def refused(offers: Sequence[Offer], code: str, reason: str, remedy: str) -> Verdict:
    """Settle every offer as refused."""
    return Verdict(settled=[Refused(offer.listing, code, reason, remedy) for offer in offers])


def settle_alone(offer: Offer, code: str, message: str) -> Outcome:
    """Settle an offer that was alone in its batch, by the error it got."""
    return Refused(offer.listing, code, message, ENTRY_REMEDIES.get(code, "see Shopify's message"))


def _judge_status(offers: Sequence[Offer], response: HttpResponse) -> Verdict:
    status = response.status
    if status in (429, 430):
        wait = retry_after(response) or THROTTLED_WAIT
        return deferred(offers, wait, f"throttled (HTTP {status})")
    if status in STATUS_REMEDIES:
        code, remedy = STATUS_REMEDIES[status]
        return refused(offers, code, f"Shopify answered HTTP {status}", remedy)
    if 300 <= status < 400:
        return refused(
            offers,
            "redirected",
            f"Shopify answered HTTP {status}",
            "set options.shop_domain to the shop's permanent name.myshopify.com",
        )
    if 400 <= status < 500 and status not in (408, 499):
        return refused(
            offers, f"http_{status}", f"Shopify answered HTTP {status}", "check the channel's options"
        )
    return unknown(offers, f"Shopify answered HTTP {status}", pause=BUSY_WAIT)


def _judge_errors(
    offers: Sequence[Offer], answer: Mapping[str, object], codes: Sequence[str], ran: bool
) -> Verdict:
    if ran:
        return unknown(offers, f"the answer states both a result and {codes[0]}")
    if set(codes) == {"THROTTLED"}:
        return deferred(offers, throttled_for(answer), "throttled by query cost")
    if all(code in NOT_RUN_REMEDIES for code in codes):
        return refused(offers, codes[0], "Shopify did not run the mutation", NOT_RUN_REMEDIES[codes[0]])
    return unknown(offers, f"Shopify answered with {', '.join(sorted(set(codes)))}"[:200])


def _judge_user_errors(offers: Sequence[Offer], errors: Sequence[object]) -> Verdict:
    blame = _sort_errors(errors, len(offers))
    for code, message in blame.batch:
        verdict = _judge_batch_error(offers, code, message)
        if verdict is not None:
            return verdict
    pointed = blame.stale | blame.refused.keys()
    if not pointed:
        code, message = blame.batch[0]
        return Verdict(resend=offers, unattributed=(code, message))
    return Verdict(
        settled=[settle_alone(offers[n], *error) for n, error in sorted(blame.refused.items())],
        stale=[offers[n] for n in sorted(blame.stale - blame.refused.keys())],
        resend=[offer for n, offer in enumerate(offers) if n not in pointed],
    )


def _judge_batch_error(offers: Sequence[Offer], code: str, message: str) -> Verdict | None:
    """Judge an error that concerns the call as a whole; None when it must concern some entry."""
    if code == IN_PROGRESS:
        return unknown(offers, "an earlier attempt with this key is still being executed")
    if code in NEEDS_NEW_KEY:
        return Verdict(resend=offers, needs_new_key=True)
    if code in BUSY:
        return deferred(offers, BUSY_WAIT, message)
    if code in BATCH_REMEDIES:
        return refused(offers, code, message, BATCH_REMEDIES[code])
    return None


def _sort_errors(errors: Sequence[object], size: int) -> _Blame:
    blame = _Blame()
    for entry in errors:
        error = mapping(entry)
        said = error.get("code")
        code = said if isinstance(said, str) and said else "USER_ERROR"
        at = _entry_index(error.get("field"), size)
        if at is None or code in CALL_CODES:
            blame.batch.append((code, quoted(error.get("message"))))
        elif code in STALE:
            blame.stale.add(at)
        else:
            blame.refused.setdefault(at, (code, quoted(error.get("message"))))
    return blame


def _entry_index(path: object, size: int) -> int | None:
    """Return the entry that an error's field path points at: ``["input", "quantities", "3", ...]``."""
    if not isinstance(path, list) or len(path) < 3 or path[1] != "quantities":
        return None
    text = str(path[2])
    if not (text.isascii() and text.isdigit() and len(text) <= 4):
        return None
    return int(text) if int(text) < size else None
