/**
 * SQL for `psql` that replicates a few tables to a second server, plus a metrics query and alert rules for its lag.
 * docs/sidecar.md explains each line.
 */

export interface Sidecar {
  /** Name of the publication, the subscription and its slot. */
  readonly name: string;
  /** `schema.table`, each with a primary key. */
  readonly tables: readonly string[];
  /** A role of the source for replication only. */
  readonly role: string;
  /** libpq connection string from the sidecar to the source. The password is in the sidecar's `.pgpass`. */
  readonly connection: string;
  /** WAL that the source keeps for a disconnected sidecar. Beyond it, the tables must be copied again. */
  readonly keepWalMegabytes: number;
  /** Default true. False keeps deleted rows in the copy; the source must then never reuse a key. */
  readonly followDeletes?: boolean;
}

/** Run once at the source. `wal_level` takes effect after a restart. */
export function sourceSettings({ keepWalMegabytes }: Sidecar): string[] {
  return [
    "ALTER SYSTEM SET wal_level = 'logical'",
    // Applies to every slot of the server. Without it a disconnected sidecar fills the disk.
    `ALTER SYSTEM SET max_slot_wal_keep_size = '${keepWalMegabytes}MB'`,
    "SELECT pg_reload_conf()",
  ];
}

/**
 * Run at the source, in the database of the tables. Set the role's password with psql's `\password`, which keeps it out
 * of files and logs.
 */
export function publish({ followDeletes, name, role, tables }: Sidecar): string[] {
  const list = tables.map(identifier).join(", ");
  const schemas = [...new Set(tables.map((table) => identifier(table.split(".")[0] ?? "")))].join(", ");
  return [
    `CREATE ROLE ${identifier(role)} LOGIN REPLICATION`,
    `GRANT USAGE ON SCHEMA ${schemas} TO ${identifier(role)}`,
    `GRANT SELECT ON ${list} TO ${identifier(role)}`,
    // No truncate: it is one of the accidents that the copy protects against.
    `CREATE PUBLICATION ${identifier(name)} FOR TABLE ${list} WITH (publish = 'insert, update${followDeletes === false ? "" : ", delete"}')`,
  ];
}

/**
 * Run at the sidecar. Create the tables first: pg_dump --schema-only -t … at the source, psql at the sidecar.
 * PostgreSQL copies the existing rows, then follows changes.
 */
export function subscribe({ connection, name, role }: Sidecar): string[] {
  const text = `${connection} user=${role}`.replaceAll("'", "''");
  return [
    `CREATE SUBSCRIPTION ${identifier(name)} CONNECTION '${text}' PUBLICATION ${identifier(name)} WITH (disable_on_error = false)`,
  ];
}

/**
 * Run after a table was dropped and recreated at the source, or after a restore of a backup older than the slot.
 * Existing rows are not copied again.
 */
export function takeUpAgain({ name, tables }: Sidecar): { readonly source: string[]; readonly sidecar: string[] } {
  return {
    source: [`ALTER PUBLICATION ${identifier(name)} SET TABLE ${tables.map(identifier).join(", ")}`],
    sidecar: [`ALTER SUBSCRIPTION ${identifier(name)} REFRESH PUBLICATION WITH (copy_data = false)`],
  };
}

/**
 * Run at the source. Returns the lines of a file for node_exporter's textfile collector
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

/** Prometheus alerts: the slot's WAL limit is half used, the sidecar is disconnected, the slot is lost, no metrics. */
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

/** Quotes `schema.table` or a name. */
function identifier(name: string): string {
  return name
    .split(".")
    .map((part) => `"${part.replaceAll('"', '""')}"`)
    .join(".");
}
