import { X509Certificate } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect } from "node:tls";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type CertificateFiles, makeCertificates } from "../../../../tools/parts/servers/certificates";

let folder = "";
let files: CertificateFiles;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "pgb-cert-"));
  files = await makeCertificates(folder, ["bucket.localhost", "10.244.0.1"]);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Connects a client that trusts `caFile` and expects `servername`. Returns "ok" or the error's code. */
async function handshake(certFile: string, caFile: string, servername: string): Promise<string> {
  const server = createServer({ cert: readFileSync(certFile), key: readFileSync(files.keyFile) });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    return await new Promise((resolve) => {
      const socket = connect({
        port: (server.address() as AddressInfo).port,
        host: "127.0.0.1",
        ca: readFileSync(caFile),
        servername,
      });
      socket.once("secureConnect", () => resolve("ok"));
      socket.once("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
      socket.once("close", () => socket.destroy());
    });
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

describe("certificates", () => {
  test("are signed by the authority and contain names and addresses", () => {
    const server = new X509Certificate(readFileSync(files.certFile));
    const authority = new X509Certificate(readFileSync(files.caFile));
    expect(authority.ca).toBe(true);
    expect(server.ca).toBe(false);
    expect(server.checkIssued(authority)).toBe(true);
    expect(server.verify(authority.publicKey)).toBe(true);
    expect(server.subjectAltName).toBe(
      "DNS:localhost, DNS:bucket.localhost, IP Address:10.244.0.1, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1",
    );
    expect(server.verify(new X509Certificate(readFileSync(files.otherCaFile)).publicKey)).toBe(false);
  });

  test("have a key that only the owner can read", () => {
    expect(statSync(files.keyFile).mode & 0o777).toBe(0o600);
  });

  test("a client that trusts the authority connects", async () => {
    expect(await handshake(files.certFile, files.caFile, "localhost")).toBe("ok");
    expect(await handshake(files.certFile, files.caFile, "bucket.localhost")).toBe("ok");
  });

  test("with another name, from another authority, or expired are refused", async () => {
    expect(await handshake(files.certFile, files.caFile, "example.com")).toBe("ERR_TLS_CERT_ALTNAME_INVALID");
    expect(await handshake(files.certFile, files.otherCaFile, "localhost")).toBe("UNABLE_TO_VERIFY_LEAF_SIGNATURE");
    expect(await handshake(files.expiredCertFile, files.caFile, "localhost")).toBe("CERT_HAS_EXPIRED");
  });
});
