/**
 * The operator side's TLS: version 1.3, the caller's certificate demanded, and files that may change at any moment.
 *
 * Certificates are renewed by whoever made them, and Kubernetes puts the new files in place. They are read again every few seconds; a pair that
 * does not belong together, as in the middle of a renewal, is left alone until it does. Connections that are open stay as they are.
 */
import { X509Certificate, createPrivateKey } from "node:crypto";
import { readFile } from "node:fs/promises";
import type { SecureContextOptions } from "node:tls";
import { ServerCredentials } from "@grpc/grpc-js";
import type { Context } from "../base/context";
import { fail, toBackupError } from "../base/errors";

export interface CertificatePaths {
  /** Directory of `tls.crt` and `tls.key`. */
  readonly serverPath: string;
  /** Directory of the `tls.crt` that callers show, or of the `ca.crt` that signed it. */
  readonly clientPath: string;
}

interface Certificates {
  readonly cert: Buffer;
  readonly key: Buffer;
  readonly ca: readonly Buffer[];
}

const LOOK_MS = 2000;

/** @throws fileOpen, fileInvalid for what is there now */
export async function openCredentials(paths: CertificatePaths): Promise<RotatingCredentials> {
  return new RotatingCredentials(paths, await load(paths));
}

export class RotatingCredentials extends ServerCredentials {
  readonly #paths: CertificatePaths;
  #now: Certificates;

  constructor(paths: CertificatePaths, now: Certificates) {
    super({ requestCert: true, rejectUnauthorized: true }, contextOf(now));
    this.#paths = paths;
    this.#now = now;
  }

  override _equals(other: ServerCredentials): boolean {
    return this === other;
  }

  /** Runs until `signal` aborts; never throws. */
  async watch(ctx: Context, signal: AbortSignal): Promise<void> {
    let told = "";
    while (!signal.aborted) {
      await ctx.clock.sleep(LOOK_MS, signal).catch(() => {});
      try {
        const next = await load(this.#paths);
        told = "";
        if (isSame(next, this.#now)) continue;
        this.#now = next;
        this.updateSecureContextOptions(contextOf(next));
        ctx.log.info("the certificates were renewed: new connections use them");
      } catch (error) {
        const { message } = toBackupError(error);
        if (told !== message) ctx.log.warn(`the certificates stay as they were: ${message}`);
        told = message;
      }
    }
  }
}

async function load({ serverPath, clientPath }: CertificatePaths): Promise<Certificates> {
  const cert = await read(`${serverPath}/tls.crt`);
  const key = await read(`${serverPath}/tls.key`);
  const shown = await read(`${clientPath}/tls.crt`);
  const authority = await readFile(`${clientPath}/ca.crt`).catch(() => null);
  try {
    if (!new X509Certificate(cert).checkPrivateKey(createPrivateKey(key))) throw new Error("tls.key is not the key of tls.crt");
    void new X509Certificate(shown);
  } catch (error) {
    throw fail("fileInvalid", `the certificates in '${serverPath}' and '${clientPath}' cannot be used: ${toBackupError(error).message}`, {
      cause: error,
    });
  }
  return { cert, key, ca: authority === null ? [shown] : [shown, authority] };
}

async function read(path: string): Promise<Buffer> {
  return readFile(path).catch((error: unknown) => {
    throw fail("fileOpen", `unable to read '${path}': ${toBackupError(error).message}`, { path, cause: error });
  });
}

function contextOf({ cert, key, ca }: Certificates): SecureContextOptions {
  return { cert, key, ca: [...ca], minVersion: "TLSv1.3" };
}

function isSame(left: Certificates, right: Certificates): boolean {
  const bytesOf = ({ cert, key, ca }: Certificates): Buffer => Buffer.concat([cert, key, ...ca]);
  return bytesOf(left).equals(bytesOf(right));
}
