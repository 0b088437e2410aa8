"""The wire over NATS: OMS's end, the agent's end, and the nats-server that OMS keeps running for both.

`server.NatsServerWire` and `agent.NatsAgentWire` are what `oms.bus.wire` promises; `config`, `supervisor` and
`nkey.Issuer` are what OMS needs to run the bus itself. Who may connect and what a host may do is decided by OMS
for each connection (`callout`, `permissions`); who is connected, and cutting a host off, is `control`.
"""
