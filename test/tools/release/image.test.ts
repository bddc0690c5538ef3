import { expect, test } from "vitest";
import { imageNotes, manifestDigest } from "../../../tools/release/image";

const DIGEST = `sha256:${"0a".repeat(32)}`;

test("the digest of an image is that of its only manifest", () => {
  expect(manifestDigest(JSON.stringify({ schemaVersion: 2, manifests: [{ digest: DIGEST }] }))).toBe(DIGEST);
  for (const manifests of [undefined, [], [{ digest: DIGEST }, { digest: DIGEST }], [{ digest: "sha256:0a" }]])
    expect(() => manifestDigest(JSON.stringify({ manifests }))).toThrow("an image of one processor has one manifest");
});

test("the notes say that an image comes from a dry run, and on which base", () => {
  const notes = imageNotes("0.1.0", { file: "image.tar", digest: DIGEST, how: "buildah; a stand-in", answer: "" });
  expect(notes).toContain("dry run");
  expect(notes).toContain(`\`pgbackstop:0.1.0@${DIGEST}\` (buildah; a stand-in)`);
});
