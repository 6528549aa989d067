"""What each operation answered to each role, and what it must have answered.

That an answer has a status of the document is not enough: it has 401 as well. So each role must be let in somewhere, and each
operation must do once what it is for.
"""

import collections
import json

# Operations that are never answered well here, and why.
EXCEPTIONS = {
    "auth_setup": "there is one first admin, whom world.py makes by it: without 200 nothing here begins",
    "auth_oidc_start": "this server knows no issuer; tests/server/oidc runs some",
    "auth_oidc_callback": "this server knows no issuer; tests/server/oidc runs some",
    "identity_unlink": "nobody has an account at an issuer, as this server knows none; tests/server/oidc unlinks some",
    "live": "its good answer is 101 to a WebSocket, after which an HTTP client cannot go on; tests/console/live.rs does",
    "link": "its good answer is 101 to a WebSocket, after which an HTTP client cannot go on; tests/nodes/link.rs does",
}
# One of the roles is enough: ten accounts an hour are made from an address, which is that of all.
BY_SOMEBODY = {"auth_register"}


class Answers:
    """A file of them, one a line."""

    def __init__(self, path):
        self.path = path
        path.write_text("")

    def note(self, operation, status, is_well):
        with open(self.path, "a") as file:
            file.write(json.dumps([operation, status, is_well]) + "\n")


def is_open(operation):
    """Whether somebody who has proven nothing may call it."""
    return {} in operation["security"]


def takes_a_key(operation):
    return any("key" in way for way in operation["security"])


def is_asked(role, operation):
    """Whether a role asks it at all. Only a node's own routes take its headers, and few take a key: that all others refuse
    them, tests/console/network/access knows."""
    if role == "key":
        return takes_a_key(operation)
    return ("node" in operation["tags"]) == (role == "node")


def is_open_to(role, method, operation):
    """Whether it has more for a role than a refusal."""
    if role == "anonymous":
        return is_open(operation)
    if role == "operator":
        changes_pools = "pools" in operation["tags"] and method != "get"
        return "admin" not in operation["tags"] and not changes_pools
    return True


def read(path):
    """For each operation how often it answered with which status, and whether one answer was good."""
    counts, well = collections.defaultdict(collections.Counter), set()
    for line in path.read_text().splitlines():
        operation, status, is_well = json.loads(line)
        counts[operation][status] += 1
        if is_well:
            well.add(operation)
    return counts, well


def told(counts):
    return ", ".join(f"{count} x {status}" for status, count in sorted(counts.items())) or "nothing"


def faults(document, files):
    """What is wrong with the answers of these roles (role to file), in sentences. Operations that one role of them must have
    answered are judged only where all are there."""
    found, answered = [], {role: read(path) for role, path in files.items()}
    for path, item in document["paths"].items():
        for method, operation in item.items():
            found += of_operation(f"{method.upper()} {path}", method, operation, answered)
    return found


def of_operation(title, method, operation, answered):
    name, found, wells = operation["operationId"], [], []
    roles = [role for role in answered if is_asked(role, operation)]
    for role in roles:
        counts, well = answered[role]
        wells += [role] if name in well else []
        if not counts[name]:
            found.append(f"{title}: never asked as {role}")
        elif is_open_to(role, method, operation) and name not in (EXCEPTIONS.keys() | BY_SOMEBODY | well):
            found.append(f"{title}: never answered well as {role}: {told(counts[name])}")
    if name in EXCEPTIONS and wells:
        found.append(f"{title}: answered well as {', '.join(wells)}, so it is no exception any more")
    if name in BY_SOMEBODY and roles and not wells:
        every = sum((answered[role][0][name] for role in roles), collections.Counter())
        found.append(f"{title}: never answered well as any of {', '.join(roles)}: {told(every)}")
    return found
