/** The stack of a team that owns the repositories and shares them. */
import type * as pulumi from "@pulumi/pulumi";
import { CipherPassphrase, PosixRepository, type RepositoryTarget } from "pgbackstop";

export function program({
  share,
}: {
  readonly share: string;
}): Record<string, RepositoryTarget | pulumi.Output<string>> {
  const key = new CipherPassphrase("shared-key", {}, { protect: false });
  const nas = new PosixRepository("shared-nas", { path: share, cipher: key.ref });
  return { target: nas.target, passphrase: key.passphrase };
}
