"""A program that behaves as OpenVZ's vzctl, vzlist and vzmigrate do, as far as OMS asks them; for tests alone.

    python openvz_double.py DIRECTORY vzctl|vzlist|vzmigrate ARGUMENTS...

Its containers are configuration files in DIRECTORY/etc/conf, as OpenVZ's are; what runs is in DIRECTORY/run, and
what the kernel would tell of it in DIRECTORY/proc. DIRECTORY/hosts/NAME leads to the directory of another host
that lets this one's root in. Files in DIRECTORY make trouble: with `hang` every call hangs, with `broken` vzlist
says what is no JSON, with `refuses` nothing starts on other hosts, with `breaks` vzmigrate ends before its last
step, with `complains` with an error after it. Written after the manual pages vzctl(8), vzlist(8), vzmigrate(8),
ctid.conf(5).
"""

import fcntl
import json
import re
import shutil
import sys
import time
from pathlib import Path
from typing import Any

UNLIMITED = 9223372036854775807
OPTIONS = {
    "--hostname": "HOSTNAME",
    "--cpus": "CPUS",
    "--cpulimit": "CPULIMIT",
    "--onboot": "ONBOOT",
    "--diskspace": "DISKSPACE",
    "--description": "DESCRIPTION",
}
LISTS = {"--nameserver": "NAMESERVER", "--searchdomain": "SEARCHDOMAIN"}
NO_CONNECTION, NOT_STARTED_THERE, THERE_ALREADY, NOT_HERE = 4, 7, 9, 10
BAD_OPTION, BAD_VALUE, NO_CONFIG, NOT_RUNNING, RUNNING, NOT_DELETED = 20, 21, 14, 31, 32, 52
Conf = dict[str, str]


class Ended(Exception):
    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status = status


class OpenVz:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.conf, self.run = directory / "etc/conf", directory / "run"

    # --- what there is

    def ids(self) -> list[str]:
        return sorted((path.stem for path in self.conf.glob("[0-9]*.conf")), key=int)

    def read(self, ctid: str) -> Conf:
        path = self.conf / f"{ctid}.conf"
        if not path.exists():
            raise Ended(NO_CONFIG, f"Container config file does not exist: {path}")
        return dict(re.findall(r'^([A-Z_]+)="([^"]*)"$', path.read_text(), re.MULTILINE))

    def write(self, ctid: str, conf: Conf) -> None:
        text = "".join(f'{name}="{value}"\n' for name, value in conf.items())
        (self.conf / f"{ctid}.conf").write_text(text)

    def status(self, ctid: str) -> str:
        path = self.run / ctid
        return path.read_text() if path.exists() else "stopped"

    def turn(self, ctid: str, status: str) -> None:
        process = self.directory / "proc" / str(10_000 + int(ctid))
        shutil.rmtree(process, ignore_errors=True)
        (self.run / ctid).write_text(status)
        if status == "stopped":
            (self.run / ctid).unlink()
        if status == "running":
            process.mkdir(parents=True)
            (process / "status").write_text(f"Name:\tinit\nenvID:\t{ctid}\nVPid:\t1\n")
        lines = [
            "Version: 2.2",
            "      VEID     user      nice     system     uptime     idle     strv     uptime     used",
        ]
        lines += [f"{one:>10} 250 0 50 100 0 0 100 3" for one in self.ids() if self.status(one) == "running"]
        (self.directory / "proc/vz").mkdir(parents=True, exist_ok=True)
        (self.directory / "proc/vz/vestat").write_text("\n".join(lines) + "\n")

    # --- vzlist

    def row(self, ctid: str) -> dict[str, Any]:
        conf, status = self.read(ctid), self.status(ctid)
        held = 2048 if status == "running" else 0
        soft, hard = (_kb(part) for part in conf.get("DISKSPACE", "unlimited:unlimited").split(":"))
        return {
            "ctid": int(ctid),
            "private": conf["VE_PRIVATE"],
            "root": conf["VE_ROOT"],
            "hostname": conf.get("HOSTNAME"),
            "name": None,
            "description": conf.get("DESCRIPTION"),
            "ostemplate": conf.get("OSTEMPLATE"),
            "ip": conf.get("IP_ADDRESS", "").split(),
            "nameserver": conf.get("NAMESERVER", "").split(),
            "searchdomain": conf.get("SEARCHDOMAIN", "").split(),
            "status": status,
            "physpages": _counter(held, conf.get("PHYSPAGES")),
            "swappages": _counter(0, conf.get("SWAPPAGES")),
            "diskspace": {"usage": 900 if held else 0, "softlimit": soft, "hardlimit": hard},
            "laverage": [0.0, 0.0, 0.0] if held else None,
            "cpulimit": int(conf["CPULIMIT"]) if "CPULIMIT" in conf else None,
            "cpus": int(conf.get("CPUS", "0")),
            "onboot": conf.get("ONBOOT") == "yes",
            "layout": conf.get("VE_LAYOUT", "simfs"),
        }

    # --- vzctl

    def call(self, verb: str, ctid: str, words: list[str]) -> None:
        self.read(ctid)
        getattr(self, f"do_{verb}")(ctid, words)

    def do_start(self, ctid: str, _words: list[str]) -> None:
        if self.status(ctid) == "running":
            raise Ended(RUNNING, "Container is already running")
        self.turn(ctid, "running")

    def do_stop(self, ctid: str, _words: list[str]) -> None:
        if self.status(ctid) != "running":
            raise Ended(NOT_RUNNING, "Unable to stop: container is not running")
        self.turn(ctid, "stopped")

    def do_exec(self, ctid: str, words: list[str]) -> None:
        if self.status(ctid) != "running":
            raise Ended(NOT_RUNNING, "Container is not running")
        if words == ["halt"]:
            self.turn(ctid, "stopped")

    def do_chkpnt(self, ctid: str, _words: list[str]) -> None:
        if self.status(ctid) != "running":
            raise Ended(NOT_RUNNING, "Container is not running")
        self.turn(ctid, "suspended")

    def do_restore(self, ctid: str, _words: list[str]) -> None:
        self.turn(ctid, "running")

    def do_mount(self, ctid: str, _words: list[str]) -> None:
        self.turn(ctid, "mounted")

    def do_umount(self, ctid: str, _words: list[str]) -> None:
        self.turn(ctid, "stopped")

    def do_destroy(self, ctid: str, _words: list[str]) -> None:
        if self.status(ctid) == "running":
            raise Ended(NOT_DELETED, "Container is currently mounted (umount first)")
        shutil.rmtree(self.read(ctid)["VE_PRIVATE"])
        path = self.conf / f"{ctid}.conf"
        path.rename(path.with_suffix(".conf.destroyed"))

    def do_set(self, ctid: str, words: list[str]) -> None:
        conf, left, fresh = self.read(ctid), list(words), set[str]()
        save = False
        while left:
            option = left.pop(0)
            if option == "--save":
                save = True
                continue
            if not left:
                raise Ended(BAD_OPTION, f"Option {option} needs a value")
            _apply(conf, option, left.pop(0), fresh)
        if save:
            self.write(ctid, conf)

    # --- vzmigrate

    def migrate(self, words: list[str]) -> None:
        removes, yes, address, ctid = words
        assert (removes, yes) == ("-r", "yes")
        place = self.directory / "hosts" / address
        if ctid not in self.ids():
            raise Ended(NOT_HERE, f"CT {ctid} doesn't exist")
        _say(f"Starting migration of CT {ctid} to {address}")
        if not place.exists():
            raise Ended(NO_CONNECTION, f"Can't connect to destination address using public key {address}")
        there = OpenVz(place.resolve())
        there.run.mkdir(exist_ok=True)
        if ctid in there.ids():
            raise Ended(THERE_ALREADY, f"CT {ctid} already exists on destination")
        self._take_over(ctid, there)

    def _take_over(self, ctid: str, there: "OpenVz") -> None:
        conf, ran = self.read(ctid), self.status(ctid) == "running"
        over = conf | {name: str(there.directory / name[3:].lower() / ctid) for name in ("VE_PRIVATE", "VE_ROOT")}
        _say("Syncing private")
        shutil.copytree(conf["VE_PRIVATE"], over["VE_PRIVATE"])
        if ran:
            _say("Stopping container")
            self.turn(ctid, "stopped")
        Path(over["VE_ROOT"]).mkdir()
        there.write(ctid, over)
        if (self.directory / "refuses").exists():
            there.do_destroy(ctid, [])
            self.turn(ctid, "running" if ran else "stopped")
            raise Ended(NOT_STARTED_THERE, "Failed to start container")
        if ran:
            _say("Starting container")
            there.turn(ctid, "running")
        if (self.directory / "breaks").exists():
            raise Ended(137, "")
        self.do_destroy(ctid, [])
        if (self.directory / "complains").exists():
            raise Ended(1, "Failed to release the lock")


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _apply(conf: Conf, option: str, value: str, fresh: set[str]) -> None:
    match option:
        case "--setmode":
            return
        case "--ram" | "--swap":
            conf["PHYSPAGES" if option == "--ram" else "SWAPPAGES"] = f"0:{value}"
        case "--ipdel":
            conf.pop("IP_ADDRESS", None)
        case "--ipadd":
            conf["IP_ADDRESS"] = f"{conf.get('IP_ADDRESS', '')} {value}".strip()
        case "--nameserver" | "--searchdomain":
            name = LISTS[option]
            before = conf.get(name, "") if name in fresh else ""
            conf[name] = f"{before} {value}".strip()
            fresh.add(name)
        case "--cpulimit" if not value.isdigit():
            raise Ended(BAD_VALUE, f"Invalid value for --cpulimit: {value}")
        case _ if option in OPTIONS:
            conf[OPTIONS[option]] = value
        case _:
            raise Ended(BAD_OPTION, f"Error parsing options: {option}")


def _counter(held: int, text: str | None) -> dict[str, int]:
    barrier, _, limit = (text or "0:unlimited").partition(":")
    pages = UNLIMITED if limit == "unlimited" else _kb(limit, 4) // 4
    return {"held": held, "maxheld": held, "barrier": int(barrier), "limit": pages, "failcnt": 0}


def _kb(text: str, bare: int = 1) -> int:
    if text == "unlimited":
        return UNLIMITED
    return int(text[:-1]) if text.endswith("K") else int(text) * bare


def main(directory: Path, program: str, words: list[str]) -> int:
    while (directory / "hang").exists():
        time.sleep(0.05)
    here = OpenVz(directory)
    here.run.mkdir(exist_ok=True)
    with (directory / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if program == "vzlist":
            rows = [here.row(ctid) for ctid in here.ids()]
            sys.stdout.write("<no JSON>" if (directory / "broken").exists() else json.dumps(rows, indent=2))
            return 0
        try:
            if program == "vzmigrate":
                here.migrate(words)
            else:
                here.call(words[0], words[1], words[2:])
        except Ended as ended:
            sys.stderr.write(f"{ended}\n")
            return ended.status
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:]))
