/** The metrics that the common exporter makes from stock's `info --output=json`, for comparisons. */

/** The fields of a stock backup that the exporter reads. */
interface StockBackup {
  readonly annotation?: object;
  readonly archive: { readonly start: string; readonly stop: string };
  readonly backrest: { readonly version: string };
  readonly database: { readonly id: number; readonly "repo-key": number };
  readonly error: boolean;
  readonly info: {
    readonly delta: number;
    readonly size: number;
    readonly repository: {
      readonly delta: number;
      readonly size?: number;
      readonly "size-map"?: number;
      readonly "delta-map"?: number;
    };
  };
  readonly label: string;
  readonly lsn: { readonly start: string; readonly stop: string };
  readonly prior: string | null;
  readonly reference: readonly string[] | null;
  readonly timestamp: { readonly start: number; readonly stop: number };
  readonly type: string;
}

/** Reimplements the exporter's mapping from its source (woblerr/pgbackrest_exporter 0.23, "backrest"). */
export function exporterOf(text: string): Map<string, number> {
  const [stanza] = JSON.parse(text) as [
    {
      readonly name: string;
      readonly status: { readonly code: number };
      readonly repo: readonly {
        readonly key: number;
        readonly cipher: string;
        readonly status: { readonly code: number };
      }[];
      readonly archive: readonly {
        readonly database: { readonly id: number; readonly "repo-key": number };
        readonly min: string | null;
      }[];
      readonly db: readonly { readonly id: number; readonly "repo-key": number; readonly version: string }[];
      readonly backup: readonly StockBackup[];
    },
  ];
  const result = new Map<string, number>();
  const add = (name: string, labels: Record<string, string>, value: number): void => {
    const pairs = Object.entries(labels).map(([label, arg]) => `${label}="${arg}"`);
    result.set(`${name}{${pairs.join(",")}}`, value);
  };
  const { name } = stanza;
  const versionOf = (id: number, key: number): string =>
    stanza.db.find((row) => row.id === id && row["repo-key"] === key)?.version ?? "";
  add("pgbackrest_stanza_status", { stanza: name }, stanza.status.code);
  for (const { cipher, key, status } of stanza.repo)
    add("pgbackrest_repo_status", { cipher, repo_key: String(key), stanza: name }, status.code);
  for (const { database, min } of stanza.archive) {
    const labels = {
      database_id: String(database.id),
      pg_version: versionOf(database.id, database["repo-key"]),
      repo_key: String(database["repo-key"]),
      stanza: name,
    };
    add("pgbackrest_wal_archive_status", { ...labels, wal_max: "", wal_min: "" }, min === null ? 0 : 1);
  }
  const newest = new Map<string, StockBackup>();
  for (const backup of stanza.backup) {
    const { info } = backup;
    const { repository: stored } = info;
    const blockIncr = stored["size-map"] !== undefined && stored["delta-map"] !== undefined ? "y" : "n";
    const labels = {
      backup_name: backup.label,
      backup_type: backup.type,
      block_incr: blockIncr,
      database_id: String(backup.database.id),
      repo_key: String(backup.database["repo-key"]),
      stanza: name,
    };
    add("pgbackrest_backup_size_bytes", labels, info.size);
    add("pgbackrest_backup_delta_bytes", labels, info.delta);
    add("pgbackrest_backup_repo_size_bytes", labels, stored.size ?? 0);
    add("pgbackrest_backup_repo_size_map_bytes", labels, stored["size-map"] ?? 0);
    add("pgbackrest_backup_repo_delta_bytes", labels, stored.delta);
    add("pgbackrest_backup_repo_delta_map_bytes", labels, stored["delta-map"] ?? 0);
    add("pgbackrest_backup_error_status", labels, backup.error ? 1 : 0);
    add("pgbackrest_backup_annotations", labels, Object.keys(backup.annotation ?? {}).length);
    for (const [kind, end] of [
      ["full", "F"],
      ["diff", "D"],
      ["incr", "I"],
    ] as const) {
      add(
        "pgbackrest_backup_references",
        { ref_backup: kind, ...labels },
        (backup.reference ?? []).filter((label) => label.endsWith(end)).length,
      );
      const isCounted = kind === "incr" || backup.type === "full" || (kind === "diff" && backup.type === "diff");
      const best = newest.get(kind);
      if (isCounted && (best === undefined || backup.timestamp.stop > best.timestamp.stop)) newest.set(kind, backup);
    }
    const { archive, backrest, lsn, prior } = backup;
    add(
      "pgbackrest_backup_info",
      {
        backrest_ver: backrest.version,
        backup_name: backup.label,
        backup_type: backup.type,
        block_incr: blockIncr,
        database_id: labels.database_id,
        lsn_start: lsn.start,
        lsn_stop: lsn.stop,
        pg_version: versionOf(backup.database.id, backup.database["repo-key"]),
        prior: prior ?? "",
        repo_key: labels.repo_key,
        stanza: name,
        wal_start: archive.start,
        wal_stop: archive.stop,
      },
      1,
    );
  }
  for (const [type, { error, info, timestamp }] of newest) {
    const { repository: stored } = info;
    const labels = { backup_type: type, block_incr: stored["size-map"] !== undefined ? "y" : "n", stanza: name };
    add("pgbackrest_backup_last_duration_seconds", labels, timestamp.stop - timestamp.start);
    add("pgbackrest_backup_last_size_bytes", labels, info.size);
    add("pgbackrest_backup_last_repo_delta_bytes", labels, stored.delta);
    add("pgbackrest_backup_last_error_status", labels, error ? 1 : 0);
  }
  return result;
}
