"""The way from one host to another, for one move: opened by OMS's word, walked by nobody else, closed with it.

`papers` are the two certificates that are made for it and known to both sides by OMS; `stream` is what goes over
it; `gate` is the side that listens, `crossing` the side that comes; `matchmaker` is how the one is told of the
other; `passages` is all of it as jobs see it.
"""
