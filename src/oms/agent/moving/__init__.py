"""Machines that move from one host to another: the steps of both sides, so that a machine runs in one place.

The side it leaves (`leaving`) decides, the side it comes to (`receiving`) does as it is told; they talk in `words`
over a passage. Each arrow is written down before it is taken:

    leaving                                    receiving
    plan ── offer ──────────────────────────>  looks at it, prepares files and definition
         <────────────────────────── ready ──  or refuses: nothing was changed
    handing: the machine goes over (or, off, its files do); it stands still there
    commit ── commit ───────────────────────>  committed: kept there, goes on
           <──────────────────────── here ───  ends
    here: it is forgotten, and its copied disks go

Before `commit` stands on the disk of the host it leaves, everything is taken back, whatever breaks: the machine is
there, and the other side, which never lets it go on by itself, drops what came. After that only asking on is left.
That it has gone is taken from the hypervisor, which tells it apart from any other end.
"""
