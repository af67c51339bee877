"""Any valid message arrives as it left, and any bytes are a message or malformed."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.messages import REASON_LENGTH, MalformedMessage, Message, decode
from tests.property.mutation import mutations
from tests.property.strategies import instances
from tests.unit.shared.test_messages import FILES, KINDS, golden


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
@settings(max_examples=25)
@given(data=st.data())
def test_any_message_arrives_as_it_left(kind: type[Message], data: st.DataObject) -> None:
    message = data.draw(instances(kind))
    body = message.encode()
    assert decode(body) == message
    assert decode(body).encode() == body


def read_or_refuse(body: bytes) -> bool:
    """Whether it is a message; one that is can be sent on."""
    try:
        message = decode(body)
    except MalformedMessage as error:
        reason = str(error)
        assert len(reason) <= REASON_LENGTH
        return False
    assert decode(message.encode()) == message
    return True


def test_mutated_messages_are_read_or_malformed() -> None:
    samples = [golden(path)[0] for path in FILES]
    read = sum(map(read_or_refuse, mutations(samples, 3_000)))
    assert 100 < read < 2_900, "some of both"


@settings(max_examples=40)
@given(data=st.data())
def test_mutated_arbitrary_messages_are_read_or_malformed(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(sorted(KINDS.values(), key=lambda kind: kind.__name__)))
    body = data.draw(instances(kind)).encode()
    for mutated in mutations([body], 20, seed=data.draw(st.integers(0, 1_000))):
        read_or_refuse(mutated)
