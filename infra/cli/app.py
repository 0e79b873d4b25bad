"""All commands, in the order in which somebody new needs them."""

from __future__ import annotations

import click

from infra.cli import (
    advice_command,
    audit_command,
    case_commands,
    channel_commands,
    delivery_commands,
    drill_commands,
    explain_command,
    item_commands,
    lot_commands,
    manual_commands,
    measure_commands,
    network_commands,
    path_command,
    proof_commands,
    rollout_commands,
    runtime_commands,
    secret_commands,
    simulate_command,
    stock_commands,
    trace_command,
    transfer_commands,
)


class InOrder(click.Group):
    """A group that lists its commands as they were added."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


@click.group(cls=InOrder)
def onecount() -> None:
    """One trusted stock count across every system that touches inventory."""


for member in (
    audit_command.audit,
    runtime_commands.demo,
    runtime_commands.up,
    runtime_commands.status,
    runtime_commands.down,
    runtime_commands.doctor,
    network_commands.apply,
    item_commands.items,
    secret_commands.secret,
    rollout_commands.rollout,
    rollout_commands.shadow_report,
    delivery_commands.send,
    delivery_commands.drop,
    delivery_commands.message,
    delivery_commands.messages,
    delivery_commands.replay,
    delivery_commands.undo,
    stock_commands.stock,
    stock_commands.journal,
    manual_commands.adjust,
    manual_commands.count,
    proof_commands.verify,
    proof_commands.rebuild,
    lot_commands.recall,
    channel_commands.reserve,
    channel_commands.fulfil,
    channel_commands.unfulfil,
    channel_commands.set_aside,
    channel_commands.release,
    transfer_commands.transfers,
    channel_commands.push,
    case_commands.cases,
    case_commands.case,
    explain_command.explain,
    explain_command.drift,
    advice_command.advice,
    drill_commands.drill,
    trace_command.trace,
    path_command.write_paths,
    measure_commands.match_rate,
    measure_commands.cutover,
    measure_commands.kpis,
    case_commands.dead_letters,
    runtime_commands.token,
    simulate_command.simulate,
    explain_command.incident,
):
    onecount.add_command(member)
