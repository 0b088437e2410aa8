"""What callers may ask about the API itself, without a session: it is published anyway.

qooxdoo's consoles ask `system.getCapabilities` and, of each service, `listMethods`, `methodSignature` and
`methodHelp`; JSON-RPC 2.0 clients ask `rpc.discover`.
"""

from typing import Any

from oms.contract.openrpc import document
from oms.contract.operation import Operation, signature
from oms.contract.registry import BY_NAME, Methods
from oms.server.edge.dialects import Asked, Plain

_CAPABILITIES = {
    "introspection": {
        "specUrl": "https://spec.open-rpc.org/",
        "specVersion": "1.3.2",
        "specServices": sorted(BY_NAME),
        "specMethods": ["listMethods", "methodSignature", "methodHelp"],
    }
}


def answer(asked: Asked) -> Plain | None:
    """The answer, or None where something else was asked. Raises the fault that the call was read with."""
    if asked.fault is not None:
        raise asked.fault
    match asked.service, asked.method:
        case "rpc", "discover":
            return Plain(document())
        case "system", "getCapabilities":
            return Plain(_CAPABILITIES)
        case str(), "listMethods" | "methodSignature" | "methodHelp" if asked.service in BY_NAME:
            return Plain(_about(asked.method, BY_NAME[asked.service], asked.params))
    return None


def _about(question: str, methods: Methods, params: Any) -> Any:
    if question == "listMethods":
        return sorted(methods)
    name = params[0] if isinstance(params, list) and params and isinstance(params[0], str) else ""
    found: type[Operation[Any]] | None = methods.get(name)
    if question == "methodHelp":
        return found.facts.document if found else ""
    return signature(found) if found else [None, None]
