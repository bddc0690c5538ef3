import { existsSync, mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { refuseTablespace } from "../../../../runtime/operations/archiveGet/refuseTablespace";
import { tablespaceSegment } from "../../format/walWriter";

const NAME = "000000010000000000000007";
const folder = realpathSync(mkdtempSync(join(tmpdir(), "pgb-tablespaces-")));
afterAll(() => rmSync(folder, { recursive: true }));

let next = 0;
/** A data directory with a tablespace, and a process in it. */
function server(version: string, location: string): string {
  const id = ++next;
  const dataDirectory = join(folder, `data${id}`);
  mkdirSync(join(dataDirectory, "pg_tblspc"), { recursive: true });
  writeFileSync(join(dataDirectory, "PG_VERSION"), `${version}\n`);
  mkdirSync(location, { recursive: true });
  symlinkSync(location, join(dataDirectory, "pg_tblspc", "16400"));
  mkdirSync(join(folder, "proc", String(id)), { recursive: true });
  symlinkSync(dataDirectory, join(folder, "proc", String(id), "cwd"));
  return dataDirectory;
}

function segment(path: string, beforeEnd?: number): string {
  const file = join(folder, NAME);
  writeFileSync(file, tablespaceSegment(path, { major: 18, segment: 7 }, beforeEnd));
  return file;
}

test("a recovery uses no directory of another running server of its version", async () => {
  const [hot, cold, own] = [join(folder, "hot"), join(folder, "cold"), join(folder, "own")];
  const production = server("18", hot);
  server("17", cold);
  const dataDirectory = server("18", own);
  const exists = async (name: string): Promise<boolean> => existsSync(join(dataDirectory, name));
  const recovering = { dataDirectory, exists, processes: join(folder, "proc") };
  const refused = async (file: string, refusesAll = false): Promise<string | null> => {
    const error = await refuseTablespace(file, NAME, { ...recovering, refusesAll }).catch((thrown: unknown) => thrown);
    expect(existsSync(file)).toBe(error === undefined);
    return error === undefined ? null : (error as Error).message;
  };
  expect(await refused(segment(hot))).toBeNull();
  writeFileSync(join(dataDirectory, "standby.signal"), "");
  expect(await refused(segment(hot))).toBe(
    `${NAME} creates a tablespace in '${hot}': this server would use that directory, which the server of '${production}' uses`,
  );
  // By another name too.
  symlinkSync(hot, join(folder, "link"));
  expect(await refused(segment(join(folder, "link")))).toContain(production);
  // A record that ends in the next segment may have any path.
  expect(await refused(segment(hot, 32))).toContain(`creates a tablespace: this server`);
  for (const path of [cold, own, join(folder, "new")]) expect(await refused(segment(path)), path).toBeNull();
  // A drill's server does not know whether production only stopped.
  expect(await refused(segment(join(folder, "new")), true)).toContain("which may be production's");
  writeFileSync(join(folder, NAME), "no WAL");
  expect(await refused(join(folder, NAME), true)).toBeNull();
});
