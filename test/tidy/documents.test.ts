/** Each rule for documents reports its own violations and nothing else. */
import { describe, expect, test } from "vitest";
import { checkCitations, checkDocument } from "./documents";

const nothing = (): null => null;

describe("documents", () => {
  test("a document has one title, on its first line", () => {
    expect(checkDocument({ path: "A.md", text: "# One\n\n```sh\n# not a title\n```\n" }, nothing)).toEqual([]);
    expect(checkDocument({ path: "A.md", text: "# One\n# Two\n" }, nothing)).toEqual(["A.md: 2 titles instead of one"]);
    expect(checkDocument({ path: "A.md", text: "text\n" }, nothing)).toEqual([
      "A.md: 0 titles instead of one",
      "A.md: the first line is not its title",
    ]);
  });

  test("a relative link leads to a file", () => {
    const text = "# T\n[there](../b.md) [away](https://example.com#x) [gone](c.md) `[code](d.md)`\n";
    expect(checkDocument({ path: "docs/A.md", text }, (path) => (path === "b.md" ? "# B\n" : null))).toEqual([
      "docs/A.md: the link to c.md leads nowhere",
    ]);
  });

  test("an anchor leads to a heading, by the name that GitHub gives it", () => {
    const b = "# B\n## `--type`, twice: ü\n## Same\n## Same\n```\n## code\n```\n";
    const text =
      "# T\n## Here\n[1](b.md#--type-twice-ü) [2](b.md#same-1) [3](#here) [4](b.md#code) [5](#there) [6](b.md#same-2)\n";
    expect(checkDocument({ path: "A.md", text }, (path) => (path === "b.md" ? b : null))).toEqual([
      "A.md: b.md has no heading #code",
      "A.md: A.md has no heading #there",
      "A.md: b.md has no heading #same-2",
    ]);
  });
});

describe("citations", () => {
  test("name existing sections", () => {
    const specification = "# S\n## 3. Files\n### 3.1 Checksum\n## 4. Keys\n";
    const text =
      '/** ("pgbackrest-format" 3.1 and 4).\n * Also "pgbackrest-format"\n * 3.2, 4, step 9; "pgbackrest-format" 5). */';
    expect(checkCitations({ path: "a.ts", text }, specification)).toEqual([
      'a.ts: "pgbackrest-format" has no section 3.2',
      'a.ts: "pgbackrest-format" has no section 5',
    ]);
  });
});
