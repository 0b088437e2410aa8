"""The stretch of the tour on which accounts come and go."""

from tests.hosts.wire import Tour


def accounts(tour: Tour) -> None:
    """Somebody who is added, logs in, changes what is his own, and is removed."""
    first, second = "seven purple whales at noon", "another eight green herons"
    assert tour.call("userservices.whoami")["role"] == "admin"
    assert tour.call("userservices.add_user", "anna", first, "operator") == 0
    taken = tour.refused("userservices.add_user", "anna", second, "viewer")
    assert taken.error["data"]["reason"] == "user_exists"
    anna = tour.call("userservices.list_users")[1]
    assert (anna["name"], anna["role"], anna["must_change_password"]) == ("anna", "operator", True)
    assert tour.call("userservices.reset_password", "anna", second) == 0
    weak = tour.refused("userservices.reset_password", "anna", "password1234")
    assert weak.error["data"]["reason"] == "weak_password"
    admin, tour.sessid = tour.sessid, tour.call("authservices.authenticate", "anna", second)
    assert tour.refused("userservices.list_sessions").error["data"]["reason"] == "password_must_change"
    assert tour.call("userservices.change_password", second, first) == 0
    (session,) = tour.call("userservices.list_sessions")
    assert (session["user"], session["current"]) == ("anna", True)
    token = tour.call("userservices.create_token", "night job", "viewer", 7)
    assert [made["id"] for made in tour.call("userservices.list_tokens")] == [token["id"]]
    assert tour.refused("userservices.add_user", "bert", first).name == "AuthError"
    tour.sessid = token["token"]
    assert tour.call("userservices.whoami")["token"] == token["id"]
    tour.sessid = admin
    assert tour.call("userservices.revoke_token", token["id"]) == 0
    assert tour.call("userservices.end_sessions", "anna", session["id"]) == 1
    assert tour.call("userservices.set_role", "anna", "admin") == 0
    assert tour.call("userservices.delete_user", "anna") == 0
    last = tour.refused("userservices.delete_user", "admin")
    assert last.error["data"]["reason"] == "last_administrator"
    page = tour.call("auditservices.list_events", 0, 2)
    assert [(row["method"], row["target"], row["outcome"]) for row in page["events"]] == [
        ("userservices.delete_user", "admin", "FuncManError"),
        ("userservices.delete_user", "anna", "ok"),
    ]
    older = tour.call("auditservices.list_events", page["before"], 1, "admin", "userservices.set_role")["events"]
    assert (older[0]["user"], older[0]["params"]) == ("admin", {"user_name": "anna", "role": "admin"})
    head = tour.call("auditservices.describe_head")
    assert (head["number"], head["sha256"]) == (page["events"][0]["number"], page["events"][0]["sha256"])
