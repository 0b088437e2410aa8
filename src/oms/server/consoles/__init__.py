"""Consoles: what somebody looks at in a browser, and the way from there to the machine.

    browser ~WebSocket over TLS~ edge.consoles -> relay ~SSH~ host's sshd -> the machine's screen or terminal

`desk` keeps what is set up, by whom, at which port; `ways` are the SSH connections to hosts; `terminal` is a
program on a host; `tickets` let one browser in once; `spots` are the ports.
"""
