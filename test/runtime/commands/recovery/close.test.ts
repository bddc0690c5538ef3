import { expect, test } from "vitest";
import { closeCommand } from "../../../../runtime/commands/recovery/close";
import { testContext } from "../../../harness/context";
import { temporaryFolder } from "../../repository/support";
import { host } from "../support";

// claim: docs/open.md: a `close` that names directories for tablespaces never discards the pages
test.each(["--tablespace-map=space=/srv/space", "--tablespace-map-all=/srv"])(
  "close refuses %s without --move-to, and discards nothing",
  async (option) => {
    const folder = temporaryFolder();
    const argv = ["close", `--at=${folder}/past`, option];
    const made = host({ folder, repos: [], ctx: testContext(), argv });
    const users = { ...made.users, findUid: () => 1000, findGid: () => 1000 };
    const closing = closeCommand({ ...made, users, self: { uid: 1000, gid: 1000 } });
    await expect(closing).rejects.toThrow("--tablespace-map-all only with --move-to");
  },
);
