"""Run the gateway: ``python -m services.gateway``. ``check`` and ``save`` are for the file of the lines."""

from __future__ import annotations

from shared.shutdown import exit_on_signal

if __name__ == "__main__":
    exit_on_signal()  # before the imports, which take seconds

import sys
import threading
from contextlib import closing
from datetime import timedelta
from functools import partial

from services.gateway.active_claim import ActiveClaim
from services.gateway.commands import run_command
from services.gateway.dispatcher import Dispatcher, Dispatchers
from services.gateway.encoders.reading import open_encoder, open_reader, way_of
from services.gateway.handler import Gateway, now
from services.gateway.journal import Journal
from services.gateway.line_checks import LineChecks
from services.gateway.line_recipes import LineRecipes, RecipeOfLine
from services.gateway.line_watch import LineStatuses, LineWatch
from services.gateway.lines import read_lines
from services.gateway.lines_watch import LONGEST_LOOK, LinesFileWatch
from services.gateway.loops import (
    BATCH,
    adopt_decisions,
    decide_at_deadlines,
    publish_decisions,
    read_reports,
    take_commands,
)
from services.gateway.outputs.opening import open_output
from services.gateway.readiness import Readiness
from services.gateway.recipes import Recipes
from services.gateway.settings import GatewaySettings
from services.gateway.signal_outbox import SignalOutbox
from shared.claims import Identity
from shared.environment import read_settings
from shared.health import Health, serve_health
from shared.logging import configure_logging
from shared.messaging.loop import consume
from shared.service import WorkerReporter, await_broker, background_threads, run_service
from shared.storage.opening import open_store
from shared.topology import DECISIONS, GATEWAY_CHECKS, GATEWAY_COMMANDS, GATEWAY_REPORTS, GATEWAY_VERDICTS
from shared.tracing.setup import configure_tracing


def main(stop: threading.Event) -> None:
    """Build the settings, the adapters and the handler, wait for the claim of the active gateway, run the loops."""
    settings = read_settings(GatewaySettings)
    configure_logging("gateway", settings)
    configure_tracing("gateway")
    health = Health()
    serve_health(health, settings)

    lines = read_lines(settings.lines)
    store = open_store(settings)
    identity = Identity(settings.name, settings.folder, "GATEWAY_FOLDER")
    active_claim = ActiveClaim(store, identity.holder, settings.lease_seconds)
    with (
        Journal(settings.folder, timedelta(days=settings.retention_days)) as journal,
        closing(await_broker(settings, stop)) as broker,
    ):
        health.add_check(broker.troubles)
        with closing(broker.subscribe(DECISIONS, prefetch=BATCH)) as decisions:
            if not active_claim.take(stop, health, partial(adopt_decisions, journal, decisions)):
                return
        encoders = {line: open_encoder(encoder, now) for line, encoder in lines.encoders.items()}
        outbox = SignalOutbox(journal, lines.outputs, now, encoders)
        recipes = Recipes(store, journal, lines.parts)
        readiness = Readiness(journal, store, lines.checks, settings.shift_times)
        readiness.copy()
        gateway = Gateway(journal, recipes, outbox.add, on_inspected=readiness.inspected, mark=readiness.mark)
        publisher, add_loop = broker.publisher(), health.add_loop
        line_recipes = LineRecipes(store, publisher, recipes, gateway.inspects)
        opened = {
            line: {
                name: open_output(output, line, RecipeOfLine(line_recipes, line))
                for name, output in line_outputs.items()
            }
            for line, line_outputs in lines.outputs.items()
        }
        readers = {line: open_reader(encoder, opened[line]) for line, encoder in lines.encoders.items()}
        outputs = Dispatchers(
            [
                Dispatcher(
                    f"{line}/{name}",
                    output,
                    outbox,
                    journal,
                    now,
                    way=way_of(lines.outputs[line][name], encoders.get(line)),
                )
                for line, line_outputs in opened.items()
                for name, output in line_outputs.items()
            ]
        )
        watch = LineWatch(settings.silence_seconds)
        statuses = LineStatuses(
            watch,
            gateway,
            journal,
            list(lines.lines),
            show=outputs.show,
            due=readiness.due,
            describe=readiness.describe,
        )
        checks = LineChecks(
            journal,
            recipes,
            outbox,
            publisher,
            on_checked=readiness.checked,
            recipe_of=line_recipes.of,
        )
        reporter = WorkerReporter("gateway", publisher)
        reports = broker.subscribe(GATEWAY_REPORTS, prefetch=settings.batch)
        with background_threads(
            stop,
            partial(active_claim.renew, stop, add_loop("the claim", 3 * settings.lease_seconds + 30)),
            partial(decide_at_deadlines, gateway, journal, stop, add_loop("the deadlines")),
            partial(publish_decisions, journal, publisher, stop, add_loop("the decisions")),
            partial(
                read_reports,
                gateway,
                watch,
                reports,
                stop,
                add_loop("gateway.reports"),
                line_recipes=line_recipes,
            ),
            partial(statuses.run, stop, add_loop("the statuses")),
            partial(
                take_commands,
                outbox,
                checks,
                broker.subscribe(GATEWAY_COMMANDS, prefetch=10),
                stop,
                add_loop("gateway.commands"),
                line_recipes=line_recipes,
            ),
            partial(
                consume,
                broker.subscribe(GATEWAY_CHECKS, prefetch=settings.batch),
                publisher,
                checks.inspected,
                most=settings.batch,
                wait_seconds=0.5,
                stop=stop,
                health=add_loop("gateway.checks"),
            ),
            partial(checks.run, stop, add_loop("the checks of lines")),
            partial(readiness.run, stop, add_loop("the copies of what is known of checks")),
            partial(line_recipes.run, stop, add_loop("the recipes of lines")),
            partial(LinesFileWatch(settings.lines, lines).run, stop, add_loop("the file of the lines", LONGEST_LOOK)),
            *(partial(each.run, stop, add_loop(f"the output {each.name}")) for each in outputs.all),
            *(
                partial(reader.run, encoders[line], stop, add_loop(f"the encoder of {line}"))
                for line, reader in readers.items()
            ),
            partial(reporter.run, settings.report_seconds, stop, add_loop("the reports")),
            partial(
                statuses.report,
                publisher,
                settings.name,
                outputs.reports,
                checks.report,
                every_seconds=settings.report_seconds,
                stop=stop,
                health=add_loop("the reports of lines"),
            ),
        ):
            consume(
                broker.subscribe(GATEWAY_VERDICTS, prefetch=2 * settings.batch),
                publisher,
                reporter.counting(gateway.decide),
                most=settings.batch,
                wait_seconds=0.5,
                stop=stop,
                health=health,
            )


if __name__ == "__main__":
    if sys.argv[1:]:
        sys.exit(run_command(sys.argv[1:]))
    run_service(main)
