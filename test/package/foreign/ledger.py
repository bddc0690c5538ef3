"""A user's program in Python: a passphrase, a repository and a host, run by `python ledger.py ACTION`.

`pulumi_pgbackstop` is the SDK that `pulumi package gen-sdk` writes. Without a host in the settings there is none.
"""

import json
import sys
from pathlib import Path

import pulumi
import pulumi_pgbackstop as pgbackstop
from pulumi import automation

HERE = Path(__file__).parent
SETTINGS = json.loads((HERE.parent / "settings.json").read_text())


def program():
    key = pgbackstop.CipherPassphrase("key")
    nas = pgbackstop.PosixRepository("nas", path=SETTINGS["share"], cipher=key.ref)
    pulumi.export("target", nas.target)
    host = SETTINGS.get("host")
    if host is None:
        return
    ledger = pgbackstop.PostgresHost(
        "ledger",
        connection={"local": {}},
        data_directory=SETTINGS["dataDirectory"],
        repositories={"repo1": {"at": nas.target, "keep_days": SETTINGS["keepDays"]}},
        schedules={"full": {"cron": "30 2 * * *"}},
        user=host["user"],
        database_user=host["databaseUser"],
        port=host["port"],
        socket_directory=host["socketDirectory"],
        node_path=host["nodePath"],
        directories=host["directories"],
        allow_restart=True,
        restart_command=host["restartCommand"],
    )
    pulumi.export("firstBackup", ledger.first_backup)
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
