"""The middle part of the composition root: what every message, file, stream record and hint goes through.

Apart from the desks of ``wiring``, because the functions on this way start in two thirds of the time without them.
"""

from __future__ import annotations

import time
from functools import cached_property
from typing import TYPE_CHECKING, cast

from shared.operations.apply_message import MessageApplier
from shared.operations.confirm import Confirmer
from shared.operations.counting_events import EventCounter
from shared.operations.damping import Damper
from shared.operations.explain import Explainer
from shared.operations.fan_out import FanOut
from shared.operations.ingest import FileIngester
from shared.operations.post import Poster
from shared.operations.promises import Promises
from shared.operations.push import Pusher
from shared.operations.reconcile import Reconciler
from shared.operations.record import Recorder
from shared.operations.stock_view import StockView
from shared.operations.telling import Teller
from shared.operations.unbinned_stock import UnbinnedWatch
from shared.operations.write_paths import PathWatch
from shared.runtime.aws import S3Drops
from shared.runtime.ground import Ground, now
from shared.runtime.queues import SqsLanes, SqsRetries
from shared.store.listings import Listings, Paces
from shared.store.shadows import Shadows
from shared.store.traffic import Traffic

if TYPE_CHECKING:
    from types_boto3_sqs import SQSClient

    from shared.domain.stock import ChannelId


LANES = 4
"""Transactions of one message or chunk of a file under way at once: a function waits for the table most of the time."""


class UnknownChannelError(LookupError):
    """A hint names a channel that is not declared."""


class Pipeline(Ground):
    """What takes a message in and a number out: posting, comparing, counting, telling the channels."""

    @cached_property
    def _sqs(self) -> SQSClient:
        import boto3

        return cast("SQSClient", boto3.client("sqs"))

    @cached_property
    def poster(self) -> Poster:
        return Poster(self.stock, now, lanes=LANES)

    @cached_property
    def recorder(self) -> Recorder:
        return Recorder(
            self.poster,
            self.observations,
            self.cases,
            self.registry,
            self.traffic,
            self.damper,
            self.teller,
            Shadows(self.stock),
            now,
        )

    @cached_property
    def damper(self) -> Damper:
        return Damper(self.stock, self.cases, self.registry, now)

    @cached_property
    def unbinned(self) -> UnbinnedWatch:
        return UnbinnedWatch(self.stock, self.cases, self.registry, now)

    @cached_property
    def teller(self) -> Teller:
        return Teller(self.poster, self.cases, self.unbinned, now)

    @cached_property
    def traffic(self) -> Traffic:
        return Traffic(self.stock, now)

    @cached_property
    def applier(self) -> MessageApplier:
        return MessageApplier(self.inbox, self.registry, self.recorder, self.cases, now)

    @cached_property
    def ingester(self) -> FileIngester:
        drops = S3Drops(self._s3, self._told("drop_bucket"))
        return FileIngester(self.inbox, self.registry, self.recorder, self.cases, drops, now)

    @cached_property
    def view(self) -> StockView:
        return StockView(self.stock, self.registry, now)

    @cached_property
    def explainer(self) -> Explainer:
        return Explainer(self.stock, self.view, self.observations, self.cases, self.registry)

    @cached_property
    def reconciler(self) -> Reconciler:
        paths = PathWatch(self.traffic, self.cases, self.registry, now)
        return Reconciler(
            self.view, self.observations, self.cases, self.registry, self.explainer, paths, self.damper, now
        )

    @cached_property
    def event_counter(self) -> EventCounter:
        return EventCounter(self.stock, self.registry)

    @cached_property
    def confirmer(self) -> Confirmer:
        return Confirmer(self.stock, self.registry, self.reconciler)

    @cached_property
    def fan_out(self) -> FanOut:
        return FanOut(self.stock, self.registry, self.lanes)

    @cached_property
    def lanes(self) -> SqsLanes:
        return SqsLanes(self._sqs, self._told("push_queue_prefix"))

    @cached_property
    def retries(self) -> SqsRetries:
        return SqsRetries(self._sqs)

    def pusher(self, channel_id: ChannelId) -> Pusher:
        """Build what pushes to one channel, with the secret that is valid now.

        Raises
        ------
        UnknownChannelError
        """
        from shared.channels.registry import build_channel
        from shared.channels.transport import HttpTransport

        network = self.registry.network()
        channel = network.channels.get(channel_id) or self.registry.network(fresh=True).channels.get(
            channel_id
        )
        if channel is None:
            raise UnknownChannelError(channel_id)
        connector = build_channel(channel, self.secrets.text("channel", channel_id), HttpTransport())
        return Pusher(
            channel,
            connector,
            Promises(self.stock, self.registry, now),
            Listings(self.stock),
            Paces(self.stock),
            self.registry,
            self.inbox,
            self.cases,
            self.traffic,
            Shadows(self.stock),
            now,
            time.sleep,
        )
