/** Text of how the restored objects differ from the current ones; pure. */
import type { Difference } from "./compareRows";
import { identifier } from "./tableObjects";

export function differenceText(found: readonly Difference[]): string {
  return found
    .map(({ broughtBack, byKey, present, table }) => {
      if (present === null) return `  ${table}: ${broughtBack.rows} rows came back, it is not there now\n`;
      const same = broughtBack.rows === present.rows && broughtBack.checksum === present.checksum;
      const keys =
        byKey === null
          ? "no common primary key to compare by"
          : `${byKey.onlyBroughtBack} only in what came back, ${byKey.onlyPresent} only there now, ${byKey.changed} changed`;
      return `  ${table}: ${broughtBack.rows} rows came back, ${present.rows} are there now: ${same ? "the same" : keys}\n`;
    })
    .join("");
}

/** What the user can do with objects that stay in the separate schema. */
export function stayText(found: readonly Difference[], restored: string): string {
  const adding = found.flatMap(({ addSql, table }) => (addSql === null ? [] : [`  missing rows of ${table} come back by: ${addSql}\n`]));
  return [...adding, `  what is not needed any more goes by: DROP SCHEMA ${identifier(restored)} CASCADE;\n`].join("");
}
