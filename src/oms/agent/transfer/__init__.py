"""Files on their way to this host: brought through OMS by a caller or another host, or fetched from the web.

What has come is written aside, in parts that can be gone on with after any break; only what is whole, and has the
checksum that was given, gets its name.
"""
