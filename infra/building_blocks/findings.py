"""Acknowledge a cdk-nag finding next to the construct it is about, with the true reason.

cdk-nag 3 knows each finding by its own id (``AwsSolutions-IAM5[Resource::*]``), so an acknowledgement never covers
a finding that nobody has looked at.
"""

from __future__ import annotations

from aws_cdk import Acknowledgment, Validations
from constructs import IConstruct


def acknowledge(construct: IConstruct, finding: str, reason: str) -> None:
    """Accept ``AwsSolutions-{finding}`` on ``construct`` and what is inside it, for ``reason``."""
    Validations.of(construct).acknowledge(Acknowledgment(id=f"AwsSolutions-{finding}", reason=reason))
