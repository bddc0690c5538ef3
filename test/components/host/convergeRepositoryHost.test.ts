/** sshd's answers about the accounts of a backup host; test/hosts has a real sshd. */
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import type { Connection } from "../../../components/host/connection";
import {
  convergeRepositoryHost,
  effectiveOf,
  INTERRUPTED,
  readRepositoryHost,
} from "../../../components/host/convergeRepositoryHost";
import { sha256Hex } from "../../../components/host/desiredFiles";
import {
  REPOSITORY_HOST_PATHS,
  REPOSITORY_INSIDE,
  type RepositoryAccount,
  renderSshdConfig,
} from "../../../components/render/host/sshdConfig";

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

/** A host whose files are as declared. @param answer what it prints otherwise, if not null */
const recording = (
  record = "",
  answer: (argv: readonly string[]) => string | null = () => null,
): { readonly connection: Connection; readonly commands: string[] } => {
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
      const stdout = answer(argv) ?? (command.includes("facts()") ? file : isOwners ? record : "");
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

interface MovedAccount {
  /** As sshd confines it, with a backup. */
  readonly former: string;
  /** As it is declared. */
  readonly root: string;
  /** An update: whether it changed anything, and why it failed. */
  converge(record?: string): Promise<[isChanged: boolean, error: string]>;
}

const movedAccount = (): MovedAccount => {
  const folder = mkdtempSync(join(tmpdir(), "repository-host-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const [former, root] = [join(folder, "first/orders"), join(folder, "second/orders")] as const;
  const account = { name: "pgb-db", group: "pgb-db", root, readOnly: false };
  const accounts: readonly RepositoryAccount[] = [account, { ...account, name: "pgb-db-r", readOnly: true }];
  const kept = join(`${former}${REPOSITORY_INSIDE}`, "archive.info");
  mkdirSync(dirname(kept), { recursive: true });
  writeFileSync(kept, "");
  const old = renderSshdConfig(accounts.map((each) => ({ ...each, root: former })));
  const effective = accounts.map(({ readOnly }) =>
    line()
      .replace("/srv/db", root)
      .replace("internal-sftp -R", `internal-sftp${readOnly ? " -R" : ""}`),
  );
  /** Looks at directories for real. */
  const answer = (argv: readonly string[]): string | null => {
    const [program = "", ...args] = argv;
    if (program === "cat" && args.at(-1) === REPOSITORY_HOST_PATHS.sshd) return old;
    if (args[1]?.includes("chrootdirectory") === true) return effective.join("\n");
    const isLook = program === "/bin/sh" && args.at(-1)?.endsWith(REPOSITORY_INSIDE);
    return isLook ? execFileSync(program, args, { encoding: "utf8" }) : null;
  };
  const desired = {
    ...DESIRED,
    accounts,
    repositories: { "pgb-db": `${root}${REPOSITORY_INSIDE}` },
    sshdConfig: renderSshdConfig(accounts),
  };
  const converge: MovedAccount["converge"] = async (record = "") => {
    const { commands, connection } = recording(record, answer);
    const update = { connection, desired, owner: OWNER, before: {}, signInAgain: async () => {}, log: () => {} };
    const error = await convergeRepositoryHost(update).then(
      () => "",
      (cause: unknown) => String(cause),
    );
    return [commands.some((command) => /useradd|mktemp|systemctl/.test(command)), error];
  };
  return { converge, former, root };
};

// claim: docs/hosts/repository-host.md: another directory is refused while the backups are in the former one
test("an account gets no other directory while its backups are in the former one", async () => {
  const { converge, former, root } = movedAccount();
  expect(await converge()).toEqual([
    false,
    `Error: pgb-db has its backups in ${former} on nas, and would find none in ${root}: move them first (mv -T ${former} ${root}), or remove ${former} if nobody needs them`,
  ]);
  mkdirSync(dirname(root));
  renameSync(former, root);
  expect(await converge()).toEqual([true, ""]);
});

test("an account gets another directory once nobody needs the former one", async () => {
  const { converge, former } = movedAccount();
  rmSync(former, { recursive: true });
  expect(await converge()).toEqual([true, ""]);
});

test("backups of another component's account are not to be moved", async () => {
  const { converge } = movedAccount();
  const other = { owner: OWNER.replace("nas", "other"), declared: {}, archives: false };
  expect(await converge(`${JSON.stringify(other)}\n`)).toEqual([
    false,
    expect.stringMatching(/::other declares this host too/),
  ]);
});
