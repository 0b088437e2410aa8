"""The blocks of the documentation that are marked `run` are run as they stand against a real OMS."""

import itertools
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import libvirt
import pytest

from oms.bus import enrolment
from tests.docs import blocks
from tests.docs.blocks import ROOT
from tests.hosts.kvm_machines import small_xml
from tests.hosts.libvirtd import PrivateLibvirtd
from tests.hosts.stack import Caller, Stack

pytestmark = pytest.mark.hosts
RUN = [page for page in blocks.PAGES if any(block.run for block in blocks.of(page))]
EXAMPLES = [block.text for block in blocks.of(ROOT / "docs" / "sdk.md") if block.kind == "python"]
PRINTED = ("node1 connected\ndemo ", "max_vcpu=", "nothing", " Job", "1000000 of 1000000\ndone\n")
"""A part of what each example of Python prints."""
NUMBER = itertools.count()
NEW = "seven purple whales at noon"


@pytest.fixture(scope="module")
def oms(libvirtd: PrivateLibvirtd, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("oms"), libvirtd.uri) as stack:
        yield stack


@pytest.mark.parametrize("page", RUN, ids=lambda page: page.stem)
def test_a_page_can_be_typed_from_its_top_to_its_end(
    page: Path, oms: Stack, libvirtd: PrivateLibvirtd, virt: libvirt.virConnect, tmp_path: Path
) -> None:
    user = f"{page.stem.lower()}{next(NUMBER)}"
    oms.add_user(user, "admin")
    first = f"some words of {user}"
    pem = (oms.homes[0] / "tls" / "pinned-ca.crt").read_text()
    ca_sha256 = enrolment.fingerprint(enrolment.read_certificate(pem))
    script = "set -eo pipefail\n" + "".join(block.commands for block in blocks.of(page) if block.run)
    calls = script.count("curl ") + script.count("\nkvm ") + script.count("\ncall ")
    password = NEW if "YOUR OWN" in script else first
    for words, meant in (
        ('params=["admin","PASSWORD"]', f'params=["{user}","{first.replace(" ", "%20")}"]'),
        ('"admin"', f'"{user}"'), ('\\"admin\\"', f'\\"{user}\\"'), ("YOUR OWN", NEW), ("PASSWORD", first),
        ("anna", f"anna-{user}"), (":8000", f":{oms.port}"), (".venv/bin/oms", "oms"),
        ("https://oms:", "https://127.0.0.1:"), ("https://host:", "https://127.0.0.1:"),
        ("qemu:///system", libvirtd.uri),
    ):  # fmt: skip
        script = script.replace(words, meant)
    # Whoever types these is asked for a password: it is not shown here, and is no word of the command.
    script = re.sub(r"(oms users (?:add-user|reset-password) [^\n#]*)", rf"\1 <<< '{NEW}' ", script)
    (tmp_path / "debian-12.iso").write_bytes(bytes(1_000_000))
    (tmp_path / "oms").write_text(f'#!/bin/sh\nexec {sys.executable} -m oms "$@"\n')
    (tmp_path / "oms").chmod(0o755)
    logs_in = "oms login" in script
    if not logs_in:  # whoever reads the page has done that before
        script = (
            f"oms login https://127.0.0.1:{oms.port} --user {user} --ca-sha256 {ca_sha256} <<< {first!r}\n"
            + script
        )
    if " demo " in script and "demo.xml" not in script:
        virt.defineXML(small_xml("demo"))
    ran = subprocess.run(
        ["bash", "-c", script],
        input=f"{ca_sha256}\n{user}\n{password}\n",  # the answers to what `oms login` asks
        env=os.environ
        | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
        | {"OMS_DATA": str(oms.directory)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=600,  # a page of twenty commands on a crowded machine
        check=False,
    )
    assert ran.returncode == 0, (script, ran.stdout, ran.stderr)
    answers = [answer for answer in objects(ran.stdout) if "error" in answer or "jsonrpc" in answer]
    assert [answer for answer in answers if answer.get("error") is not None] == []
    assert len(answers) >= calls - script.count("() {") - script.count("S=$("), ran.stdout


@pytest.mark.parametrize("place", range(len(PRINTED)))
def test_each_example_of_python_is_a_program(
    place: int, oms: Stack, virt: libvirt.virConnect, caller: Caller, tmp_path: Path
) -> None:
    virt.defineXML(small_xml("demo"))
    for name in caller.iso("list_images"):  # of another page
        caller.iso("delete_image", name)
    user = f"python{next(NUMBER)}"
    oms.add_user(user, "admin")
    token = caller.call("userservices", "create_token", caller.sessid, 0, user, "admin")["token"]
    assert len(EXAMPLES) == len(PRINTED)
    shown = EXAMPLES[place]
    for words, meant in (
        ("https://oms:8000", f"https://127.0.0.1:{oms.port}"),
        ("FINGERPRINT", caller.func("ca_sha256")["sha256"]),
        ('"anna", "PASSWORD"', f'"{user}", "some words of {user}"'),
        ('"TOKEN"', f'"{token}"'),
    ):
        shown = shown.replace(words, meant)
    (tmp_path / "debian.iso").write_bytes(bytes(1_000_000))
    with subprocess.Popen(
        [sys.executable, "-c", shown], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as program:
        while "oms.events(" in shown and program.poll() is None:
            caller.kvm("set_autostart_vm", "demo", True)  # for it to hear of
        out, err = program.communicate(timeout=120)
    assert (program.returncode, err) == (0, "")
    assert PRINTED[place] in out


def objects(text: str) -> Iterator[dict[str, Any]]:
    """The JSON objects in a text, wherever they begin: curl ends no line."""
    place = text.find('{"')
    while place >= 0:
        found, place = json.JSONDecoder().raw_decode(text, place)
        yield found
        place = text.find('{"', place)
