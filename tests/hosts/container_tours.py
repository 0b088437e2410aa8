"""The stretches of the tour that are about containers."""

from tests.hosts.wire import Tour


def containers(tour: Tour) -> None:
    """On a host that can have none: each call says so."""
    for method, params in (
        ("list_vms", ("cpu", "memory")),
        ("list_vms_status", ()),
        ("parse_system_min_max", ()),
        ("parse_vm_settings", (129,)),
        ("update_vm_settings", (129, {"vcpu": "2"})),
        ("start_vm", ("129",)),
        ("stop_vm", ("129",)),
        ("delete_vm", (129,)),
        ("describe_vm", (129,)),
        ("reboot_vm", (129,)),
        ("suspend_vm", (129,)),
        ("resume_vm", (129,)),
        ("set_autostart_vm", (129, True)),
        ("migrate_vm", (129, "node2")),
        ("list_templates", ()),
        ("parse_template_for_vm", ("templatename", "virtual_machine.example.com")),
        ("deploy_template_for_vm", ("templatename", "virtual_machine.example.com", {})),
        ("parse_vm_for_template", ("119", "templatename")),
        ("create_template_from_vm", ("119", "templatename", {})),
        ("delete_template", ("templatename",)),
        ("upload_template", ("templatename", 1024)),
        ("fetch_template", ("templatename", "https://127.0.0.1:9/x.tar.gz")),
        ("copy_template", ("templatename", "node2")),
    ):
        assert tour.refused(f"ovzservices.{method}", *params).error["data"]["reason"] == "not_supported"
    assert {guest["type"] for guest in tour.call("kvmplusovzservices.list_vms", "cpu")} <= {"kvm"}
    assert {state["type"] for state in tour.call("kvmplusovzservices.list_vms_status").values()} <= {"kvm"}
    assert {one["type"] for one in tour.call("kvmplusovzservices.list_templates")} <= {"kvm"}
    assert tour.refused("ovzservices.start_vm", "../129").error["data"]["parameter"] == "container_id"
    assert tour.refused("ovzservices.start_vm", 0).error["data"]["parameter"] == "container_id"
