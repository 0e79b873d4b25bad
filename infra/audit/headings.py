"""What the headings of stock exports mean: the words that WMS, ERP, storefronts and spreadsheets use.

A heading names a role only if it is one of these words; nothing is concluded from a part of a word. Where several
columns could have a role, the strongest group of words decides, and if that leaves two, somebody has to be asked.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_REMARK = re.compile(r"\([^)]*\)|\[[^\]]*\]")
_FILLERS = {
    "qty",
    "quantity",
    "stock",
    "units",
    "menge",
    "bestand",
    "no",
    "of",
    "current",
    "level",
    "inventory",
}


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


SKU_WORDS: tuple[frozenset[str], ...] = (
    _words("sku variantsku sellersku itemsku productsku merchantsku skucode skuno skunumber skuid skunr"),
    _words(
        "itemno itemnumber itemcode itemid itemnr articleno articlenumber articlecode articleid artikelnr "
        "artikelnummer artnr artno materialno materialnumber materialnummer matnr productcode productno "
        "productnumber productid productref partno partnumber partnr stockcode internalreference defaultcode "
        "inventoryid codearticle referencearticle codigo codice referencia"
    ),
    _words("item article artikel material product part reference ref code"),
    _words("barcode ean ean13 gtin upc asin fnsku"),
)
"""Names of the identifying column, the strongest first."""

ON_HAND = _words(
    "onhand qoh quantityonhand qtyonhand onhandquantity onhandqty stockonhand soh physicalstock "
    "physicalquantity physical physicalqty instock unrestricted unrestrictedstock unrestricteduse "
    "lagerbestand istbestand bestand currentstock stocklevel stockqty stockquantity quantityinstock "
    "inventoryonhand totalonhand freiverwendbar freiverwendbarerbestand"
)
AVAILABLE = _words(
    "available availableqty qtyavailable availablequantity quantityavailable availablestock atp "
    "availabletopromise availabletosell sellable sellablequantity sellableqty freestock free verfugbar "
    "verfugbarerbestand forsale afnfulfillablequantity fulfillablequantity disponible disponibile"
)
PLAIN = _words(
    "quantity qty stock inventory inventoryquantity inventoryqty variantinventoryqty units count level "
    "menge anzahl cantidad quantite quantita pieces pcs stuck each"
)

LESS = _words(
    "reserved reservation reservations allocated allocation committed commitments hold onhold qualityhold "
    "quarantine quarantined blocked damaged unavailable safetystock safety buffer picked picking reserviert qualitatsprufung qualitymanagement "
    "gesperrt zugeteilt backorder backordered pending"
)
"""States that a number of available stock leaves out."""
MORE = _words("incoming intransit transit expected onorder inbound ontheway purchased")
"""States that some systems count in."""

LOCATION = _words(
    "location locationname locationid locationcode warehouse warehousecode warehouseid warehousename wh whs "
    "whcode site sitecode plant werk storagelocation lagerort lager store storeid branch facility depot dc "
    "fulfillmentcenter fulfilmentcentre almacen entrepot magazzino standort filiale"
)
PRICE = (
    _words(
        "price unitprice variantprice sellingprice retailprice listprice salesprice saleprice preis "
        "verkaufspreis vk prix precio prezzo"
    ),
    _words("cost unitcost standardcost costprice averagecost costperitem einkaufspreis ek"),
)
"""Selling prices, else costs."""

TOTALS = _words(
    "total totals grandtotal sum subtotal summe gesamt gesamtsumme zwischensumme totale totalgeneral"
)
"""What the first cell of a row of totals says."""


_NO_PLACES = _words(
    "value date min max minimum maximum reorder cost status price unit uom updated time type code name id"
)


class Shape(NamedTuple):
    """A heading that names a quantity and a place in one, as wide exports do: ``Qty EAST``."""

    column: int
    place: str


def squeezed(heading: str) -> str:
    """Return a heading without case, accents, spaces and marks, as the words above are written."""
    plain = unicodedata.normalize("NFKD", heading).casefold()
    return "".join(character for character in plain if character.isalnum())


def forms(heading: str) -> set[str]:
    """Return a heading squeezed: as it is, without words such as ``qty``, and without what is in brackets."""
    words = [squeezed(word) for word in re.split(r"[\W_]+", _CAMEL.sub(" ", heading))]
    plain = "".join(word for word in words if word not in _FILLERS)
    return {squeezed(heading), plain, squeezed(_REMARK.sub("", heading))} - {""}


def named(headings: Sequence[str], words: frozenset[str]) -> list[int]:
    """Return the columns whose heading is one of the words; as written first, without filler words else."""
    exact = [column for column, heading in enumerate(headings) if squeezed(heading) in words]
    return exact or [column for column, heading in enumerate(headings) if forms(heading) & words]


def side_sign(heading: str) -> int:
    """Return -1 for a state that available stock leaves out, +1 for one that may be counted in, else 0."""
    found = forms(heading)
    return -1 if found & LESS else 1 if found & MORE else 0


def quantity_by_place(headings: Sequence[str]) -> list[Shape]:
    """Return the columns named by a quantity word and a place, if there are at least two with the same word."""
    by_word: dict[str, list[Shape]] = {}
    quantities = ON_HAND | AVAILABLE | PLAIN
    for column, heading in enumerate(headings):
        parts = [part for part in re.split(r"[\s_:()\[\]/-]+", heading) if part]
        for cut in range(1, len(parts)):
            front, back = parts[:cut], parts[cut:]
            for word, place in ((front, back), (back, front)):
                if squeezed("".join(word)) in quantities and _can_be_place(place, heading):
                    by_word.setdefault(squeezed("".join(word)), []).append(Shape(column, " ".join(place)))
    wide = [shapes for shapes in by_word.values() if len({shape.column for shape in shapes}) > 1]
    return wide[0] if len(wide) == 1 else []


def _can_be_place(words: Sequence[str], heading: str) -> bool:
    plain = {squeezed(word) for word in words}
    return not (plain & _NO_PLACES or plain <= _FILLERS or forms(heading) & (LESS | MORE))


def is_total(cell: str) -> bool:
    """Say whether a cell in the place of a SKU names a total instead."""
    return squeezed(cell) in TOTALS
