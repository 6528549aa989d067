"""Runs schemathesis against a real control plane, in every role, and says how many requests it made and what it found.

It fails for an answer that is not as the document says, and for an operation that was not asked, or that never did what it is
for (answers.py).
"""

import argparse
import json
import os
import pathlib
import random
import re
import subprocess
import sys
import time

from answers import faults, takes_a_key
from world import Plane, get

HERE = pathlib.Path(__file__).resolve().parent
# `positive_data_acceptance`: what fits the schema may still be refused for what there is, such as a name that is taken or a code
# that is wrong. `ignored_auth` and `object_level_authorization`: tests/console/network/access calls every route as everybody and
# knows what each may see; schemathesis guesses. `use_after_free`, `ensure_resource_availability`: they need links between operations
# that the document has not.
CHECKS = [
    "not_a_server_error", "status_code_conformance", "content_type_conformance", "response_headers_conformance",
    "response_schema_conformance", "negative_data_rejection", "unsupported_method", "allow_header_conformance",
    "missing_required_header",
]
ROLES = ["anonymous", "admin", "operator", "key", "node"]
# Requests of the fuzzing phase per operation.
SHORT, LONG = 4, 60


def command(role, arguments, plane, seed):
    """schemathesis for one role."""
    scripts = pathlib.Path(sys.executable).parent
    made = [
        scripts / "schemathesis", "--config-file", HERE / "schemathesis.toml", "--no-color", "run",
        # From a file: of a document that it was served it leaves out the operation that serves it.
        arguments.out / "openapi.json", "--url", plane.plane_url,
        "--checks", ",".join(CHECKS), "--seed", str(seed), "--max-examples", str(LONG if arguments.long else SHORT),
        "--phases", "examples,coverage,fuzzing", "--continue-on-failure",
        "--warnings", "off", "--suppress-health-check", "all", "--request-timeout", "30",
        "--max-redirects", "0",
    ]
    # As answers.is_asked has it.
    if role == "key":
        for operation in operations(document(plane)):
            made += ["--include-operation-id", operation["operationId"]] if takes_a_key(operation) else []
    else:
        made += ["--include-tag" if role == "node" else "--exclude-tag", "node"]
    return [str(part) for part in made]


def document(plane):
    return json.loads(get(f"{plane.plane_url}/api/v1/openapi.json"))


def operations(api):
    return [operation for path in api["paths"].values() for operation in path.values()]


def run(arguments, plane, seed):
    world = arguments.out / "world.json"
    # It holds secrets of a network that is gone in a minute.
    world.touch(0o600)
    world.write_text(json.dumps(plane.world()))
    (arguments.out / "openapi.json").write_text(json.dumps(document(plane)))
    running, answers = {}, {}
    for role in arguments.only or ROLES:
        answers[role] = arguments.out / f"{role}.answers"
        answers[role].write_text("")
        log = open(arguments.out / f"{role}.log", "w")
        env = {
            **os.environ, "SCHEMATHESIS_HOOKS": "hooks", "PYTHONPATH": str(HERE), "DGON_ROLE": role, "DGON_WORLD": str(world),
            "DGON_ANSWERS": str(answers[role]),
        }
        running[role] = (subprocess.Popen(
            command(role, arguments, plane, seed), stdout=log, stderr=subprocess.STDOUT, env=env, cwd=arguments.out,
        ), time.monotonic())
    failed = []
    for role, (process, began) in running.items():
        code = process.wait()
        text = (arguments.out / f"{role}.log").read_text(errors="replace")
        generated = re.search(r"(\d+) generated", text)
        selected = re.search(r"(\d+) selected / (\d+) total", text)
        print(f"{role}: {selected[1] if selected else '?'} operations, {generated[1] if generated else '?'} requests, "
              f"{time.monotonic() - began:.0f} s: {'as documented' if code == 0 else 'FAILED'}")
        if code != 0:
            failed.append(role)
            print(text)
    wrong = faults(document(plane), answers)
    print("\n".join(wrong))
    return failed + ([f"{len(wrong)} operations that were not asked or not answered well, see above"] if wrong else [])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", type=pathlib.Path, required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--long", action="store_true")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--only", choices=ROLES, action="append")
    arguments = parser.parse_args()
    arguments.out = arguments.out.absolute()
    arguments.out.mkdir(parents=True, exist_ok=True)
    seed = arguments.seed if arguments.seed is not None else random.randrange(2**32)
    print(f"seed {seed}", flush=True)
    with Plane(arguments.bin.absolute()) as plane:
        failed = run(arguments, plane, seed)
        if failed:
            raise SystemExit(f"not as documented: {', '.join(failed)}; again with --seed {seed}")


if __name__ == "__main__":
    main()
