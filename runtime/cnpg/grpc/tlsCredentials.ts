/**
 * TLS of the operator side: version 1.3, a required client certificate, and files that may change at any time.
 *
 * Only the operator's own certificate may call. A common authority proves nothing: cert-manager signs for every
 * namespace with permission. Node's TLS server has no such rule (it drops `allowPartialTrustChain`), so each call is
 * compared.
 *
 * The certificates' issuer renews them, and Kubernetes replaces the files. They are read every few seconds. A pair that
 * does not match, as in the middle of a renewal, is not used until it does. Open connections stay as they are.
 */
import { X509Certificate, createPrivateKey } from "node:crypto";
import { readFile } from "../../local/nodeFiles";
import { nullIfMissing } from "../../local/systemError";
import type { SecureContextOptions } from "node:tls";
import {
  ResponderBuilder,
  ServerCredentials,
  ServerInterceptingCall,
  type ServerInterceptor,
  ServerListenerBuilder,
  status,
} from "@grpc/grpc-js";
import type { Context } from "../../base/context";
import { fail, toBackupError } from "../../base/errors";

export interface CertificatePaths {
  /** Directory of `tls.crt` and `tls.key`. */
  readonly serverPath: string;
  /** Directory of the callers' `tls.crt`, with the `ca.crt` that signed it unless it is self-signed. */
  readonly clientPath: string;
}

interface Certificates {
  readonly cert: Buffer;
  readonly key: Buffer;
  readonly ca: readonly Buffer[];
  /** Accepted client certificates, in DER. */
  readonly pinned: readonly Buffer[];
}

const LOOK_MS = 2000;

/** @throws fileOpen, fileInvalid for the current files */
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

  override _getInterceptors(): ServerInterceptor[] {
    return [this.#refuseOthers];
  }

  /**
   * Compares with the certificates pinned at the time of the call: the operator reconnects when its certificate
   * changes.
   */
  readonly #refuseOthers: ServerInterceptor = (_method, call) => {
    const shown = call.getAuthContext().sslPeerCertificate?.raw;
    const isPinned = shown !== undefined && this.#now.pinned.some((certificate) => certificate.equals(shown));
    const details = "the caller's certificate is not the operator's: tls.crt of the plugin's client Secret";
    const refusing = new ServerListenerBuilder()
      .withOnReceiveMetadata(() => call.sendStatus({ code: status.UNAUTHENTICATED, details }))
      .build();
    const responder = new ResponderBuilder().withStart((next) => (isPinned ? next() : next(refusing))).build();
    return new ServerInterceptingCall(call, responder);
  };

  override _equals(other: ServerCredentials): boolean {
    return this === other;
  }

  /** Runs until `signal` aborts; never throws. */
  async watch(ctx: Context, signal: AbortSignal): Promise<void> {
    let reported = "";
    while (!signal.aborted) {
      await ctx.clock.sleep(LOOK_MS, signal).catch(() => {});
      try {
        const next = await load(this.#paths);
        reported = "";
        if (isSame(next, this.#now)) continue;
        this.#now = next;
        this.updateSecureContextOptions(contextOf(next));
        ctx.log.info("the certificates were renewed: new connections use them");
      } catch (error) {
        const { message } = toBackupError(error);
        if (reported !== message) ctx.log.warn(`keeping the current certificates: ${message}`);
        reported = message;
      }
    }
  }
}

async function load({ serverPath, clientPath }: CertificatePaths): Promise<Certificates> {
  const cert = await read(`${serverPath}/tls.crt`);
  const key = await read(`${serverPath}/tls.key`);
  const shown = await read(`${clientPath}/tls.crt`);
  const authority = await nullIfMissing(readFile(`${clientPath}/ca.crt`));
  try {
    if (!new X509Certificate(cert).checkPrivateKey(createPrivateKey(key)))
      throw new Error("tls.key is not the key of tls.crt");
    return {
      cert,
      key,
      ca: authority === null ? [shown] : [shown, authority],
      pinned: pinnedOf(shown.toString("latin1")),
    };
  } catch (error) {
    throw fail(
      "fileInvalid",
      `the certificates in '${serverPath}' and '${clientPath}' cannot be used: ${toBackupError(error).message}`,
      {
        cause: error,
      },
    );
  }
}

/**
 * The first certificate is the caller's. Its issuers and the caller's previous certificate may follow and are ignored.
 * @throws Error without a certificate, or with an unreadable one
 */
function pinnedOf(shown: string): Buffer[] {
  const certificates = (shown.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? []).map(
    (pem) => new X509Certificate(pem),
  );
  if (certificates.length === 0) throw new Error("the caller's tls.crt holds no certificate");
  return certificates.filter((certificate, index) => index === 0 || !certificate.ca).map(({ raw }) => raw);
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
