/**
 * The key of a stack's secrets, from a double of Vault's transit engine in this process. Pulumi makes it from a
 * passphrase by a million rounds of a hash: half of what most commands cost.
 */
import { createCipheriv, createDecipheriv, createHash, randomBytes } from "node:crypto";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { json } from "node:stream/consumers";
import type { KeyService } from "../../../tools/parts/pulumi/pulumiEngine";

const CIPHER = "aes-256-gcm";
/** What Vault writes before its texts. */
const PREFIX = "vault:v1:";
const IV_BYTES = 12;
const TAG_BYTES = 16;

/** The service for stacks with this passphrase. It ends with the process. */
export async function startKeyService(passphrase: string): Promise<KeyService> {
  const key = createHash("sha256").update(passphrase).digest();
  const server = createServer((request, response) => {
    void json(request).then((body) => {
      const { plaintext, ciphertext } = body as { readonly plaintext?: string; readonly ciphertext?: string };
      const data =
        ciphertext === undefined
          ? { ciphertext: encrypt(key, Buffer.from(plaintext ?? "", "base64")) }
          : { plaintext: decrypt(key, ciphertext).toString("base64") };
      response.end(JSON.stringify({ data }));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  server.unref();
  const { port } = server.address() as AddressInfo;
  const env = { VAULT_SERVER_URL: `http://127.0.0.1:${port}`, VAULT_SERVER_TOKEN: "pgbackstop" };
  return { secretsProvider: "hashivault://pgbackstop", env };
}

function encrypt(key: Buffer, text: Buffer): string {
  const iv = randomBytes(IV_BYTES);
  const cipher = createCipheriv(CIPHER, key, iv);
  const sealed = Buffer.concat([cipher.update(text), cipher.final()]);
  return PREFIX + Buffer.concat([iv, cipher.getAuthTag(), sealed]).toString("base64");
}

function decrypt(key: Buffer, text: string): Buffer {
  const bytes = Buffer.from(text.slice(PREFIX.length), "base64");
  const cipher = createDecipheriv(CIPHER, key, bytes.subarray(0, IV_BYTES));
  cipher.setAuthTag(bytes.subarray(IV_BYTES, IV_BYTES + TAG_BYTES));
  return Buffer.concat([cipher.update(bytes.subarray(IV_BYTES + TAG_BYTES)), cipher.final()]);
}
