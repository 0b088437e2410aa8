"""Texts that became commands, options, paths, patterns, queries or markup in other systems of this kind."""

from pathlib import Path


def commands(proof: Path) -> list[str]:
    """Each makes the file `proof`, where a shell reads it."""
    touch = f"touch {proof}"
    return [
        *(f"x;{touch}", f"`{touch}`", f"$({touch})", f"x|touch${{IFS}}{proof}", f"x\n{touch}", f"x' ; {touch} '"),
        *(f'x" ; {touch} "', f"x&{touch}", f"x||{touch}", f"x > {proof}", f"<({touch})", f"${{x:-$({touch})}}"),
        *(f"x\r\n{touch}\r\n", f"\\\n{touch}", f"() {{ :;}}; {touch}", f"x\0;{touch}", f"~/../..;{touch}"),
    ]


def options(proof: Path) -> list[str]:
    """Each is an option of some program."""
    return [
        *(
            f"-oProxyCommand=touch {proof}",
            f"--checkpoint-action=exec=touch {proof}",
            f"--to-command=touch {proof}",
        ),
        *("-drive", "--", "-", "-rf", "--help", "-e", f"--config={proof}", "a,readonly=off", "a,file=/etc/shadow"),
        *(f"--exec=touch {proof}", "-c", "+x", "@/etc/passwd", "=x"),
    ]


NO_NAMES = [
    *(
        "vm1\n",
        "\nvm1",
        "vm1\r",
        "\u00b2",
        "\uff56\uff4d\uff11",
        "fe80::1%$(id)",
        "a\0b",
        "vm\0",
        "a" * 300,
        " ",
    ),
    *(" vm1", "vm1 ", "\tvm1", "v m1", "vm\u202e1", "vm\u200b1", "vm\u20281", "\ufeffvm1", ".", "..", "...", "/"),
    *(
        "../../../etc/passwd",
        "/etc/passwd",
        "a/b",
        "a\\b",
        "..%2f..%2fetc%2fpasswd",
        "%2e%2e",
        "a/../b",
        "./a",
        "~",
    ),
    *(
        "*",
        "?",
        "[a-z]",
        "{a,b}",
        "%",
        "_",
        "vm%",
        "'",
        "' OR 1=1--",
        '"; DROP TABLE hosts; --',
        "1; VACUUM",
        "--x",
    ),
    *("{{7*7}}", "${7*7}", "#{7*7}", "<%= 7*7 %>", "%(x)s", "{0.__class__}", "%n%n%n", "{}"),
    *("<img src=x onerror=alert(1)>", "a</name><x/>", "&lt;", "]]>", "<!DOCTYPE x>", "javascript:alert(1)"),
    *("json:{}", "nbd://127.0.0.1:1/x", "http://169.254.169.254/", "file:///etc/passwd", "fat:/etc", "a:b"),
    *("\x1b[2J", "\x07", "\x7f", "vm\u0085", "caf\u00e9", "\u0130", "\u212a", "\U0001f4a3", "e\u0301"),
]
"""No name, number, id, path or address of anybody. Nothing at all may be one, where one may be left out."""
