"""Who may call what: the whole table, by hand, so that nobody is let in by a slip in a declaration.

A method that is declared and has no row here fails the tests, as does a row without a method.
"""

from oms.contract.operation import Permission

ANYBODY, VIEWER, OPERATOR, ADMIN = Permission.NOBODY, Permission.VIEWER, Permission.OPERATOR, Permission.ADMIN

MAY_CALL = {
    "authservices.authenticate": ANYBODY,
    "authservices.deauthenticate": ANYBODY,
    "authservices.checksessid": VIEWER,
    "funcservices.list_requests": VIEWER,
    "funcservices.sign_requests": ADMIN,
    "funcservices.remove_requests": ADMIN,
    "funcservices.list_signed": VIEWER,
    "funcservices.remove_signed": ADMIN,
    "funcservices.describe_host": VIEWER,
    "funcservices.ca_sha256": VIEWER,
    "kvmservices.list_vms": VIEWER,
    "kvmservices.list_vms_status": VIEWER,
    "kvmservices.parse_system_min_max": VIEWER,
    "kvmservices.parse_vm_settings": VIEWER,
    "kvmservices.update_vm_settings": OPERATOR,
    "kvmservices.stop_vm": OPERATOR,
    "kvmservices.start_vm": OPERATOR,
    "kvmservices.delete_vm": OPERATOR,
    "kvmservices.describe_vm": VIEWER,
    "kvmservices.shutdown_vm": OPERATOR,
    "kvmservices.reboot_vm": OPERATOR,
    "kvmservices.reset_vm": OPERATOR,
    "kvmservices.suspend_vm": OPERATOR,
    "kvmservices.resume_vm": OPERATOR,
    "kvmservices.save_vm": OPERATOR,
    "kvmservices.discard_saved_vm": OPERATOR,
    "kvmservices.set_autostart_vm": OPERATOR,
    "kvmservices.list_file_based_images": VIEWER,
    "kvmservices.list_file_based_images_used": VIEWER,
    "kvmservices.describe_file_based_images": VIEWER,
    "kvmservices.create_file_based_image": OPERATOR,
    "kvmservices.adopt_file_based_image": OPERATOR,
    "kvmservices.delete_file_based_image": OPERATOR,
    "kvmservices.list_templates": VIEWER,
    "kvmservices.parse_template_for_vm": VIEWER,
    "lvmservices.list_vg": VIEWER,
    "lvmservices.list_lv": VIEWER,
    "lvmservices.create_lv": OPERATOR,
    "lvmservices.delete_lv": OPERATOR,
    "taskservices.list_tasks": VIEWER,
    "taskservices.get_task": VIEWER,
    "taskservices.wait_task": VIEWER,
    "taskservices.cancel_task": OPERATOR,
}

CHANGES = {
    "funcservices.sign_requests",
    "funcservices.remove_requests",
    "funcservices.remove_signed",
    "kvmservices.update_vm_settings",
    "kvmservices.stop_vm",
    "kvmservices.start_vm",
    "kvmservices.delete_vm",
    "kvmservices.shutdown_vm",
    "kvmservices.reboot_vm",
    "kvmservices.reset_vm",
    "kvmservices.suspend_vm",
    "kvmservices.resume_vm",
    "kvmservices.save_vm",
    "kvmservices.discard_saved_vm",
    "kvmservices.set_autostart_vm",
    "kvmservices.create_file_based_image",
    "kvmservices.adopt_file_based_image",
    "kvmservices.delete_file_based_image",
    "lvmservices.create_lv",
    "lvmservices.delete_lv",
    "taskservices.cancel_task",
}
"""What changes anything but the caller's own session: never for a viewer, never for another site's page."""
