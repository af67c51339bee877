"""docs/messages.md says what the code does: its tables are the ones made here.

``python -m tests.unit.shared.test_messages_page`` prints them.
"""

from __future__ import annotations

import sys
from pathlib import Path

from shared import messages
from shared.messages import Message
from shared.messaging.sqlite.routing import matches
from shared.topology import EXCHANGE_OF, LINE_RECIPES, PROMOTIONS, QUEUES, WhenFull
from tests.unit.shared.test_topology import example, wanting

PAGE = Path(__file__).parents[3] / "docs" / "messages.md"


def rows_of_messages() -> list[str]:
    kinds = [kind for kind in Message.types.values() if kind.__module__ == messages.__name__]
    return [row_of_message(kind) for kind in kinds]


def row_of_message(kind: type[Message]) -> str:
    message = example(kind)
    queues = [f"`{queue.name}`" for queue in wanting(message)]
    if EXCHANGE_OF[kind] == PROMOTIONS.exchange and matches(PROMOTIONS.binding, message.routing_key):
        queues.append("every worker")
    if isinstance(message, messages.RecipeAnnounced):
        assert matches(LINE_RECIPES.about(message.line).binding, message.routing_key)
        queues.append("every camera of the line")
    says = (kind.__doc__ or "").split("\n")[0]
    return f"| `{kind.__name__}` {kind.version} | {says} | `{message.routing_key}` | {', '.join(queues)} |"


def rows_of_queues() -> list[str]:
    return [
        f"| `{queue.name}` | `{queue.exchange}` | `{queue.binding}` | {queue.limit:,} messages, "
        f"{queue.limit_bytes // 1024**3} GiB | {'sheds the oldest' if queue.when_full is WhenFull.SHED else 'refuses'}"
        f"{', one reader at a time' if queue.one_reader else ''} |"
        for queue in QUEUES
    ]


def rows_on_the_page(first_word: str) -> list[str]:
    """The rows of the table whose header starts with a word."""
    lines = PAGE.read_text().splitlines()
    begin = next(number for number, line in enumerate(lines) if line.startswith(f"| {first_word} |")) + 2
    end = next(number for number in range(begin, len(lines)) if not lines[number].startswith("|"))
    return lines[begin:end]


def test_the_page_lists_every_message_with_its_way() -> None:
    assert rows_on_the_page("message") == rows_of_messages()


def test_the_page_lists_every_queue_with_its_limits() -> None:
    assert rows_on_the_page("queue") == rows_of_queues()


if __name__ == "__main__":
    sys.stdout.write("\n".join([*rows_of_messages(), "", *rows_of_queues(), ""]))
