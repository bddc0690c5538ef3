/** sshd's answers about the accounts of a backup host; test/hosts has a real sshd. */
import { expect, test } from "vitest";
import type { Connection } from "../../../components/host/connection";
import {
  convergeRepositoryHost,
  effectiveOf,
  INTERRUPTED,
  readRepositoryHost,
} from "../../../components/host/convergeRepositoryHost";
import { sha256Hex } from "../../../components/host/desiredFiles";
import { REPOSITORY_HOST_PATHS } from "../../../components/render/host/sshdConfig";

const CONFINED = "chrootdirectory /srv/db|forcecommand internal-sftp -R|permittty no|disableforwarding yes|";
const line = (lists: readonly string[] = [], groups = "pgb-db"): string =>
  `${lists.map((each) => `${each}|`).join("")}${CONFINED}groups ${groups}`;

test.each<[string, string[]]>([
  ["no list", []],
  ["its name in a list", ["allowusers deploy", "allowusers pgb-db"]],
  ["its name among others of one line", ["allowusers deploy pgb-db"]],
  ["a pattern", ["allowusers pgb-*"]],
  ["its name from some hosts", ["allowusers pgb-db@10.0.0.?"]],
  ["a group of it", ["allowgroups wheel", "allowgroups pgb-d?"]],
  ["both lists", ["allowusers pgb-db", "allowgroups pgb-db"]],
])("an account is confined with %s", (_name, lists) => {
  expect(effectiveOf("pgb-db", line(lists))).toBe("/srv/db internal-sftp -R no yes");
});

test.each<[string, string]>([
  ["other accounts only", line(["allowusers deploy", "allowusers pgb.db"])],
  ["other groups only", line(["allowusers pgb-db", "allowgroups wheel"])],
  ["no root", line().replace("chrootdirectory /srv/db", "chrootdirectory none")],
  ["another command", line().replace("internal-sftp -R", "none")],
])("with %s the line is shown as it is", (_name, text) => {
  expect(effectiveOf("pgb-db", text)).toBe(text);
});

test("other flags differ from the confinement", () => {
  const loose = line().replace("permittty no", "permittty yes");
  expect(effectiveOf("pgb-db", loose)).toBe("/srv/db internal-sftp -R yes yes");
});

const OWNER = "urn:pulumi:test::test::pgbackstop:index:RepositoryHost::nas";
const DESIRED = {
  accounts: [],
  repositories: {},
  sealed: [],
  sshdConfig: "Match all\n",
  files: {},
  timers: [],
  admin: "",
  mount: "",
};

/** A host whose files are as declared. */
const recording = (record = ""): { readonly connection: Connection; readonly commands: string[] } => {
  const commands: string[] = [];
  const connection: Connection = {
    name: "nas",
    login: { name: "root", uid: 0, gid: 0 },
    exec: async (argv) => {
      const command = argv.join(" ");
      commands.push(command);
      const path = argv.at(-1) ?? "";
      const isOwners = command.includes(REPOSITORY_HOST_PATHS.owners);
      const file = isOwners
        ? "kind missing\n"
        : `kind file\nstat 644 0 0 ${path}\n${sha256Hex("Match all\n")}  ${path}\n`;
      const stdout = command.includes("facts()") ? file : isOwners ? record : "";
      return { exitCode: 0, stdout, stderr: "" };
    },
    hold: async () => ({ release: async () => {} }),
    close: async () => {},
  };
  return { connection, commands };
};

test("sshd reads its configuration although the file is as declared: a killed update may have left that out", async () => {
  const { commands, connection } = recording();
  const update = { connection, desired: DESIRED, before: {}, signInAgain: async () => {}, log: () => {} };
  await convergeRepositoryHost({ ...update, owner: OWNER });
  expect(commands.filter((command) => command.includes('systemctl reload "$unit"'))).toHaveLength(1);
});

test("a refresh after a killed update leaves the next one something to do", async () => {
  const own = { owner: OWNER, declared: {}, archives: false };
  const read = async (record: object): Promise<string | undefined> =>
    (await readRepositoryHost(recording(`${JSON.stringify(record)}\n`).connection, DESIRED, OWNER))[INTERRUPTED];
  expect(await read(own)).toBeUndefined();
  expect(await read({ ...own, unfinished: true })).toBe("was interrupted");
});
