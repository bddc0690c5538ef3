/**
 * Copies one backup into another repository: every file is unpacked, checked against its SHA-1, packed anew with the target's compression
 * and keys, and stored; bundles stay bundles. Files stored in blocks become whole files.
 *
 * Nothing is visible before all of it is there: manifest and backup.info come last. A copy that was cut off goes on where its last saved
 * manifest copy was, after what is there has been read and checked.
 */
import { type ByteStream, collect, textOf } from "../../base/bytes";
import type { Context } from "../../base/context";
import { assert, fail, isError, toBackupError } from "../../base/errors";
import { Measured, sha1Hex } from "../../base/hash";
import { LIMITS } from "../../base/limits";
import { mapParallel } from "../../base/parallel";
import { findBlockSource } from "../../format/blockSource";
import { compress, compressBytes, decompressBytes } from "../../format/compress";
import { decryptBytes, encrypt } from "../../format/cipher";
import { type Manifest, type ManifestFile, parseManifest } from "../../format/manifest";
import { backupPath, backupsPath, bundlePath, copyOf, dataFilePath, manifestPath } from "../../format/repoPath";
import { openRaw, openSuperBlock, sealRaw } from "../../format/superBlock";
import type { BackupInfoEntry } from "../../format/backupInfo";
import type { StoredSuperBlock } from "../../format/blockMap";
import { finishBackup, loadManifest, saveManifestCopy } from "../../repository/backupStore";
import { loadBlockMap } from "../../repository/blockReader";
import { readExtents } from "../../repository/bundleReader";
import { newSubPass, readFile, type Repository, seal, unpack } from "../../repository/repository";
import { BundleWriter } from "../backup/bundleWriter";
import { storedAt } from "../restore/plan";
import { verifyFile } from "../verifyFile";
import { type CopyForm, copyForm, copyManifest, divideRows, withPlace } from "./plan";

export interface SyncSide {
  readonly repo: Repository;
  /** Passphrase of its manifests; null without encryption. */
  readonly infoPass: string | null;
}

export interface CopiedBackup {
  readonly label: string;
  readonly sizeBytes: number;
  readonly fileCount: number;
  /** Files that an earlier, interrupted run had brought here. */
  readonly resumedCount: number;
}

/** Copied bytes between two saves of what is done. */
const SAVE_EVERY_BYTES = 256 * 1024 * 1024;

/** The caller holds the locks and has seen that prior and references are in the target. @throws when a file's bytes are not what the manifest says */
export async function copyBackup(source: SyncSide, target: SyncSide, entry: BackupInfoEntry, slots: number, ctx: Context): Promise<CopiedBackup> {
  const manifest = await loadManifest(source.repo, entry.label, source.infoPass);
  const { repo } = target;
  const earlier = await loadEarlier(target, manifest);
  const prior = manifest.prior === undefined ? null : (earlier.get(manifest.prior) ?? null);
  const partial = await findPartial(target, manifest);
  const form = copyForm(manifest.type, repo.compress, prior, () => (target.infoPass === null ? null : (partial?.cipherPass ?? newSubPass(ctx))));
  const byName = new Map([...earlier].map(([label, own]) => [label, new Map(own.files.map((file) => [file.name, file]))]));
  const { held, missing } = divideRows(manifest, byName);
  const copy = new Copy(source.repo, target, manifest, entry, form, held, ctx);
  const resumed = await copy.resume(partial, missing);
  await copy.save();
  await makeDirectories(repo, manifest);
  const rest = missing.filter((file) => !copy.placed.has(file.name));
  for (const [id, files] of bundlesOf(rest)) {
    if (ctx.signal.aborted) throw toBackupError(ctx.signal.reason, "term");
    await copy.bundle(id, files);
  }
  const single = rest.filter((file) => file.bundle === undefined).sort((left, right) => right.sizeBytes - left.sizeBytes);
  await mapParallel(single, slots, (file) => copy.file(file));
  const finished = copy.manifest();
  assert(finished.files.length === manifest.files.length, `copy of ${entry.label} has ${finished.files.length} of ${manifest.files.length} files`);
  await syncDirectories(repo, finished);
  await finishBackup(repo, finished, target.infoPass, ctx);
  return { label: entry.label, sizeBytes: copy.copiedBytes, fileCount: finished.files.length, resumedCount: resumed };
}

/** The target's manifests of everything that the backup leans on. */
async function loadEarlier(target: SyncSide, manifest: Manifest): Promise<Map<string, Manifest>> {
  const labels = new Set([...manifest.references, ...(manifest.prior === undefined ? [] : [manifest.prior])]);
  labels.delete(manifest.label);
  const found = new Map<string, Manifest>();
  for (const label of labels) {
    try {
      found.set(label, await loadManifest(target.repo, label, target.infoPass));
    } catch (error) {
      if (!isError(error, "fileMissing")) throw error;
    }
  }
  if (manifest.prior !== undefined && !found.has(manifest.prior)) {
    throw fail("backupSetInvalid", `${target.repo.name} lacks ${manifest.prior}, which ${manifest.label} builds on`, { repoKey: target.repo.key });
  }
  return found;
}

/** What an interrupted run saved of the same backup; null when there is none or it cannot be read. */
async function findPartial(target: SyncSide, manifest: Manifest): Promise<Manifest | null> {
  const path = copyOf(manifestPath(target.repo.stanza, manifest.label));
  try {
    const partial = parseManifest(textOf(await readFile(target.repo, path, target.infoPass)), path);
    const isSame = partial.label === manifest.label && partial.startedAtS === manifest.startedAtS && partial.stoppedAtS === manifest.stoppedAtS;
    return isSame ? partial : null;
  } catch (error) {
    if (isError(error, "fileMissing", "format", "checksum", "crypto")) return null;
    throw error;
  }
}

function bundlesOf(files: readonly ManifestFile[]): Map<number, ManifestFile[]> {
  const bundles = new Map<number, ManifestFile[]>();
  for (const file of files) {
    if (file.bundle === undefined) continue;
    bundles.set(file.bundle.id, [...(bundles.get(file.bundle.id) ?? []), file]);
  }
  return bundles;
}

class Copy {
  readonly placed = new Map<string, ManifestFile>();
  copiedBytes = 0;
  readonly #from: Repository;
  readonly #to: Repository;
  readonly #infoPass: string | null;
  readonly #source: Manifest;
  readonly #entry: BackupInfoEntry;
  readonly #form: CopyForm;
  readonly #held: readonly ManifestFile[];
  readonly #ctx: Context;
  #savedAtBytes = 0;
  #saving: Promise<void> = Promise.resolve();

  constructor(from: Repository, to: SyncSide, source: Manifest, entry: BackupInfoEntry, form: CopyForm, held: readonly ManifestFile[], ctx: Context) {
    this.#from = from;
    this.#to = to.repo;
    this.#infoPass = to.infoPass;
    this.#source = source;
    this.#entry = entry;
    this.#form = form;
    this.#held = held;
    this.#ctx = ctx;
  }

  /** As far as it has come. */
  manifest(): Manifest {
    return copyManifest(this.#source, this.#entry, this.#form, [...this.#held, ...this.placed.values()]);
  }

  /** Takes over what an interrupted run has stored, when its bytes are whole. Of a bundle all of it or nothing. */
  async resume(partial: Manifest | null, missing: readonly ManifestFile[]): Promise<number> {
    if (partial === null || partial.options.compressType !== this.#form.compress.type || (partial.cipherPass ?? null) !== this.#form.cipherPass)
      return 0;
    const wanted = new Map(missing.map((file) => [file.name, file]));
    const done = partial.files.filter((file) => file.reference === undefined && wanted.get(file.name)?.sha1 === file.sha1);
    const whole = new Map<string, ManifestFile>();
    await mapParallel(done, LIMITS.filesPerWorker, async (file) => {
      if (await this.#isStored(partial, file)) whole.set(file.name, file);
    });
    const broken = new Set(missing.flatMap((file) => (file.bundle === undefined || whole.has(file.name) ? [] : [file.bundle.id])));
    for (const file of whole.values()) if (file.bundle === undefined || !broken.has(file.bundle.id)) this.placed.set(file.name, file);
    return this.placed.size;
  }

  async #isStored(partial: Manifest, file: ManifestFile): Promise<boolean> {
    const { path, range, ...packing } = storedAt(this.#to.key, this.#to.stanza, partial, file);
    const job =
      file.sha1Repo === undefined
        ? { unpack: packing, sizeBytes: file.sizeBytes, sha1: file.sha1 }
        : { unpack: null, sizeBytes: file.sizeRepoBytes, sha1: file.sha1Repo };
    const { status } = await verifyFile({ kind: "verifyFile", repoKey: this.#to.key, path, range, ...job }, () => this.#to);
    return status === "ok";
  }

  /** Makes the directory recognisable, and what is done so far usable for a later run. */
  async save(): Promise<void> {
    this.#savedAtBytes = this.copiedBytes;
    const partial = this.manifest();
    // One after the other: the newest must be the last one written.
    this.#saving = this.#saving.then(() => saveManifestCopy(this.#to, partial, this.#infoPass, this.#ctx));
    await this.#saving;
  }

  /** One bundle: read once, written once. */
  async bundle(id: number, files: readonly ManifestFile[]): Promise<void> {
    const writer = new BundleWriter(this.#to.storage, bundlePath(this.#to.stanza, this.#source.label, id));
    const rows: ManifestFile[] = [];
    const add = async (file: ManifestFile, plain: Uint8Array): Promise<void> => {
      requireContent(file, plain.length, sha1Hex(plain), this.#from);
      const stored = this.#pack(plain);
      const bundle = { id, offsetBytes: writer.sizeBytes };
      await writer.append(stored);
      rows.push(withPlace(file, { sizeRepoBytes: stored.length, ...this.#sha1Repo(() => sha1Hex(stored)), bundle }));
    };
    try {
      const extents = files.flatMap((file) =>
        file.block === undefined || file.block.mapSizeBytes === 0
          ? [{ file, offsetBytes: file.bundle?.offsetBytes ?? 0, sizeBytes: file.sizeRepoBytes }]
          : [],
      );
      const path = bundlePath(this.#from.stanza, this.#source.label, id);
      for await (const { extent, bytes } of readExtents(this.#from.storage, path, extents))
        await add(extent.file, this.#unpackSmall(extent.file, bytes));
      for (const file of files) {
        if (file.block !== undefined && file.block.mapSizeBytes > 0) await add(file, await collect(this.#open(file), file.sizeBytes));
      }
      await writer.finish();
    } catch (error) {
      await writer.abandon(error);
      throw error;
    }
    for (const row of rows) this.placed.set(row.name, row);
    await this.#account(rows.reduce((sum, row) => sum + row.sizeBytes, 0));
  }

  /** One file of its own, in bounded memory. */
  async file(file: ManifestFile): Promise<void> {
    if (this.#ctx.signal.aborted) throw toBackupError(this.#ctx.signal.reason, "term");
    const { compress: spec, cipherPass } = this.#form;
    const { block: _block, ...whole } = file;
    let plain = new Measured();
    let stored = new Measured();
    // Called again for an upload that has to start over: the source can be read again.
    const open = (): ByteStream => {
      plain = new Measured();
      stored = new Measured();
      const content = plain.through(this.#open(file));
      const packed = spec.type === "none" ? content : compress(content, spec);
      return stored.through(cipherPass === null ? packed : encrypt(packed, cipherPass, this.#ctx.random.bytes(8)));
    };
    await this.#to.storage.putStream(dataFilePath(this.#to.stanza, this.#source.label, { name: file.name }, spec.type), open, { atomic: false });
    const { sizeBytes, sha1 } = plain.result();
    requireContent(file, sizeBytes, sha1, this.#from);
    const result = stored.result();
    this.placed.set(file.name, withPlace(whole, { sizeRepoBytes: result.sizeBytes, ...this.#sha1Repo(() => result.sha1) }));
    await this.#account(sizeBytes);
  }

  async #account(sizeBytes: number): Promise<void> {
    this.copiedBytes += sizeBytes;
    if (this.copiedBytes - this.#savedAtBytes >= SAVE_EVERY_BYTES) await this.save();
  }

  /** The original content. */
  #open(file: ManifestFile): ByteStream {
    const blocks = findBlockSource(this.#from.stanza, this.#source, file);
    if (blocks !== null) return blocksInOrder(this.#from, blocks, file.sizeBytes);
    return this.#openStored(file);
  }

  async *#openStored(file: ManifestFile): ByteStream {
    const { path, range, ...packing } = storedAt(this.#from.key, this.#from.stanza, this.#source, file);
    const stored = await this.#from.storage.read(path, range ?? undefined);
    yield* unpack(stored, packing);
  }

  #unpackSmall(file: ManifestFile, stored: Uint8Array): Uint8Array {
    const { cipherPass, options, bundleRaw } = this.#source;
    const packed = cipherPass === undefined ? stored : bundleRaw ? openRaw(stored, cipherPass) : decryptBytes(stored, cipherPass);
    return decompressBytes(packed, options.compressType, file.sizeBytes, bundleRaw);
  }

  #pack(plain: Uint8Array): Uint8Array {
    const { compress: spec, cipherPass, bundleRaw } = this.#form;
    const packed = compressBytes(plain, spec, bundleRaw);
    return bundleRaw ? sealRaw(packed, cipherPass, () => this.#ctx.random.bytes(8)) : seal(packed, cipherPass, this.#ctx);
  }

  /** Stock's rule: a checksum of the stored bytes exactly when a filter changed them. */
  #sha1Repo(of: () => string): { sha1Repo?: string } {
    return this.#form.compress.type === "none" && this.#form.cipherPass === null ? {} : { sha1Repo: of() };
  }
}

/** The blocks of a file from its first to its last; of each backup that they come from one super block is held. */
async function* blocksInOrder(repo: Repository, source: NonNullable<ReturnType<typeof findBlockSource>>, sizeBytes: number): ByteStream {
  const map = await loadBlockMap(repo, source);
  const opened = new Map<number, { readonly superBlock: StoredSuperBlock; readonly bytes: Uint8Array }>();
  let restBytes = sizeBytes;
  for (const { superBlock, index } of map.blocks) {
    let own = opened.get(superBlock.reference);
    if (own?.superBlock !== superBlock) {
      const label = source.references[superBlock.reference] ?? "";
      const path =
        superBlock.bundleId > 0
          ? bundlePath(repo.stanza, label, superBlock.bundleId)
          : dataFilePath(repo.stanza, label, { name: source.name, block: source }, source.compressType);
      const range = { offsetBytes: superBlock.offsetBytes, sizeBytes: superBlock.sizeRepoBytes };
      const stored = await collect(await repo.storage.read(path, range), LIMITS.wholeFileSizeBytesMax);
      own = { superBlock, bytes: openSuperBlock(stored, superBlock, source, source.name) };
      opened.set(superBlock.reference, own);
    }
    const block = own.bytes.subarray(
      index * source.blockSizeBytes,
      Math.min((index + 1) * source.blockSizeBytes, index * source.blockSizeBytes + restBytes),
    );
    restBytes -= block.length;
    yield block;
  }
}

/** @throws checksum (26) */
function requireContent(file: ManifestFile, sizeBytes: number, sha1: string, from: Repository): void {
  if (sizeBytes === file.sizeBytes && (sha1 === file.sha1 || sizeBytes === 0)) return;
  throw fail(
    "checksum",
    `'${file.name}' of ${from.name} has checksum ${sha1} (${sizeBytes} bytes), its manifest says ${file.sha1} (${file.sizeBytes} bytes)`,
    {
      hint: "run verify: another repository may hold a good copy.",
      repoKey: from.key,
    },
  );
}

/** As a backup without bundles has them, empty ones too. */
async function makeDirectories(repo: Repository, manifest: Manifest): Promise<void> {
  if (!repo.storage.features.directories || manifest.bundle) return;
  const root = backupPath(repo.stanza, manifest.label);
  for (const path of manifest.paths) await repo.storage.makePath(`${root}/${path.name}`);
}

/** Data was written in place; its names become durable here, before anything refers to it. */
async function syncDirectories(repo: Repository, manifest: Manifest): Promise<void> {
  if (!repo.storage.features.directories) return;
  const root = backupPath(repo.stanza, manifest.label);
  const names = new Set<string>();
  for (const file of manifest.files) {
    if (file.reference !== undefined) continue;
    if (file.bundle !== undefined) names.add("bundle");
    else if (!manifest.bundle || file.sizeBytes > 0) names.add(file.name.slice(0, file.name.lastIndexOf("/")));
  }
  for (const name of names) await repo.storage.syncPath(`${root}/${name}`);
  await repo.storage.syncPath(root);
  await repo.storage.syncPath(backupsPath(repo.stanza));
}
