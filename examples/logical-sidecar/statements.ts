/**
 * What PostgreSQL is told so that a few tables are copied, as they change, to a second server: plain SQL for `psql`,
 * and the numbers and rules that tell when the copy stays behind. docs/sidecar.md says what each line is for.
 */

export interface Sidecar {
  /** Of the publication at the source, and of the subscription and its slot. */
  readonly name: string;
  /** `schema.table`, each with a primary key. */
  readonly tables: readonly string[];
  /** A role of the source that may do nothing else. */
  readonly role: string;
  /**
   * How the sidecar reaches the source, as libpq wants it, without the password: that is in the sidecar's `.pgpass`.
   */
  readonly connection: string;
  /** Bytes of WAL that a sidecar that is away may hold back at the source; then it must be copied again. */
  readonly keepWalMegabytes: number;
  /** Default true. False keeps in the copy what is deleted at the source; then a key must never be used again there. */
  readonly followDeletes?: boolean;
}

/** At the source, once; `wal_level` counts after a restart. */
export function sourceSettings({ keepWalMegabytes }: Sidecar): string[] {
  return [
    "ALTER SYSTEM SET wal_level = 'logical'",
    // For every slot of the server: without it a sidecar that is away fills the disk.
    `ALTER SYSTEM SET max_slot_wal_keep_size = '${keepWalMegabytes}MB'`,
    "SELECT pg_reload_conf()",
  ];
}

/**
 * At the source, in the database of the tables. Its password is set with psql's `\password`, so that it is in no file
 * and no log.
 */
export function publish({ followDeletes, name, role, tables }: Sidecar): string[] {
  const list = tables.map(identifier).join(", ");
  const schemas = [...new Set(tables.map((table) => identifier(table.split(".")[0] ?? "")))].join(", ");
  return [
    `CREATE ROLE ${identifier(role)} LOGIN REPLICATION`,
    `GRANT USAGE ON SCHEMA ${schemas} TO ${identifier(role)}`,
    `GRANT SELECT ON ${list} TO ${identifier(role)}`,
    // Never truncate: that is one of the accidents that the copy is for.
    `CREATE PUBLICATION ${identifier(name)} FOR TABLE ${list} WITH (publish = 'insert, update${followDeletes === false ? "" : ", delete"}')`,
  ];
}

/**
 * At the sidecar, after the tables were made there: pg_dump --schema-only -t … at the source, psql here. Copies what is
 * there, then follows.
 */
export function subscribe({ connection, name, role }: Sidecar): string[] {
  const text = `${connection} user=${role}`.replaceAll("'", "''");
  return [
    `CREATE SUBSCRIPTION ${identifier(name)} CONNECTION '${text}' PUBLICATION ${identifier(name)} WITH (disable_on_error = false)`,
  ];
}

/**
 * After a table was dropped and made again at the source, or a backup older than the slot was restored there. Rows are
 * not copied again.
 */
export function takeUpAgain({ name, tables }: Sidecar): { readonly source: string[]; readonly sidecar: string[] } {
  return {
    source: [`ALTER PUBLICATION ${identifier(name)} SET TABLE ${tables.map(identifier).join(", ")}`],
    sidecar: [`ALTER SUBSCRIPTION ${identifier(name)} REFRESH PUBLICATION WITH (copy_data = false)`],
  };
}

/**
 * At the source: a row for each line of a file that node_exporter's textfile collector reads
 * (`psql -AtX -c "…" > sidecar.prom`).
 */
export function metrics({ name }: Sidecar): string {
  const label = `{slot="${name}"}`;
  return [
    `SELECT unnest(ARRAY['logical_sidecar_lag_bytes${label} ' || coalesce(pg_wal_lsn_diff(pg_current_wal_lsn(), confirmed_flush_lsn), 0)`,
    `'logical_sidecar_lost${label} ' || CASE WHEN wal_status = 'lost' THEN 1 ELSE 0 END`,
    `'logical_sidecar_connected${label} ' || CASE WHEN active THEN 1 ELSE 0 END])`,
  ]
    .join(", ")
    .concat(` AS line FROM pg_replication_slots WHERE slot_name = '${name}'`);
}

/**
 * For Prometheus: half of what may be held back, an apply that stands still, a slot that is lost, and numbers that are
 * not there.
 */
export function alertRules({ keepWalMegabytes, name }: Sidecar): string {
  const selector = `{slot="${name}"}`;
  const rules: readonly (readonly [alert: string, wait: string, expr: string, summary: string])[] = [
    [
      "SidecarBehind",
      "5m",
      `logical_sidecar_lag_bytes${selector} > ${(keepWalMegabytes * 1_048_576) / 2}`,
      "half of the WAL that its slot may keep is used up",
    ],
    ["SidecarDisconnected", "15m", `logical_sidecar_connected${selector} == 0`, "nobody reads its slot"],
    ["SidecarLost", "0m", `logical_sidecar_lost${selector} == 1`, "its slot is lost: the tables must be copied again"],
    [
      "SidecarUnknown",
      "15m",
      `absent(logical_sidecar_lag_bytes${selector})`,
      "its slot, or the numbers of it, are gone",
    ],
  ];
  const texts = rules.map(
    ([alert, wait, expr, summary]) =>
      `      - alert: ${alert}\n        expr: ${JSON.stringify(expr)}\n        for: ${wait}\n        labels:\n          severity: warning\n        annotations:\n          summary: ${JSON.stringify(`sidecar ${name}: ${summary}`)}\n`,
  );
  return `groups:\n  - name: sidecar-${name}\n    rules:\n${texts.join("")}`;
}

/** `schema.table` or a name, quoted. */
function identifier(name: string): string {
  return name
    .split(".")
    .map((part) => `"${part.replaceAll('"', '""')}"`)
    .join(".");
}
