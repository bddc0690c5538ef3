/** Text of how the restored objects differ from the current ones; pure. */
import type { Difference } from "./compareRows";
import { identifier } from "./tableObjects";

export function differenceText(differences: readonly Difference[]): string {
  return differences
    .map(({ broughtBack, byKey, present, table }) => {
      if (present === null) return `  ${table}: ${broughtBack.rows} rows restored, the table does not exist now\n`;
      const same = broughtBack.rows === present.rows && broughtBack.checksum === present.checksum;
      const keys =
        byKey === null
          ? "no common primary key to compare"
          : `${byKey.onlyBroughtBack} only in the restored version, ${byKey.onlyPresent} only in the current one, ${byKey.changed} changed`;
      return `  ${table}: ${broughtBack.rows} rows restored, ${present.rows} in the current version: ${same ? "identical" : keys}\n`;
    })
    .join("");
}

/** What the user can do with objects that stay in the separate schema. */
export function stayText(differences: readonly Difference[], restored: string): string {
  const adding = differences.flatMap(({ addSql, table }) =>
    addSql === null ? [] : [`  to add the missing rows of ${table}: ${addSql}\n`],
  );
  return [...adding, `  to remove the restored version: DROP SCHEMA ${identifier(restored)} CASCADE;\n`].join("");
}
