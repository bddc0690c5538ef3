/** Requests and responses, as far as this plugin uses them: names are those of the protocol. */

export interface WalArchiveRequest {
  readonly cluster_definition: Uint8Array;
  /** Path of the file, relative to the data directory. */
  readonly source_file_name: string;
  /** Absent from callers before 0.6.0. */
  readonly check_empty_wal_archive?: boolean;
}

export interface WalRestoreRequest {
  readonly cluster_definition: Uint8Array;
  readonly source_wal_name: string;
  readonly destination_file_name: string;
  /** `MODE_REWIND` wants one file and nothing around it. An unknown mode means recovery. */
  readonly mode?: string;
}

export interface BackupRequest {
  readonly cluster_definition: Uint8Array;
  readonly backup_definition: Uint8Array;
  readonly parameters: Readonly<Record<string, string>>;
}

export interface BackupResult {
  readonly backup_id: string;
  readonly backup_name: string;
  readonly started_at: number;
  readonly stopped_at: number;
  readonly begin_wal: string;
  readonly end_wal: string;
  readonly begin_lsn: string;
  readonly end_lsn: string;
  readonly backup_label_file: Uint8Array;
  readonly tablespace_map_file: Uint8Array;
  readonly instance_id: string;
  readonly online: boolean;
  readonly metadata: Readonly<Record<string, string>>;
}

export interface RestoreRequest {
  readonly cluster_definition: Uint8Array;
}

export interface LifecycleRequest {
  readonly operation_type: { readonly type: string } | null;
  readonly cluster_definition: Uint8Array;
  readonly object_definition: Uint8Array;
}

export interface MetricSample {
  readonly name: string;
  readonly value: number;
  readonly labels: readonly string[];
}
