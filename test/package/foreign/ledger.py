"""A user's program in Python: a passphrase, a repository and a host of the plugin, run by `python ledger.py ACTION`.

A component is declared as `pulumi package add` generates it.
"""

import json
import sys
from pathlib import Path

import pulumi
from pulumi import automation

HERE = Path(__file__).parent
SETTINGS = json.loads((HERE.parent / "settings.json").read_text())


class Component(pulumi.ComponentResource):
    def __init__(self, kind, name, args, outputs):
        super().__init__(f"pgbackstop:index:{kind}", name, {**args, **dict.fromkeys(outputs)}, None, True)


def program():
    key = Component("CipherPassphrase", "key", {}, ["ref"])
    nas = Component("PosixRepository", "nas", {"path": SETTINGS["share"], "cipher": key.ref}, ["target"])
    ledger = Component(
        "PostgresHost",
        "ledger",
        {
            "connection": {"local": {}},
            "dataDirectory": SETTINGS["dataDirectory"],
            "repositories": {"repo1": {"at": nas.target, "keepDays": SETTINGS["keepDays"]}},
            "schedules": {"full": {"cron": "30 2 * * *"}},
            **SETTINGS["host"],
        },
        ["firstBackup"],
    )
    pulumi.export("firstBackup", ledger.firstBackup)
    pulumi.export("target", nas.target)


def main(action):
    stack = automation.create_or_select_stack(
        "dev", "ledger", program, opts=automation.LocalWorkspaceOptions(work_dir=str(HERE))
    )
    if action == "preview":
        result = stack.preview()
        return {"changes": {str(kind): count for kind, count in result.change_summary.items()}, "stdout": result.stdout}
    result = stack.up() if action == "up" else stack.destroy()
    outputs = getattr(result, "outputs", {})
    return {
        "changes": result.summary.resource_changes,
        "stdout": result.stdout,
        "outputs": {name: output.value for name, output in outputs.items()},
        "secrets": [name for name, output in outputs.items() if output.secret],
    }


try:
    answer = main(sys.argv[1])
except Exception as error:
    answer = {"error": str(error)}
print("\n" + json.dumps(answer))
