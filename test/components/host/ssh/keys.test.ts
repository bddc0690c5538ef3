/** SSH keys that are made here. */
import { utils } from "ssh2";
import { expect, test } from "vitest";
import { makeKeyPair } from "../../../../components/host/ssh/keys";

/** One pair in 256 would be malformed. */
const PAIRS = 3000;
/** Two lengths, `ssh-ed25519` and 32 bytes (RFC 8709). */
const SIZE_BYTES = 51;

test("every pair can be read, and its public key has its whole length", () => {
  for (let made = 0; made < PAIRS; made++) {
    const { privateKey, publicKey } = makeKeyPair("of a test");
    const [type, text = ""] = publicKey.split(" ");
    expect([type, Buffer.from(text, "base64").length]).toEqual(["ssh-ed25519", SIZE_BYTES]);
    expect(utils.parseKey(privateKey)).not.toBeInstanceOf(Error);
  }
});
