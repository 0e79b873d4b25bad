"""Posting and telling: whoever moves stock says what that means for counts that wait, and for units on no bin.

What there is to say was noted with each event when it was posted, so whoever is cut short between the two has only to
post again, or to ask for what was noted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

from shared.domain.ledger import Posting
from shared.domain.stock import EventKey, StockKey
from shared.operations.count_desk import show_all, tell, tell_notes
from shared.operations.facts import Fact, Note, Result
from shared.operations.post import Poster, PostingContendedError
from shared.operations.unbinned_stock import UnbinnedWatch
from shared.store.cases import Cases
from shared.store.registry import Network


class Teller:
    """Posts facts and keeps the cases true that they concern."""

    def __init__(
        self, poster: Poster, cases: Cases, unbinned: UnbinnedWatch, clock: Callable[[], datetime]
    ) -> None:
        self._poster = poster
        self._cases = cases
        self._unbinned = unbinned
        self._clock = clock

    def post(self, facts: Sequence[Fact], network: Network) -> list[Result]:
        """Post facts and tell of them, also of those that were posted before.

        Raises
        ------
        PostingContendedError
            When some could not be posted now; of the others it is told.
        """
        try:
            results = self._poster.post(facts, network)
        except PostingContendedError as error:
            self.posted(error.posted)
            raise
        self.posted(results)
        return results

    def posted(self, results: Sequence[Result]) -> None:
        """Tell what posting came to; doing so again changes nothing."""
        tell(results, self._poster, self._cases, self._clock())
        self._unbinned.posted(results)

    def again(self, events: Iterable[EventKey], network: Network) -> None:
        """Go on with events that are in the ledger, and tell of them: whoever posted them may have been cut short before.

        Raises
        ------
        PostingContendedError
        """
        for event in events:
            self.noted(self._poster.go_on(event, network))

    def noted(self, notes: Sequence[Note]) -> None:
        """Tell what was noted with events that are in the ledger."""
        tell_notes(notes, self._poster, self._cases, self._clock(), is_repeated=True)
        self._unbinned.told(notes)

    def amended(self, key: StockKey, record: EventKey, posting: Posting | None) -> None:
        """Tell what taking back counts of a stock key came to; without a posting, somebody else did it just now."""
        show_all(key, posting, self._poster, self._cases, self._clock())
        self._unbinned.told(self._poster.notes_about(record))
