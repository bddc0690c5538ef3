/** The methods of a backup host and its keys, as far as they need no host; test/hosts has one. */
import { expect, test } from "vitest";
import { UNKNOWN } from "../../../components/dynamic/previewValues";
import {
  keyCreate,
  keyDiff,
  keyUpdate,
  repositoryHostDiff,
  type RepositoryHostInputs,
  type RepositoryHostState,
} from "../../../components/dynamic/repositoryHost";
import { type DesiredRepositoryHost, wantedFacts } from "../../../components/host/convergeRepositoryHost";

const desired: DesiredRepositoryHost = {
  accounts: [{ name: "db", group: "db", root: "/srv/pgbackstop/db", readOnly: false }],
  repositories: { db: "/srv/pgbackstop/db/repo" },
  sealed: [],
  sshdConfig: "Match User db\n",
  files: { "/etc/ssh/pgbackstop/db": { mode: "0644", text: "ssh-ed25519 AAAA" } },
  timers: [],
  admin: "root",
  mount: "",
};
const reached = (host: string): RepositoryHostInputs["connection"] => ({
  ssh: { host, port: 22, user: "root", sudo: false, hostKeys: [], knownHostsFiles: [] },
});
const inputs: RepositoryHostInputs = {
  connection: reached("backup"),
  owner: "urn:pulumi:prod::shop::pgbackstop:index:RepositoryHost::backup",
  signIn: [],
  desired,
};
const state: RepositoryHostState = {
  hostKey: "ssh-ed25519 AAAA",
  facts: wantedFacts(desired),
  kept: { connection: inputs.connection, desired, owner: inputs.owner },
  keptSignIn: [],
};
const judged = (over: object): ReturnType<typeof repositoryHostDiff> =>
  repositoryHostDiff("id", state, { ...inputs, ...over });

test("another host is another resource, and the same one as declared has no difference", async () => {
  expect(await judged({})).toEqual({ changes: false, replaces: [], deleteBeforeReplace: true });
  const elsewhere = { connection: reached("other") };
  expect(await judged(elsewhere)).toEqual({ changes: true, replaces: ["connection"], deleteBeforeReplace: true });
  expect(await judged({ ...elsewhere, desired: UNKNOWN })).toMatchObject({ replaces: ["connection"] });
});

test("keys that are still to be made, and a host that is, are an update in the preview", async () => {
  const update = { changes: true, replaces: [], deleteBeforeReplace: true };
  const files = { "/etc/ssh/pgbackstop/db": { mode: "0644", text: UNKNOWN } };
  for (const over of [
    { desired: UNKNOWN },
    { desired: { ...desired, files } },
    { desired: { ...desired, files: UNKNOWN } },
    { connection: UNKNOWN },
    { connection: reached(UNKNOWN) },
  ])
    expect(await judged(over)).toEqual(update);
});

test("a given key that is omitted later makes way for a generated one, which then stays", async () => {
  const comment = "db";
  const { outs: given } = await keyCreate({ comment, existing: (await keyCreate({ comment })).outs.privateKey });
  expect(await keyDiff("id", given, { comment, existing: given.privateKey })).toEqual({ changes: false });
  expect(await keyDiff("id", given, { comment })).toEqual({ changes: true });
  const { outs: generated } = await keyUpdate("id", given, { comment });
  expect(generated.privateKey).not.toBe(given.privateKey);
  expect(await keyDiff("id", generated, { comment })).toEqual({ changes: false });
  expect(await keyDiff("id", generated, { comment, existing: given.privateKey })).toEqual({ changes: true });
  const { isGiven: _, ...earlier } = given;
  expect(await keyDiff("id", earlier, { comment })).toEqual({ changes: false });
});
