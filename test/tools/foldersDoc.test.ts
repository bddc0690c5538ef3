/** The diagram of the rooms shows the import table without implied arrows. */
import { expect, test } from "vitest";
import { renderFolders, withFolders } from "../../tools/foldersDoc";

const freeBytes = (prefix: string, mayImport: readonly string[]) => ({ prefix, about: `about ${prefix}`, mayImport });
const arrows = (...folders: Parameters<typeof renderFolders>[0]): string[] =>
  renderFolders(folders).match(/\S+ -\.?->? \S+/g) ?? [];

test("arrows that others imply are omitted, also those to single files", () => {
  const [base, middle] = [freeBytes("runtime/base", []), freeBytes("runtime/middle", ["runtime/base"])];
  expect(arrows(base, middle, freeBytes("runtime/top", ["runtime/base", "runtime/base/x", "runtime/middle"]))).toEqual([
    "runtime_middle --> runtime_base",
    "runtime_top --> runtime_middle",
  ]);
});

test("arrows to single files are dotted, and a room opens the rooms below it", () => {
  expect(
    arrows(
      freeBytes("runtime/a", []),
      freeBytes("components", ["runtime/a/x", "runtime/a/y"]),
      freeBytes("components/plan", []),
    ),
  ).toEqual(["components --> components_plan", "components -.-> runtime_a"]);
});

test("rooms that may import nearly everything are listed, not drawn", () => {
  const text = renderFolders([freeBytes("test", ["runtime"]), freeBytes("runtime/a", [])]);
  expect(text).not.toContain("-->");
  expect(text).toContain("| `test` | about test |");
});

test("the section ends at the next heading", () => {
  const folders = [freeBytes("runtime/a", [])];
  const section = `## Rooms\n\n${renderFolders(folders)}`;
  expect(withFolders("# A\n\n## Rooms\n\nx\n\n## B\n\ny\n", folders)).toBe(`# A\n\n${section}\n## B\n\ny\n`);
  expect(withFolders("# A\n\n## Rooms\n\n", folders)).toBe(`# A\n\n${section}`);
});
