/** Makes `info --output=json` of stock and ours comparable. */

export interface InfoStanza {
  readonly archive: readonly {
    readonly id: string;
    readonly database: { readonly "repo-key": number };
    readonly min: string | null;
    readonly max: string | null;
  }[];
  readonly backup: readonly { readonly label: string; readonly database: { readonly "repo-key": number } }[];
  readonly db: readonly object[];
  readonly name: string;
  readonly cipher: string;
  readonly repo: readonly {
    readonly key: number;
    readonly status: { readonly code: number; readonly message: string };
    readonly "wal-missing"?: number;
    readonly "wal-dropped"?: number;
  }[];
  readonly status: { readonly code: number; readonly message: string };
}

/** @throws Error unless the output has exactly one stanza */
export function parseInfo(text: string): InfoStanza {
  const [stanza, ...others] = JSON.parse(withNumbersAsText(text)) as InfoStanza[];
  if (stanza === undefined || others.length > 0) throw new Error(`not one stanza: ${text.slice(0, 500)}`);
  return stanza;
}

/** Backups as `{repo, label}`, sorted by repository, then label. */
export function labelsOf(info: InfoStanza): { readonly repo: number; readonly label: string }[] {
  const rows = info.backup.map((backup) => ({ repo: backup.database["repo-key"], label: backup.label }));
  return rows.sort((left, right) => left.repo - right.repo || (left.label < right.label ? -1 : 1));
}

/** Everything except locks, whose holder depends on timing and version, in an order that both programs share. */
export function comparableInfo(info: InfoStanza): object {
  const { code, message } = info.status;
  return {
    ...info,
    archive: sorted(info.archive),
    backup: sorted(info.backup),
    db: sorted(info.db),
    status: { code, message },
  };
}

function sorted(rows: readonly object[]): string[] {
  return rows.map((row) => JSON.stringify(row)).sort();
}

/** System identifiers exceed the integers that a double represents exactly. */
function withNumbersAsText(text: string): string {
  return text.replace(/"system-id":(\d+)/g, '"system-id":"$1"');
}
