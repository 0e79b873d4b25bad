"""What is deployed: a stage, the systems that need infrastructure, who issues tokens, and whom to alarm.

Of ``network.yaml`` only the ids under ``sources`` and ``channels`` matter here (a secret each, a queue pair for each
channel); everything else in it goes to the registry by ``onecount apply``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from infra.building_blocks.stage import Stage

_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")

# The names of a channel's two dead-letter queues in an environment: what they are longer than twice its id, and what
# is left for all of them.
_QUEUE_NAME_REST = 38
_QUEUE_NAMES = 1500


class NetworkFileError(ValueError):
    """The network file cannot be read: names the file, the field, the reason and the remedy."""

    def __init__(self, path: Path, field: str, reason: str, remedy: str) -> None:
        super().__init__(f"{path}: {field}: {reason}; {remedy}")


@dataclass(frozen=True, slots=True)
class ConnectedSystems:
    """The ids of the systems that send (``sources``) and of those that we push to (``channels``)."""

    sources: tuple[str, ...]
    channels: tuple[str, ...]

    @classmethod
    def read(cls, path: Path) -> ConnectedSystems:
        """Read the ids from a network file.

        Raises
        ------
        NetworkFileError
        """
        try:
            content = yaml.safe_load(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise NetworkFileError(path, "file", "it does not exist", "pass -c network=<path>") from None
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise NetworkFileError(
                path, "file", f"it is not readable YAML ({error})", "correct it"
            ) from error
        if not isinstance(content, Mapping):
            raise NetworkFileError(path, "file", "it is not a mapping", "start it with 'sources:'")
        systems = cls(_ids(path, content, "sources"), _ids(path, content, "channels"))
        if sum(len(channel) + _QUEUE_NAME_REST for channel in systems.channels) > _QUEUE_NAMES:
            raise NetworkFileError(
                path,
                "channels",
                f"{len(systems.channels)} channels have more queue names than a function's environment (4 KB) holds",
                "shorten the ids, or deploy the network in two stages",
            )
        return systems


def _ids(path: Path, content: Mapping[object, object], field: str) -> tuple[str, ...]:
    declared = content.get(field) or {}
    if not isinstance(declared, Mapping):
        raise NetworkFileError(path, field, "it is not a mapping of ids", "write 'id: {...}' for each")
    for id_ in declared:
        if not isinstance(id_, str) or not _ID.fullmatch(id_):
            raise NetworkFileError(
                path,
                f"{field}.{id_}",
                "an id names queues and secrets, so it is 1-40 lower-case letters, digits or dashes",
                "rename it (and quote it if it is all digits)",
            )
    return tuple(sorted(declared))


@dataclass(frozen=True, slots=True)
class Deployment:
    """Everything the stacks need to know from outside.

    ``issuer``, ``audience`` and ``jwks_url`` describe the OpenID Connect issuer of the tokens that ``/v1`` accepts.
    Each may be None: then it is a CloudFormation parameter without a default, so that a template can be synthesized
    and reviewed without it but never deployed without it.
    """

    stage: Stage
    systems: ConnectedSystems
    issuer: str | None = None
    audience: str | None = None
    jwks_url: str | None = None
    alarm_email: str | None = None
