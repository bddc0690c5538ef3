/**
 * Differences between PostgreSQL versions that are not in pg_control. `version` is the text of the major version: "14"
 * … "19".
 */

/** `150004` (server_version_num) → `15`; before 10 two parts: `90603` → `9.6`. */
export function majorVersion(serverVersionNum: number): string {
  if (serverVersionNum >= 100000) return String(Math.floor(serverVersionNum / 10000));
  return `${Math.floor(serverVersionNum / 10000)}.${Math.floor((serverVersionNum % 10000) / 100)}`;
}

export function atLeast(version: string, minimum: number): boolean {
  return Number(version) >= minimum;
}

/** Directory of a tablespace's files: `PG_15_202209061`. */
export function tablespaceDirectory(version: string, catalogVersion: number): string {
  return `PG_${version}_${catalogVersion}`;
}

/** `pg_wal`, before 10 `pg_xlog`. */
export function walDirectoryName(version: string): string {
  return atLeast(version, 10) ? "pg_wal" : "pg_xlog";
}
