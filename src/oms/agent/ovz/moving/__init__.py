"""Containers that move from one host to another: the steps of both sides, so that a container runs in one place.

The side it leaves (`leaving`) decides, the side it comes to (`receiving`) does as it is told; they talk in `words`
over a passage, and rsync speaks with rsync beside them (`passes`). What is written down stands in brackets:

    leaving                                    receiving
    [plan] ── Offer ────────────────────────>  looks at it (`rules`), prepares a place [coming]
           <────────────────────────── Ready ─  or refuses: nothing was changed
    Pass, Pass ... while it runs ───────────>  takes what has changed
           <────────────────────────── Taken ─
    [handing] it is shut down; the last Pass
    Whole ──────────────────────────────────>  puts all on its disk [whole]
           <─────────────────────────── Kept ─
    [commit] ── Commit ─────────────────────>  [committed] makes the container, starts it
            <─────────────────────────── Here ─  or cannot, and has taken it back: [dropped]
    [here] it is deleted

Before `commit` stands on the disk of the host it leaves, everything is taken back, whatever breaks: the container
is there and runs, and the other side, which never starts it by itself, drops what came. After that only asking on
is left, until the other side says that it has it, or that it has nothing of it.
"""
