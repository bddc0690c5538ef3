/** What `dump-ls` shows: each dump once, with the repositories that have it. */
import { shownText } from "../../base/bytes";
import { formatLocalSeconds } from "../../base/clock";
import type { RepoResult } from "../../base/parallel";
import { printableValue } from "../../base/printable";
import { formatSize } from "../../base/units";
import type { DumpManifest } from "../../format/repository/dumpManifest";
import type { JsonValue } from "../../format/repository/json";
import { repoErrorLine } from "../shared/results";
import type { DumpCopy } from "./readDump";

interface Listed {
  readonly label: string;
  readonly manifest: DumpManifest | null;
  readonly copies: readonly DumpCopy[];
}

type Results = readonly RepoResult<readonly DumpCopy[]>[];

function listed(results: Results): Listed[] {
  const byLabel = new Map<string, DumpCopy[]>();
  for (const copy of results.flatMap((result) => (result.ok ? result.value : [])))
    byLabel.set(copy.label, [...(byLabel.get(copy.label) ?? []), copy]);
  return [...byLabel]
    .sort(([left], [right]) => (left < right ? -1 : 1))
    .map(([label, copies]) => ({
      label,
      copies,
      manifest: copies.find(({ manifest }) => manifest !== null)?.manifest ?? null,
    }));
}

export function dumpsText(stanza: string, results: Results): string {
  const dumps = listed(results);
  const errors = results.flatMap((result) =>
    result.ok ? [] : [`    ${repoErrorLine(result.repoIndex, result.error).replaceAll("\n", "\n        ")}`],
  );
  const lines = dumps.flatMap(({ copies, label, manifest }) => [
    "",
    `    dump: ${label}`,
    ...(manifest === null ? [] : contentLines(manifest)),
    ...copies.map(({ fault, repo }) => `        ${repo.name}: ${fault === null ? "complete" : printableValue(fault)}`),
  ]);
  const none = dumps.length === 0 && errors.length < results.length ? ["    no dumps"] : [];
  return `${[`stanza: ${stanza}`, ...errors, ...none, ...lines].join("\n")}\n`;
}

function contentLines({ databases, pgVersion, startedAtS, stoppedAtS }: DumpManifest): string[] {
  const names = databases.map(({ name, sizeBytes }) => `${printableValue(shownText(name))} (${formatSize(sizeBytes)})`);
  return [
    `        timestamp start/stop: ${formatLocalSeconds(startedAtS * 1000)} / ${formatLocalSeconds(stoppedAtS * 1000)}`,
    `        server version: ${pgVersion}`,
    `        database list: ${names.join(", ")}`,
  ];
}

export function dumpsJson(results: Results): JsonValue {
  return listed(results).map(({ copies, label, manifest }) => ({
    label,
    ...(manifest === null
      ? {}
      : {
          timestamp: { start: manifest.startedAtS, stop: manifest.stoppedAtS },
          version: manifest.pgVersion,
          "system-id": manifest.systemId,
          format: manifest.format,
          database: manifest.databases.map(({ encoding, name, sha256, sizeBytes }) => ({
            name,
            encoding,
            size: sizeBytes,
            sha256,
          })),
        }),
    repo: copies.map(({ fault, repo }) => ({ key: repo.key, fault })),
  }));
}
