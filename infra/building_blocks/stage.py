"""Where a deployment runs, and what follows from that: names, and how hard its data is to lose.

Physical names are given only to what others find by name (queues, functions, secrets, the drop bucket); everything
else is named by CloudFormation, which can then replace it.
"""

from __future__ import annotations

from dataclasses import dataclass

from aws_cdk import RemovalPolicy
from aws_cdk import aws_logs as logs

STAGE_NAMES = ("local", "dev", "prod")


class UnknownStageError(ValueError):
    """The stage is none of local, dev and prod."""

    def __init__(self, name: object) -> None:
        super().__init__(
            f"stage: {name!r} is not one of {', '.join(STAGE_NAMES)}; pass one with -c stage=..."
        )


@dataclass(frozen=True, slots=True)
class Stage:
    """One of ``local`` (the embedded runtime), ``dev`` and ``prod``.

    Raises
    ------
    UnknownStageError
    """

    name: str

    def __post_init__(self) -> None:
        if self.name not in STAGE_NAMES:
            raise UnknownStageError(self.name)

    @property
    def is_local(self) -> bool:
        """True on the embedded runtime, which runs functions under the project's own interpreter."""
        return self.name == "local"

    @property
    def keeps_data(self) -> bool:
        """True where removing a stack must not remove what it stored."""
        return self.name == "prod"

    @property
    def removal_policy(self) -> RemovalPolicy:
        """What becomes of stored data when its stack goes."""
        return RemovalPolicy.RETAIN if self.keeps_data else RemovalPolicy.DESTROY

    @property
    def log_retention(self) -> logs.RetentionDays:
        """Production logs outlive the 90 days for which raw messages are kept."""
        return logs.RetentionDays.SIX_MONTHS if self.keeps_data else logs.RetentionDays.TWO_WEEKS

    def named(self, *parts: str) -> str:
        """Return the physical name ``onecount-{stage}-{parts...}``, words joined by dashes."""
        return "-".join(("onecount", self.name, *parts)).replace("_", "-")

    def queue(self, *parts: str) -> str:
        """Return a queue's name; unlike ``named`` it keeps a channel's id letter by letter."""
        return "-".join(("onecount", self.name, *parts))

    def secret(self, kind: str, id_: str) -> str:
        """Return the name of the secret of a ``source`` or ``channel``."""
        return f"onecount/{self.name}/{kind}/{id_}"
