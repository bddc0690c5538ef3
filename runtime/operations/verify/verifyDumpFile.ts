/** Reads one stream of a logical dump: a job, so that workers read and hash. */
import type { DumpFile, DumpManifest } from "../../format/repository/dumpManifest";
import { dumpPath } from "../../format/repository/repoPath";
import type { Repository } from "../../repository/repository";
import { readDumpFile } from "../dump/readDump";
import { failedRead, type VerifyFileResult } from "./verifyFile";

export interface VerifyDumpJob extends DumpFile, Pick<DumpManifest, "cipherPass"> {
  readonly kind: "verifyDump";
  readonly directory: string;
  readonly repoIndex: number;
}

export async function verifyDumpFile(
  { cipherPass, content, directory, fileName, repoIndex }: VerifyDumpJob,
  repo: (key: number) => Repository,
): Promise<VerifyFileResult> {
  try {
    for await (const _chunk of readDumpFile(repo(repoIndex), directory, { cipherPass }, { content, fileName }));
    return { status: "ok", text: "" };
  } catch (error) {
    return failedRead(`${dumpPath(repo(repoIndex).stanza, directory)}/${fileName}`, error);
  }
}
