/** Self-signed certificates: Node and OpenSSL accept them, and they are renewed. */
import { X509Certificate } from "node:crypto";
import { connect, createServer, type TLSSocket } from "node:tls";
import type { AddressInfo } from "node:net";
import { expect, test } from "vitest";
import {
  certificateCreate,
  certificateDiff,
  type CertificateInputs,
  type CertificateState,
  certificateUpdate,
} from "../../../components/dynamic/certificate";

const DAY_MS = 86_400_000;
const NOW = Date.now();
const INPUTS: CertificateInputs = {
  commonName: "pgbackstop",
  dnsNames: ["pgbackstop", "pgbackstop.cnpg-system.svc"],
  usage: "server",
  validDays: 3650,
  renewDays: 1095,
  rotation: "",
};
const CLIENT: CertificateInputs = { ...INPUTS, commonName: "pgbackstop-client", dnsNames: [], usage: "client" };

async function made(inputs: CertificateInputs, nowMs = NOW): Promise<CertificateState> {
  const { outs } = await certificateCreate(inputs, nowMs);
  if (outs === undefined) throw new Error("nothing was made");
  return outs;
}

function parts(text: string): string[] {
  return text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
}

/** A TLS 1.3 handshake that requires both certificates. @returns the server's view, or the client's error */
async function handshake(
  server: CertificateState,
  client: CertificateState,
  known: { readonly server: string; readonly client: string },
): Promise<string> {
  const listener = createServer({
    cert: server.certificatePem,
    key: server.privateKeyPem,
    ca: [known.client],
    requestCert: true,
    rejectUnauthorized: true,
    minVersion: "TLSv1.3",
  });
  const seen = new Promise<string>((resolve) => {
    listener.on("secureConnection", (socket: TLSSocket) => {
      socket.on("error", () => {});
      resolve(`${socket.getProtocol()} ${socket.getPeerCertificate().subject.CN}`);
      socket.end();
    });
    listener.on("tlsClientError", (error) => resolve(`refused: ${error.message}`));
  });
  await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
  const { port } = listener.address() as AddressInfo;
  const reported = new Promise<string>((resolve) => {
    const socket = connect({
      host: "127.0.0.1",
      port,
      ca: [known.server],
      cert: client.certificatePem,
      key: client.privateKeyPem,
      servername: "pgbackstop",
      minVersion: "TLSv1.3",
    });
    socket.on("error", (error) => resolve(`refused: ${error.message}`));
    socket.on("close", () => resolve("closed"));
    socket.resume();
  });
  const answer = await Promise.race([seen, reported.then((text) => (text === "closed" ? seen : text))]);
  listener.close();
  return answer;
}

test("a certificate says who it is for, for how long, and nothing more", async () => {
  const state = await made(INPUTS);
  const certificate = new X509Certificate(state.certificatePem);
  expect(certificate.subject).toBe("CN=pgbackstop");
  expect(certificate.issuer).toBe("CN=pgbackstop");
  expect(certificate.subjectAltName).toBe("DNS:pgbackstop, DNS:pgbackstop.cnpg-system.svc");
  expect(certificate.ca).toBe(false);
  expect(certificate.keyUsage).toEqual(["1.3.6.1.5.5.7.3.1"]);
  expect(certificate.verify(certificate.publicKey)).toBe(true);
  expect(new Date(certificate.validTo).toISOString()).toBe(state.notAfter);
  expect(Date.parse(certificate.validTo) - NOW).toBeGreaterThan(3649 * DAY_MS);
  expect(Date.parse(certificate.validFrom)).toBeLessThan(NOW);
  expect(new X509Certificate((await made(CLIENT)).certificatePem).subjectAltName).toBeUndefined();
  expect((await made(INPUTS)).certificatePem).not.toBe(state.certificatePem);
  // X.509 uses GeneralizedTime for 2050 and later.
  expect(new X509Certificate((await made({ ...INPUTS, validDays: 12_000 })).certificatePem).validTo).toMatch(
    / 20(5|6)\d GMT$/,
  );
});

// claim: docs/kubernetes/plugin.md: certificates, with the former one valid during renewal
test("each side trusts the other's certificate and no other", async () => {
  const [server, client, stranger] = [await made(INPUTS), await made(CLIENT), await made(CLIENT)];
  const known = { server: server.certificatePem, client: client.certificatePem };
  expect(await handshake(server, client, known)).toBe("TLSv1.3 pgbackstop-client");
  expect(await handshake(server, stranger, known)).toContain("refused");
  expect(await handshake(await made(INPUTS), client, known)).toContain("refused");
});

// claim: docs/kubernetes/plugin.md: certificates, with the former…
test("a certificate is renewed when due or requested, and the previous one stays trusted until it expires", async () => {
  const state = await made(INPUTS);
  const at = (days: number): number => NOW + days * DAY_MS;
  expect(certificateDiff("", state, INPUTS, NOW).changes).toBe(false);
  expect(certificateDiff("", state, INPUTS, at(2500)).changes).toBe(false);
  expect(certificateDiff("", state, INPUTS, at(2600)).changes).toBe(true);
  expect(certificateDiff("", state, { ...INPUTS, rotation: "2026" }, NOW).changes).toBe(true);
  expect(certificateDiff("", state, { ...INPUTS, renewDays: 30 }, NOW).changes).toBe(false);

  const renewed = (await certificateUpdate("", state, INPUTS, at(2600))).outs as CertificateState;
  expect(parts(renewed.certificatePem)).toHaveLength(2);
  expect(parts(renewed.certificatePem)[1]).toBe(parts(state.certificatePem)[0]);
  const again = (await certificateUpdate("", renewed, INPUTS, at(5200))).outs as CertificateState;
  expect(parts(again.certificatePem)).toEqual([parts(again.certificatePem)[0], parts(renewed.certificatePem)[0]]);

  // A client with the renewed text still accepts a server that has not reloaded yet.
  const client = await made(CLIENT);
  expect(
    await handshake(state, client, {
      server: (await certificateUpdate("", state, INPUTS, NOW)).outs?.certificatePem ?? "",
      client: client.certificatePem,
    }),
  ).toBe("TLSv1.3 pgbackstop-client");
});

test("a validity that would renew at every update is refused", async () => {
  await expect(certificateCreate({ ...INPUTS, validDays: 30, renewDays: 30 })).rejects.toThrow(
    "cannot be renewed 30 days before it expires",
  );
});
