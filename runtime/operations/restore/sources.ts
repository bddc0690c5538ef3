/**
 * Combines the repositories of a restore into one source: each file comes from the first that gives its exact bytes.
 *
 * The chosen repository goes first. Another one stands in if it holds the same backup: under the same label, or under
 * the label that the same run used there (a repository without a usable prior gets a full while the others stay
 * incremental). Every repository's manifest locates its own bytes, so chains of different shape can stand in for each
 * other. Stand-ins' manifests are loaded only after a failure. A repository that stops answering moves to the end of
 * the order, so that a restore does not wait for it file by file. A manifest that could not be loaded is requested
 * again later: an opened backup lives for days.
 */
import type { Context } from "../../base/context";
import { type BackupError, fail, isError, toBackupError } from "../../base/errors";
import { type BackupInfo, type BackupInfoEntry, isSameBackup } from "../../format/repository/backupInfo";
import { NameIndex } from "../../format/repository/nameIndex";
import type { FileList, Manifest, ManifestFile } from "../../format/repository/manifest";
import { loadManifest } from "../../repository/backupStore";
import type { Repository } from "../../repository/repository";
import { sourceOf } from "./restorePlan";
import type { RestoreFileResult, RestoreSource } from "./restoreFile";
import type { RestoreFileOutcome } from "./restoreFiles";
import { type Selected, systemIdOf } from "./select";

/** Consecutive failures that say something about the repository and not about one file. */
const STRIKES_MAX = 3;

/** How long a manifest is not requested again. */
const RETRY_MS = 30_000;

interface Member {
  readonly repo: Repository;
  readonly label: string;
  /** Undefined until it was requested, and again after a failure; null when it cannot be loaded. */
  manifest: Promise<LoadedManifest | null> | undefined;
  /** When it is requested again. */
  retryAtMs: number;
  strikes: number;
  /** Its last reported failure: one report is enough for all files of a job. */
  reported: string;
}

interface LoadedManifest {
  readonly manifest: Manifest;
  readonly index: NameIndex;
}

export interface OpenRepo {
  readonly repo: Repository;
  readonly info: BackupInfo;
}

/** A file and its destination path. */
export interface FileRequest {
  readonly file: ManifestFile;
  readonly destination: string;
}

interface SourcedRequest extends FileRequest {
  readonly source: RestoreSource;
}

type Attempt<T> = (source: RestoreSource, isRetry: boolean) => Promise<T>;

export class Sources {
  /** Manifest of the backup to restore. */
  readonly manifest: Manifest;
  readonly repo: Repository;
  readonly #members: Member[];
  readonly #infos: ReadonlyMap<number, BackupInfo>;
  readonly #ctx: Context;

  private constructor(
    manifest: Manifest,
    first: Member,
    members: readonly Member[],
    infos: ReadonlyMap<number, BackupInfo>,
    ctx: Context,
  ) {
    this.manifest = manifest;
    this.repo = first.repo;
    this.#members = [first, ...members.filter((member) => member !== first)];
    this.#infos = infos;
    this.#ctx = ctx;
  }

  /** @throws the chosen repository's error when no repository can give this backup's manifest */
  static async open(repos: readonly OpenRepo[], selected: Selected, ctx: Context): Promise<Sources> {
    const infos = new Map(repos.map(({ repo, info }) => [repo.key, info]));
    const ordered = [...repos].sort(
      (left, right) => rank(left, selected) - rank(right, selected) || left.repo.key - right.repo.key,
    );
    const members = ordered.flatMap(({ repo, info }): Member[] => {
      const label = repo.key === selected.repoIndex ? selected.entry.label : findTwin(info, selected);
      return label === null ? [] : [{ repo, label, manifest: undefined, retryAtMs: 0, strikes: 0, reported: "" }];
    });
    let first: BackupError | undefined;
    for (const member of members) {
      try {
        const manifest = await loadManifest(member.repo, member.label, infos.get(member.repo.key)?.cipherPass ?? null);
        member.manifest = Promise.resolve(loadedOf(manifest));
        return new Sources(manifest, member, members, infos, ctx);
      } catch (error) {
        const failure = toBackupError(error);
        first ??= failure;
        member.retryAtMs = ctx.clock.monotonicMs() + RETRY_MS;
        ctx.log.warn(`${member.repo.name}: [${failure.name}] ${failure.message}`);
      }
    }
    throw first ?? fail("fileMissing", `no repository holds the manifest of ${selected.entry.label}`);
  }

  /**
   * Tries one source after the other until `attempt` succeeds, and returns its result.
   * @throws the first failure when all have failed; immediately an error that no source caused
   */
  use<T>(request: FileRequest, attempt: Attempt<T>): Promise<T> {
    return this.#useFrom(request, attempt, new Set(), undefined);
  }

  /**
   * The same for several files: `attemptAll` tries those that the first repository has, each with its own outcome;
   * `attempt` tries the rest one by one. The results are in the order of the files.
   */
  async useAll(
    requests: readonly FileRequest[],
    attemptAll: (sourced: readonly SourcedRequest[]) => Promise<readonly RestoreFileOutcome[]>,
    attempt: (request: FileRequest) => Attempt<RestoreFileResult>,
  ): Promise<RestoreFileResult[]> {
    const member = this.#next(new Set()) as Member;
    const loaded = await this.#load(member);
    const sourced = requests.flatMap((request): SourcedRequest[] => {
      const source = findSource(member, loaded, request.file);
      return source === null ? [] : [{ ...request, source }];
    });
    const outcomes = sourced.length === 0 ? [] : await attemptAll(sourced);
    const results: RestoreFileResult[] = [];
    let position = 0;
    for (const request of requests) {
      const outcome = sourced[position]?.file === request.file ? outcomes[position++] : undefined;
      if (outcome?.ok === true) {
        member.strikes = 0;
        results.push(outcome.value);
        continue;
      }
      if (outcome !== undefined) this.#refuse(member, request, outcome.error);
      results.push(await this.#useFrom(request, attempt(request), new Set([member]), outcome?.error));
    }
    return results;
  }

  async #useFrom<T>(
    request: FileRequest,
    attempt: Attempt<T>,
    tried: Set<Member>,
    failed: BackupError | undefined,
  ): Promise<T> {
    let first = failed;
    for (let member = this.#next(tried); member !== undefined; member = this.#next(tried)) {
      tried.add(member);
      const source = findSource(member, await this.#load(member), request.file);
      if (source === null) continue;
      try {
        const result = await attempt(source, first !== undefined);
        member.strikes = 0;
        return result;
      } catch (error) {
        const failure = toBackupError(error);
        this.#refuse(member, request, failure);
        first ??= failure;
      }
    }
    throw first ?? fail("fileMissing", `no repository holds '${request.file.name}' of backup ${this.manifest.label}`);
  }

  /** @throws errors of this machine's files, which every source would repeat */
  #refuse(member: Member, { destination }: FileRequest, failure: BackupError): void {
    if (this.#ctx.signal.aborted || failure.path === destination || isError(failure, "assert", "term")) throw failure;
    this.#note(member, failure);
  }

  /** An unreadable backup must not cost the old directory. @throws featureNotSupported (67) */
  requireReadable(files: FileList): void {
    for (const file of files) sourceOf(this.repo.key, this.repo.stanza, this.manifest, file);
  }

  /**
   * The result of `find` for this backup from the first repository that has one, or only from the one that is restored
   * from. Failures on the way become warnings.
   */
  async findBeside<T>(
    find: (repo: Repository, manifest: Manifest) => Promise<T | null>,
    inAll: boolean,
  ): Promise<T | null> {
    for (const member of inAll ? this.#members : this.#members.slice(0, 1)) {
      const loaded = await this.#load(member);
      if (loaded === null) continue;
      try {
        const result = await find(member.repo, loaded.manifest);
        if (result !== null) return result;
      } catch (error) {
        const { name, message } = toBackupError(error);
        this.#ctx.log.warn(`${member.repo.name}: [${name}] ${message}`);
      }
    }
    return null;
  }

  /** Answering repositories in their order, then the others. */
  #next(tried: ReadonlySet<Member>): Member | undefined {
    const left = this.#members.filter((member) => !tried.has(member));
    return left.find((member) => member.strikes < STRIKES_MAX) ?? left[0];
  }

  #note(member: Member, failure: BackupError): void {
    const text = `${member.repo.name}: [${failure.name}] ${failure.message}`;
    if (text !== member.reported) this.#ctx.log.warn(text);
    member.reported = text;
    // Damaged or missing files do not predict the next file.
    if (isError(failure, "checksum", "crypto", "format", "fileMissing", "featureNotSupported")) return;
    member.strikes++;
    if (member.strikes === STRIKES_MAX && this.#members.length > 1)
      this.#ctx.log.warn(`${member.repo.name} is now the last choice`);
  }

  #load(member: Member): Promise<LoadedManifest | null> {
    const { clock, log } = this.#ctx;
    if (member.manifest !== undefined) return member.manifest;
    if (clock.monotonicMs() < member.retryAtMs) return Promise.resolve(null);
    member.manifest = loadManifest(
      member.repo,
      member.label,
      this.#infos.get(member.repo.key)?.cipherPass ?? null,
    ).then(loadedOf, (error: unknown) => {
      const { name, message } = toBackupError(error);
      log.warn(`${member.repo.name} cannot replace it: [${name}] ${message}`);
      member.manifest = undefined;
      member.retryAtMs = clock.monotonicMs() + RETRY_MS;
      return null;
    });
    return member.manifest;
  }
}

/** Null when this repository holds no such file. */
function findSource({ repo }: Member, loaded: LoadedManifest | null, file: ManifestFile): RestoreSource | null {
  const position = loaded?.index.find(file.name) ?? -1;
  const row = position === -1 ? undefined : loaded?.manifest.files.at(position);
  if (loaded === null || row === undefined || row.sha1 !== file.sha1 || row.sizeBytes !== file.sizeBytes) return null;
  return sourceOf(repo.key, repo.stanza, loaded.manifest, row);
}

function loadedOf(manifest: Manifest): LoadedManifest {
  return { manifest, index: NameIndex.of(manifest.files) };
}

function rank({ repo }: OpenRepo, selected: Selected): number {
  return repo.key === selected.repoIndex ? 0 : 1;
}

/** The backup that the same run of the same cluster made in another repository. */
function findTwin(info: BackupInfo, { entry, systemId }: Selected): string | null {
  const own = info.backups.filter((other) => systemIdOf(info, other) === systemId);
  const twin = own.find((other) => isSameBackup(other, entry)) ?? own.find((other) => isSameRun(other, entry));
  return twin?.label ?? null;
}

function isSameRun(left: BackupInfoEntry, right: BackupInfoEntry): boolean {
  if (right.lsnStop === undefined) return false;
  return left.lsnStart === right.lsnStart && left.lsnStop === right.lsnStop && left.archiveStart === right.archiveStart;
}
