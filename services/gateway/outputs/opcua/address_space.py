"""The nodes of a vision system: types of OPC 40100-1, and one instance of them."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import structlog
from asyncua import Node, Server, ua
from asyncua.common.copy_node_util import copy_node
from asyncua.common.instantiate_util import instantiate
from asyncua.common.ua_utils import data_type_to_variant_type

from services.gateway.outputs.opcua.state_machine import OPERATIONAL, State, Transition
from services.gateway.outputs.opcua.subscriptions import gets, monitors
from services.gateway.outputs.port import LineStatus, Trouble
from services.gateway.outputs.settings import NODESET

SPECIFICATION: Final = "http://opcfoundation.org/UA/MachineVision"
NAMESPACE: Final = "urn:seamline:gateway"
"""The namespace of the instance; the ids of its nodes are texts such as ``VisionSystem.VisionStateMachine.Halt``."""
SYSTEM: Final = "VisionSystem"
MACHINE: Final = "VisionStateMachine"
AUTOMATIC: Final = "AutomaticModeStateMachine"
SELECT: Final = "SelectModeAutomatic"
RECIPES: Final = "RecipeManagement"
RESULTS: Final = "ResultManagement"
LINE: Final = "Line"
TYPES: Final = {
    SYSTEM: 1003,
    RECIPES: 1004,
    RESULTS: 1007,
    MACHINE: 1017,
    AUTOMATIC: 1021,
}
"""The numbers of the specification for the types of the objects."""
EVENTS: Final = {"JobStarted": 1013, "StateChanged": 1018, "RecipePrepared": 1022, "Ready": 1023, "ResultReady": 1024}
"""The numbers of the specification for the types of the events."""
WELL: Final = 255
"""The service level of a line that inspects parts."""
NO_DATA: Final = 1
CONTENT: Final = "ResultContent"
"""The field of a result without which a client does not know the decision."""

_log = structlog.stdlib.get_logger("opcua")

Values = Mapping[str, Any]
"""Arguments of a method, or fields of an event, by their names in the specification."""
Handler = Callable[[Values], Awaitable[Values]]


class MethodFailed(Exception):
    """A method is answered with a status code."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code


@dataclass(frozen=True)
class Argument:
    """An output of a method."""

    name: str
    type: ua.VariantType
    is_array: bool

    def variant(self, values: Values) -> ua.Variant:
        """Return its value, or the default of its type."""
        value = values.get(self.name)
        if value is None and self.is_array:
            value = []
        elif value is None and self.type is not ua.VariantType.ExtensionObject:
            value = ua.get_default_value(self.type)
        return ua.Variant(value, self.type, is_array=self.is_array)


class AddressSpace:
    """The nodes of one vision system."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._types = 0
        """The index of the namespace of the specification; of the instance below."""
        self._own = 0
        self._system: Node
        self._states: dict[str, ua.NodeId] = {}
        self._events: dict[str, Any] = {}
        self._line_node: Node
        self._line: dict[str, Node] = {}
        self._unfit: set[int] = set()
        """The ids of the subscriptions that could not be given an event."""

    async def build(self, line: str) -> None:
        """Import the types, and make the instance of a line."""
        await self._server.import_xml(xmlstring=_nodeset())
        self._types = await self._server.get_namespace_index(SPECIFICATION)
        self._own = await self._server.register_namespace(NAMESPACE)
        self._system = await self._instantiate(self._server.nodes.objects, SYSTEM)
        await self._system.write_attribute(
            ua.AttributeIds.DisplayName, ua.DataValue(ua.Variant(ua.LocalizedText(f"Vision system of {line}")))
        )
        machine = await self._child(self._system, MACHINE)
        select = await self._child(self._type(TYPES[MACHINE]), SELECT)
        await copy_node(machine, select, ua.NodeId(f"{_text(machine)}.{SELECT}", self._own))
        self._machines = machine, await self._instantiate(machine, AUTOMATIC)
        for name in (RECIPES, RESULTS):
            await self._instantiate(self._system, name)
        for name in (MACHINE, AUTOMATIC):
            for child in await self._type(TYPES[name]).get_children(nodeclassmask=ua.NodeClass.Object):
                self._states[(await child.read_browse_name()).Name] = child.nodeid
        await self._add_line(line)
        for name, number in EVENTS.items():
            self._events[name] = await self._server.get_event_generator(self._type(number), self._system)
        await self.show_state(State.PREOPERATIONAL)
        await self.show_line(LineStatus(Trouble.GATEWAY, "the gateway starts"), 0)

    async def link(self, path: Sequence[str], handler: Handler) -> None:
        """Let a handler answer a method."""
        node = self._system
        for name in path:
            node = await self._child(node, name)
        inputs = [argument.Name for argument in await _arguments(node, "InputArguments")]
        outputs = [
            Argument(
                argument.Name,
                await data_type_to_variant_type(self._server.get_node(argument.DataType)),
                argument.ValueRank >= 0,
            )
            for argument in await _arguments(node, "OutputArguments")
        ]

        self._server.link_method(node, _answering(inputs, outputs, handler))

    async def add_method(
        self,
        name: str,
        inputs: Mapping[str, ua.VariantType],
        outputs: Mapping[str, ua.VariantType],
        handler: Handler,
    ) -> None:
        """Add a method that OPC 40100-1 does not have, below the nodes about the line."""
        given, returned = (
            [ua.Argument(Name=argument, DataType=ua.NodeId(kind.value)) for argument, kind in arguments.items()]
            for arguments in (inputs, outputs)
        )
        answer = _answering(
            list(inputs), [Argument(each, kind, is_array=False) for each, kind in outputs.items()], handler
        )
        nodeid = ua.NodeId(f"{SYSTEM}.{LINE}.{name}", self._own)
        await self._line_node.add_method(nodeid, ua.QualifiedName(name, self._own), answer, given, returned)

    async def show_state(self, state: State) -> None:
        """Write the current states."""
        machine, automatic = self._machines
        if state.is_operational:  # the inner state first: a client that sees the outer one can read the inner one
            await self._write_state(automatic, state.value)
            await self._write_state(machine, OPERATIONAL)
        else:
            await self._write_state(machine, state.value)
            await self._write_state(automatic, None)

    async def show_line(self, status: LineStatus, overruns: int) -> None:
        """Write how the line is, and the service level."""
        values = {
            "Online": status.online,
            "Ready": status.ready,
            "ErrorCode": status.trouble.value,
            "Reason": status.reason or status.check_due,
            "Ok": status.ok,
            "Ng": status.ng,
            "NotInspected": status.not_inspected,
            "Overruns": overruns,
            "Recipe": status.recipe,
            "ModelVersion": status.model_version,
        }
        for name, value in values.items():
            node = self._line[name]
            await node.write_value(ua.Variant(value, (await node.read_data_value()).Value.VariantType))
        level = ua.Variant(WELL if status.online else NO_DATA, ua.VariantType.Byte)
        await self._server.get_node(ua.ObjectIds.Server_ServiceLevel).write_value(level)

    async def announce_transition(self, transition: Transition) -> None:
        """Send the event of a change of the state."""
        source, target = (OPERATIONAL if each.is_operational else each.value for each in transition.states)
        inner = source == target == OPERATIONAL
        await self.announce(
            "StateChanged",
            f"{transition.source} to {transition.target}",
            {
                "Transition": ua.LocalizedText(transition.name),
                "FromState": ua.LocalizedText(transition.source.value if inner else source),
                "ToState": ua.LocalizedText(transition.target.value if inner else target),
            },
        )

    async def announce(self, event: str, message: str, fields: Values) -> bool:
        """Send an event to the clients that have subscribed to those of the system or of the server.

        Return whether a client gets the content of a result by it.
        """
        generator = self._events[event]
        for name, value in fields.items():
            generator.event.add_property(name, value, _type_of(value))
        subscriptions = self._server.iserver.subscription_service.subscriptions
        has_content = False
        for node in (self._system.nodeid, ua.NodeId(ua.ObjectIds.Server)):
            generator.event.emitting_node = node
            for number, subscription in list(subscriptions.items()):
                if not monitors(subscription, node):
                    continue
                try:
                    await generator.trigger(message=message, subscription_id=number)
                    has_content |= gets(subscription, generator.event, CONTENT)
                except Exception as error:  # noqa: BLE001  a filter of one client takes no event from the others
                    if number not in self._unfit:
                        _log.error("a subscription can't be given an event", subscription=number, reason=repr(error))
                    self._unfit.add(number)
        self._unfit &= subscriptions.keys()
        return has_content

    async def _instantiate(self, parent: Node, name: str) -> Node:
        """Make an instance of a type of the specification with what is mandatory; its id is its path."""
        of_system = name == SYSTEM
        path = name if of_system else f"{_text(parent)}.{name}"
        browse_name = ua.QualifiedName(name, self._own if of_system else self._types)
        nodeid, text = ua.NodeId(path, self._own), ua.LocalizedText(name)
        await instantiate(parent, self._type(TYPES[name]), nodeid, browse_name, text, instantiate_optional=False)
        return self._server.get_node(nodeid)

    def _type(self, number: int) -> Node:
        return self._server.get_node(ua.NodeId(number, self._types))

    async def _child(self, parent: Node, name: str) -> Node:
        return await parent.get_child(ua.QualifiedName(name, self._types))

    async def _add_line(self, line: str) -> None:
        """Add what OPC 40100-1 has no nodes for: how the line is, and its counters."""
        parent = self._line_node = await self._system.add_object(
            ua.NodeId(f"{SYSTEM}.{LINE}", self._own), ua.QualifiedName(LINE, self._own)
        )
        types = {
            "Name": ua.Variant(line),
            "Online": ua.Variant(False),
            "Ready": ua.Variant(False),
            "ErrorCode": ua.Variant(0, ua.VariantType.UInt16),
            "Reason": ua.Variant(""),
            "Ok": ua.Variant(0, ua.VariantType.UInt32),
            "Ng": ua.Variant(0, ua.VariantType.UInt32),
            "NotInspected": ua.Variant(0, ua.VariantType.UInt32),
            "Overruns": ua.Variant(0, ua.VariantType.UInt32),
            "Recipe": ua.Variant(""),
            "ModelVersion": ua.Variant(""),
        }
        for name, value in types.items():
            nodeid = ua.NodeId(f"{SYSTEM}.{LINE}.{name}", self._own)
            self._line[name] = await parent.add_variable(nodeid, ua.QualifiedName(name, self._own), value)

    async def _write_state(self, machine: Node, state: str | None) -> None:
        """Write the current state of a machine; None: the machine is not active."""
        current = await machine.get_child(ua.QualifiedName("CurrentState", 0))
        state_id = await current.get_child(ua.QualifiedName("Id", 0))
        if state is None:
            inactive = ua.StatusCode(ua.StatusCodes.BadStateNotActive)
            await current.write_value(ua.DataValue(ua.Variant(None), StatusCode=inactive))
            await state_id.write_value(ua.DataValue(ua.Variant(None), StatusCode=inactive))
            return
        await current.write_value(ua.LocalizedText(state))
        await state_id.write_value(self._states[state])


def _answering(inputs: Sequence[str], outputs: Sequence[Argument], handler: Handler) -> Callable[..., Awaitable[Any]]:
    """Return what asyncua calls for a method with these inputs and outputs."""

    async def answer(_parent: ua.NodeId, *given: ua.Variant) -> list[ua.Variant] | ua.StatusCode:
        if len(given) != len(inputs):
            missing = len(given) < len(inputs)
            return ua.StatusCode(ua.StatusCodes.BadArgumentsMissing if missing else ua.StatusCodes.BadTooManyArguments)
        try:
            values = await handler({name: each.Value for name, each in zip(inputs, given, strict=True)})
        except MethodFailed as error:
            return ua.StatusCode(error.code)
        return [output.variant(values) for output in outputs]

    return answer


def _nodeset() -> str:
    """Return the nodeset, in which each type of ids defines the fields that it has from its base.

    asyncua takes a type that adds no field for another name of its base, and clients can't decode it.
    """
    text = NODESET.read_text(encoding="utf-8")
    base = re.search(r'<Definition Name="1:BinaryIdBaseDataType">(.*?)</Definition>', text, re.DOTALL)
    fields = base[1] if base else ""
    return re.sub(r'(<Definition Name="1:\w+")\s*/>', lambda empty: f"{empty[1]}>{fields}</Definition>", text)


async def _arguments(method: Node, name: str) -> Sequence[Any]:
    for child in await method.get_properties():
        if (await child.read_browse_name()).Name == name:
            return await child.read_value() or ()
    return ()


def _text(node: Node) -> str:
    return str(node.nodeid.Identifier)


def _type_of(value: Any) -> ua.VariantType:
    """Return the type by which a field of an event is encoded."""
    if isinstance(value, list):
        return ua.VariantType.Variant
    if isinstance(value, int) and not isinstance(value, bool):
        return ua.VariantType.Int32
    return ua.Variant(value).VariantType
