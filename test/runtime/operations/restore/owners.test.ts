import { describe, expect, it } from "vitest";
import { type Manifest, parseManifest } from "../../../../runtime/format/repository/manifest";
import { planOwners } from "../../../../runtime/operations/restore/owners";
import { vectorText } from "../../format/vectors";

const GOLDEN = parseManifest(vectorText("v2.45/plain/incr.backup.manifest"), "golden");
const NAMES = new Map([
  ["root", 0],
  ["postgres", 26],
  ["alice", 1000],
]);
const users = {
  userName: (uid: number) => [...NAMES].find(([, id]) => id === uid)?.[0] ?? null,
  groupName: (gid: number) => [...NAMES].find(([, id]) => id === gid)?.[0] ?? null,
  findUid: (name: string) => NAMES.get(name) ?? null,
  findGid: (name: string) => NAMES.get(name) ?? null,
};
const owned = (user: string | null, group: string | null): Manifest => ({
  ...GOLDEN,
  files: GOLDEN.files.map((file) => ({ ...file, user, group })),
  paths: GOLDEN.paths.map((path) => ({ ...path, user, group })),
  links: GOLDEN.links.map((link) => ({ ...link, user, group })),
});
const ROOT = { uid: 0, gid: 0 };
const ALICE = { uid: 1000, gid: 1000 };

describe("the owner of a restored file", () => {
  it("is the backup's owner when root restores", () => {
    const owners = planOwners(GOLDEN, { users, self: ROOT, dataDirectory: ALICE });
    expect(owners.of({ user: "postgres", group: "postgres" })).toEqual({ uid: 26, gid: 26 });
    expect(owners.warnings).toEqual([]);
  });

  it.each([
    ["gone", "unknown user 'gone' in backup manifest mapped to 'alice'"],
    [null, "unknown user in backup manifest mapped to 'alice'"],
  ])("is the data directory's owner when this machine knows nobody called %s", (user, warning) => {
    const owners = planOwners(owned(user, "postgres"), { users, self: ROOT, dataDirectory: ALICE });
    expect(owners.of({ user, group: "postgres" })).toEqual({ uid: 1000, gid: 26 });
    expect(owners.warnings).toEqual([warning]);
  });

  it("is root when there is no data directory", () => {
    const owners = planOwners(owned(null, null), { users, self: ROOT, dataDirectory: null });
    expect(owners.of({ user: null, group: null })).toEqual(ROOT);
    expect(owners.warnings).toEqual([
      "unknown user in backup manifest mapped to 'root'",
      "unknown group in backup manifest mapped to 'root'",
    ]);
  });

  it("is the restoring account otherwise, with a note about other original owners", () => {
    const others = planOwners(GOLDEN, { users, self: ALICE, dataDirectory: null });
    expect(others.of({ user: "postgres", group: "postgres" })).toBeNull();
    expect(others.warnings).toEqual([
      "unknown user 'postgres' in backup manifest mapped to current user",
      "unknown group 'postgres' in backup manifest mapped to current group",
    ]);
    expect(planOwners(GOLDEN, { users, self: { uid: 26, gid: 26 }, dataDirectory: null }).warnings).toEqual([]);
  });
});
