import { expect, test } from "vitest";
import { fail } from "../../../../runtime/base/errors";
import { findDataDirectory } from "../../../../runtime/operations/info/knownDirectory";

test("a container that is gone has no data directory; other errors stay", () => {
  const server = (error: Error) => ({
    get dataDirectory(): string {
      throw error;
    },
  });
  expect(findDataDirectory({ dataDirectory: "/data" })).toBe("/data");
  expect(findDataDirectory(server(fail("dbConnect", "there is no container 'db'")))).toBeNull();
  expect(findDataDirectory(server(fail("pathMissing", "in memory")))).toBeNull();
  expect(findDataDirectory(server(fail("pathOpen", "behind a link")))).toBeNull();
  expect(() => findDataDirectory(server(fail("config", "wrong")))).toThrow("wrong");
});
