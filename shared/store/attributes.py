"""Values to DynamoDB attributes and back: exact integers, no floats, nothing the port does not know.

Stream records, responses and requests all go through here, so what one part wrote every other part reads.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from shared.store.table import Item, Key, Value

if TYPE_CHECKING:
    from types_boto3_dynamodb.type_defs import AttributeValueTypeDef

_LARGEST_INTEGER = 10**38 - 1


def to_attribute(value: Value) -> AttributeValueTypeDef:
    """Return ``value`` as a DynamoDB attribute.

    Raises
    ------
    TypeError
        The value, or one inside it, is none of the port's types; floats and decimals in particular.
    ValueError
        An integer of more than 38 digits, or text that is not valid Unicode.
    """
    if isinstance(value, str):
        return {"S": _checked_text(value)}
    if value is None:
        return {"NULL": True}
    if isinstance(value, bool):
        return {"BOOL": value}
    if isinstance(value, int):
        if abs(value) > _LARGEST_INTEGER:
            raise ValueError(
                "an integer has more than 38 digits, which DynamoDB cannot hold; store it as text"
            )
        return {"N": int.__repr__(value)}
    if isinstance(value, bytes):
        return {"B": bytes(value)}
    if isinstance(value, Mapping):
        return {"M": {_attribute_name(name): to_attribute(inner) for name, inner in value.items()}}
    if isinstance(value, list | tuple):
        return {"L": [to_attribute(inner) for inner in value]}
    raise TypeError(f"{type(value).__name__} cannot be stored; use text, int, bytes, bool, None, list or map")


def from_attribute(attribute: Mapping[str, Any]) -> Value:
    """Return what a DynamoDB attribute holds; bytes may be raw (boto3) or base64 text (a Lambda event).

    Raises
    ------
    ValueError
        A number that is not whole, or a type the port does not have (sets).
    """
    ((kind, content),) = attribute.items()
    match kind:
        case "S":
            return str(content)
        case "N":
            return _integer(content)
        case "B":
            return base64.b64decode(content) if isinstance(content, str) else bytes(content)
        case "BOOL":
            return bool(content)
        case "NULL":
            return None
        case "L":
            return [from_attribute(inner) for inner in content]
        case "M":
            return {name: from_attribute(inner) for name, inner in content.items()}
    raise ValueError(
        f"attribute of type {kind} was not written by Onecount; it knows S, N, B, BOOL, NULL, L, M"
    )


def item_from_image(image: Mapping[str, Mapping[str, Any]]) -> Item:
    """Return the item that a response or a stream record's image shows."""
    return {name: from_attribute(attribute) for name, attribute in image.items()}


def image_from_item(item: Mapping[str, Value]) -> dict[str, AttributeValueTypeDef]:
    """Return an item as DynamoDB takes it."""
    return {_attribute_name(name): to_attribute(value) for name, value in item.items()}


def _checked_text(text: str) -> str:
    if not text.isascii():
        text.encode()  # lone surrogates, which JSON can smuggle in, raise here and not in the middle of a batch
    return str.__str__(text)


def _attribute_name(name: object) -> str:
    if not isinstance(name, str):
        raise TypeError(f"attribute name {name!r} is no text")
    return _checked_text(name)


def _integer(digits: str) -> int:
    try:
        return int(digits)
    except ValueError:
        numerator, denominator = Decimal(digits).as_integer_ratio()
    if denominator != 1:
        raise ValueError(f"number {digits} is not whole; Onecount stores whole numbers only")
    return numerator


def image_from_key(key: Key) -> dict[str, AttributeValueTypeDef]:
    """Return a key as DynamoDB takes it."""
    return image_from_item({"pk": key.pk, "sk": key.sk})


def key_from_image(image: Mapping[str, Mapping[str, Any]]) -> Key:
    """Return the key of the item that an image shows."""
    return Key(image["pk"]["S"], image["sk"]["S"])
