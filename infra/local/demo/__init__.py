"""The demo: the whole path on real transports, told step by step with the numbers that came out."""

from infra.local.demo.story import run

__all__ = ["run"]
