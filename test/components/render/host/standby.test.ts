import { expect, test } from "vitest";
import { patroniBootstrap, patroniReplica, standbyCommand } from "../../../../components/render/host/standby";
import { guardedArchiveGet } from "../../../../runtime/base/recoveryExit";

const ARGV = [
  "/usr/bin/node",
  "/usr/local/lib/pgbackstop/runtime.cjs",
  "--config=/etc/it's 100%.conf",
  "--stanza=main",
];
const load = (text: string): unknown => (require("js-yaml") as { load(text: string): unknown }).load(text);

test("a plain standby streams from its primary; arguments survive a shell, values libpq's quotes", () => {
  expect(standbyCommand(["pg"], null)).toBe("pg --delta --type=standby restore");
  const primary = {
    host: "10.0.0.5",
    port: 5433,
    user: "o'brien",
    passfile: "/var/lib/a b",
    sslmode: "verify-full",
    slot: "db3",
  };
  expect(standbyCommand(["pg"], primary)).toBe(
    "pg --delta --type=standby " +
      `'--recovery-option=primary_conninfo=host=10.0.0.5 port=5433 user='\\''o\\'\\''brien'\\'' passfile='\\''/var/lib/a b'\\'' sslmode=verify-full' ` +
      "--recovery-option=primary_slot_name=db3 restore",
  );
});

test("Patroni's part is YAML with the settings of its documentation", () => {
  const command = `/usr/bin/node /usr/local/lib/pgbackstop/runtime.cjs '--config=/etc/it'\\''s 100%.conf' --stanza=main`;
  expect(load(patroniReplica(ARGV))).toEqual({
    postgresql: {
      create_replica_methods: ["pgbackstop", "basebackup"],
      pgbackstop: {
        command: `${command} --delta --type=standby restore`,
        keep_data: true,
        no_params: true,
        no_leader: true,
      },
      recovery_conf: { restore_command: guardedArchiveGet(`${command.replace("%", "%%")} archive-get %f "%p"`) },
    },
  });
  expect(load(patroniBootstrap(ARGV))).toEqual({
    bootstrap: {
      method: "pgbackstop",
      pgbackstop: { command: `${command} --delta restore`, no_params: true, keep_existing_recovery_conf: true },
    },
  });
});
