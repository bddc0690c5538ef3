/**
 * The methods of the dynamic resource behind a cipher passphrase: generated once from the system's random source, or
 * adopted, and kept through every update. Another one would make every backup unreadable, so a change is refused, in
 * the preview if it is known there. A passphrase can be read and removed without the package.
 */
import { randomBytes, randomUUID } from "node:crypto";
import { isUnknown } from "./previewValues";

export interface PassphraseInputs {
  readonly sizeBytes: number;
  /** Adopted; later it must be the same or omitted. */
  readonly existing?: string;
}

interface PassphraseOutputs {
  readonly passphrase: string;
}

export async function create({
  sizeBytes,
  existing,
}: PassphraseInputs): Promise<{ id: string; outs: PassphraseOutputs }> {
  if (existing === "") throw new Error("the existing passphrase is empty: leave it out to generate one");
  process.stdout.write(
    "WARN: if you lose this passphrase, you lose every backup that is encrypted with it. Only the state of this stack holds it: keep a copy elsewhere\n",
  );
  return { id: randomUUID(), outs: { passphrase: existing ?? randomBytes(sizeBytes).toString("base64") } };
}

export async function diff(
  _id: string,
  olds: PassphraseOutputs,
  { existing }: PassphraseInputs,
): Promise<{ changes: boolean }> {
  // One that a preview does not know yet is left to the update.
  if (existing !== undefined && !isUnknown(existing) && existing !== olds.passphrase) {
    throw new Error(
      "a passphrase cannot be changed in place: existing backups would become unreadable. Restore the old one (or omit `existing`); " +
        "a new passphrase needs a new repository: create another CipherPassphrase, add it as another key (repo3) at a new path, and keep both until the old backups are no longer needed",
    );
  }
  return { changes: false };
}

export async function update(
  _id: string,
  olds: PassphraseOutputs,
  { existing }: PassphraseInputs,
): Promise<{ outs: PassphraseOutputs }> {
  if (existing !== undefined && existing !== olds.passphrase)
    throw new Error("a passphrase cannot be changed in place");
  return { outs: { passphrase: olds.passphrase } };
}
