"""The whole composition root: builds what a function needs from what its environment says, each part once."""

from __future__ import annotations

from functools import cached_property
from typing import cast

from shared.operations.alerts import AlertDesk
from shared.operations.amending import Amender
from shared.operations.case_desk import CaseDesk
from shared.operations.case_life import CaseLife
from shared.operations.count_desk import CountDesk
from shared.operations.dead_letters import DeadLetterDesk
from shared.operations.drift_desk import DriftDesk
from shared.operations.drift_sweep import DriftSweep
from shared.operations.freshness import FreshnessWatch
from shared.operations.fulfil import Fulfiller
from shared.operations.kpi_desk import KpiDesk
from shared.operations.lots import LotDesk
from shared.operations.manual_desk import ManualDesk
from shared.operations.match_desk import MatchDesk
from shared.operations.message_view import MessageView
from shared.operations.order_watch import OrderWatch
from shared.operations.promises import Promises
from shared.operations.recommend import Recommender
from shared.operations.redrive_preview import RedrivePreview
from shared.operations.reserve import Reserver
from shared.operations.set_aside import SetAside
from shared.operations.sweep import Sweep
from shared.operations.trace import Tracer
from shared.operations.transfer_watch import TransferWatch
from shared.operations.transfers import TransferDesk
from shared.operations.undo import Undoer
from shared.operations.undo_guard import UndoGuard
from shared.operations.verify import Verifier
from shared.operations.work_queue import WorkQueue
from shared.operations.write_paths import WritePaths
from shared.runtime.ground import now
from shared.runtime.pipeline import Pipeline
from shared.runtime.queues import SnsMessenger, SqsDeadLetters, SqsStreamFailures, TopicClient
from shared.store.ledger import Ledger
from shared.store.listings import Listings
from shared.store.tallies import Tallies
from shared.store.transfers import Transfers


class House(Pipeline):
    """Everything a function may need, built from its settings; asking for what it was not told of is an error."""

    @cached_property
    def _sns(self) -> TopicClient:
        import boto3

        return cast("TopicClient", boto3.client("sns"))

    @cached_property
    def write_paths(self) -> WritePaths:
        return WritePaths(self.traffic, self.registry)

    @cached_property
    def ledger(self) -> Ledger:
        return Ledger(self.stock)

    @cached_property
    def reserver(self) -> Reserver:
        return Reserver(self.stock, self.registry, now)

    @cached_property
    def fulfiller(self) -> Fulfiller:
        return Fulfiller(self.stock, self.registry, self.reserver, self.teller, now)

    @cached_property
    def set_aside(self) -> SetAside:
        return SetAside(self.stock, self.registry, now)

    @cached_property
    def freshness_watch(self) -> FreshnessWatch:
        return FreshnessWatch(self.stock, self.registry, self.cases, now)

    @cached_property
    def lots(self) -> LotDesk:
        return LotDesk(self.stock, self.registry, self.teller, now)

    @cached_property
    def transfers(self) -> TransferDesk:
        return TransferDesk(self.stock, self.registry, self.teller, now)

    @cached_property
    def recommender(self) -> Recommender:
        return Recommender(self.stock, self.registry, now)

    @cached_property
    def transfer_watch(self) -> TransferWatch:
        return TransferWatch(self.stock, self.registry, self.cases, self.transfers, now)

    @cached_property
    def order_watch(self) -> OrderWatch:
        return OrderWatch(self.stock, self.registry, self.cases, now)

    @cached_property
    def drift_desk(self) -> DriftDesk:
        return DriftDesk(self.cases, self.registry)

    @cached_property
    def drift_sweep(self) -> DriftSweep:
        return DriftSweep(self.stock, self.registry, self.reconciler, self.event_counter, now)

    @cached_property
    def tallies(self) -> Tallies:
        return Tallies(self.stock)

    @cached_property
    def match_desk(self) -> MatchDesk:
        return MatchDesk(self.tallies, self.cases, self.registry, self.view, self.reconciler, now)

    @cached_property
    def kpi_desk(self) -> KpiDesk:
        return KpiDesk(self.tallies, self.traffic, self.cases, Transfers(self.stock), self.registry)

    @cached_property
    def _dead_letter_queues(self) -> SqsDeadLetters:
        return SqsDeadLetters(self._sqs, self._names("dead_letter_queues"))

    @cached_property
    def redrive_preview(self) -> RedrivePreview:
        promises = Promises(self.stock, self.registry, now)
        return RedrivePreview(
            self._dead_letter_queues,
            Listings(self.stock),
            promises,
            self.registry,
            self.ingester,
            self.inbox,
        )

    @cached_property
    def dead_letters(self) -> DeadLetterDesk:
        queues = self._dead_letter_queues
        return DeadLetterDesk(queues, self.cases, Listings(self.stock), self.registry, now)

    @cached_property
    def sweep(self) -> Sweep:
        failures = SqsStreamFailures(self._sqs, getattr(self._settings, "stream_failure_queues", ()))
        return Sweep(
            self.inbox,
            self.applier,
            self.ingester,
            self.fan_out,
            self.reconciler,
            self.dead_letters,
            failures,
            self.cases,
            self.registry,
            self.alerts,
            self.unbinned,
            now,
        )

    @cached_property
    def alerts(self) -> AlertDesk:
        # Functions that only apply messages again tell nobody, and are told of no topic.
        messenger = SnsMessenger(self._sns, cast(str, getattr(self._settings, "alert_topic", "")))
        counts = self.dead_letters.counts
        return AlertDesk(self.cases, self.registry, messenger, counts, self._settings.stage, now)

    @cached_property
    def amender(self) -> Amender:
        return Amender(self.stock, now)

    @cached_property
    def count_desk(self) -> CountDesk:
        return CountDesk(self.poster, self.amender, self.registry, self.cases, self.unbinned, now)

    @cached_property
    def undo_guard(self) -> UndoGuard:
        return UndoGuard(self.cases, self.registry, now)

    @cached_property
    def undoer(self) -> Undoer:
        return Undoer(self.stock, self.registry, self.amender, self.teller, now)

    @cached_property
    def manual_desk(self) -> ManualDesk:
        return ManualDesk(self.inbox, self.registry, self.applier, self.poster, self.cases, now)

    @cached_property
    def case_desk(self) -> CaseDesk:
        return CaseDesk(self.cases, self.inbox, self.registry, self.sweep, self.lanes, self.count_desk, now)

    @cached_property
    def case_life(self) -> CaseLife:
        return CaseLife(self.cases, now)

    @cached_property
    def work_queue(self) -> WorkQueue:
        return WorkQueue(self.cases, self.registry, now)

    @cached_property
    def tracer(self) -> Tracer:
        messages = MessageView(self.stock, self.registry, now)
        return Tracer(self.stock, self.inbox, self.cases, self.registry, self.view, messages)

    @cached_property
    def verifier(self) -> Verifier:
        return Verifier(self.stock)
