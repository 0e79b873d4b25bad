"""Structured logs: one JSON line for each decision, with the invocation that made it."""

from __future__ import annotations

import logging
import sys

from aws_lambda_powertools.logging.formatter import LambdaPowertoolsFormatter


def log_to_stdout(service: str) -> LambdaPowertoolsFormatter:
    """Send every record of this process to standard output as JSON; return the formatter, which holds the keys."""
    formatter = LambdaPowertoolsFormatter(service=service)
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.INFO)
    for chatty in ("botocore", "boto3", "urllib3"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    return formatter
