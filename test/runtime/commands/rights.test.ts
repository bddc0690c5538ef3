import { expect, test } from "vitest";
import { needsRoot, notRoots, requireAccount } from "../../../runtime/commands/rights";
import { COMMANDS, type CommandName } from "../../../runtime/config/commands";
import type { Config } from "../../../runtime/config/types";
import { failure, load, MAIN_FILE } from "../config/support";

const CONF = "[global]\nrepo1-retention-full=1\nlock-path=/locks\n[main]\npg1-path=/pg\n";
const CONTAINER = JSON.stringify({ container: { name: "db", dataDirectory: "/pg" } });
const OPENING = JSON.stringify({ drill: { declared: { weekly: { how: "open" } } } });

function config(argv: readonly string[], settings = "{}"): Config {
  const files = { [MAIN_FILE]: CONF, "/etc/pgbackrest/pgbackstop.json": settings };
  return load({ argv: ["--stanza=main", ...argv], files }).config;
}

/** Every verb as root, where PostgreSQL's account owns the data. */
const ROOTS: Readonly<Record<CommandName, "refused" | "needs root" | "may run">> = {
  agent: "may run",
  annotate: "refused",
  "archive-get": "refused",
  "archive-push": "refused",
  backup: "refused",
  check: "may run",
  clone: "needs root",
  close: "needs root",
  "cnpg-drill": "may run",
  "cnpg-dump": "may run",
  "cnpg-expire": "may run",
  "cnpg-instance": "may run",
  "cnpg-job": "may run",
  "cnpg-operator": "may run",
  "cnpg-replace-archiver": "may run",
  "cnpg-restore": "may run",
  diff: "needs root",
  doctor: "refused",
  drill: "may run",
  dump: "refused",
  "dump-get": "may run",
  "dump-ls": "may run",
  expire: "refused",
  "extract-table": "may run",
  find: "may run",
  heal: "refused",
  help: "may run",
  hold: "refused",
  info: "may run",
  manifest: "may run",
  metrics: "may run",
  notify: "may run",
  open: "needs root",
  "pg-settings": "may run",
  recover: "needs root",
  "recover-step": "may run",
  release: "refused",
  "repo-get": "may run",
  "repo-ls": "may run",
  report: "may run",
  restore: "may run",
  rollback: "needs root",
  "slot-drop": "may run",
  "stanza-create": "refused",
  "stanza-delete": "refused",
  "stanza-upgrade": "refused",
  start: "refused",
  status: "may run",
  stop: "refused",
  sync: "refused",
  "synchronous-drop": "may run",
  verify: "refused",
  version: "may run",
};

test.each(COMMANDS)("root and %s: refused where its files would lock PostgreSQL's account out", (command) => {
  const asked = { ...config(["info"]), command };
  const directories = [
    { path: "/root-repo", uid: 0 },
    { path: "/pg", uid: 61_111 },
  ];
  const said = failure(() => requireAccount(asked, directories, ["pgbackstop", "--stanza=a b", command]));
  const isRefused = ROOTS[command] === "refused";
  expect(said).toBe(
    isRefused
      ? [
          `optionInvalid: ${command} runs as root, but account #61111 owns '/pg' and could not use root's files`,
          `HINT: Run it as that account: sudo -u '#61111' pgbackstop '--stanza=a b' ${command}`,
          "HINT: Or set allow-root=y if root runs every command here, archive_command too.",
        ].join("\n")
      : "no error",
  );
  expect(failure(() => requireAccount(asked, directories.slice(0, 1), []))).toBe("no error");
  expect(failure(() => requireAccount({ ...asked, allowRoot: true }, directories, []))).toBe("no error");
  expect(needsRoot(asked)).toBe(ROOTS[command] === "needs root");
});

test("a container, a mounted table and a mounted drill need root's rights", () => {
  expect(needsRoot(config(["info"], CONTAINER))).toBe(true);
  expect(needsRoot(config(["extract-table", "--table=a", "--database=b"]))).toBe(false);
  expect(needsRoot(config(["extract-table", "--table=a", "--database=b", "--open"]))).toBe(true);
  expect(needsRoot(config(["drill"], OPENING))).toBe(false);
  expect(needsRoot(config(["drill", "--now"], OPENING))).toBe(true);
});

test("a refusal names the account, what it can change, and both ways out", () => {
  const account = { uid: 26, gid: 26, name: "postgres", path: "/etc/pgbackrest.conf" };
  expect(
    failure(() => {
      throw notRoots(account, config(["recover"]), ["pgbackstop", "recover", "--yes"]);
    }),
  ).toBe(
    [
      "fileOwner: recover works with root's rights, and account postgres can change its configuration ('/etc/pgbackrest.conf')",
      "HINT: Let only root change it: chown root '/etc/pgbackrest.conf' && chmod go-w '/etc/pgbackrest.conf'.",
      "HINT: Or run it with that account's rights: sudo -u postgres pgbackstop recover --yes",
    ].join("\n"),
  );
});
