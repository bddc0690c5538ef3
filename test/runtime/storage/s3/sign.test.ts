/** Compares signatures with the examples of the Amazon S3 API reference, "Examples: signature calculations". */
import { createHash } from "node:crypto";
import { expect, test } from "vitest";
import { Secret } from "../../../../runtime/base/secret";
import { encodePath, encodeQuery } from "../../../../runtime/storage/objectStore/urlEncoding";
import { SHA256_EMPTY, Signer } from "../../../../runtime/storage/s3/sign";

const credentials = {
  key: new Secret("AKIAIOSFODNN7EXAMPLE"),
  keySecret: new Secret("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
};
const signer = new Signer(credentials, "us-east-1");
const nowMs = Date.UTC(2013, 4, 24);
const host = "examplebucket.s3.amazonaws.com";
const scope = "Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request";

test("GET of an object with a range", async () => {
  const signed = await signer.sign(
    { method: "GET", host, path: "/test.txt", query: {}, headers: { range: "bytes=0-9" }, sha256Hex: SHA256_EMPTY },
    nowMs,
  );
  expect(signed).toEqual({
    host,
    range: "bytes=0-9",
    "x-amz-content-sha256": SHA256_EMPTY,
    "x-amz-date": "20130524T000000Z",
    authorization: `AWS4-HMAC-SHA256 ${scope}, SignedHeaders=host;range;x-amz-content-sha256;x-amz-date, Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41`,
  });
});

test("PUT of an object whose key needs encoding", async () => {
  const sha256Hex = createHash("sha256").update("Welcome to Amazon S3.").digest("hex");
  const headers = { date: "Fri, 24 May 2013 00:00:00 GMT", "x-amz-storage-class": "REDUCED_REDUNDANCY" };
  const signed = await signer.sign(
    { method: "PUT", host, path: encodePath("/test$file.text"), query: {}, headers, sha256Hex },
    nowMs,
  );
  expect(signed["authorization"]).toBe(
    `AWS4-HMAC-SHA256 ${scope}, SignedHeaders=date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class, Signature=98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd`,
  );
  expect(signed["x-amz-content-sha256"]).toBe("44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072");
});

test("bucket request with an empty parameter", async () => {
  const signed = await signer.sign(
    { method: "GET", host, path: "/", query: { lifecycle: "" }, headers: {}, sha256Hex: SHA256_EMPTY },
    nowMs,
  );
  expect(signed["authorization"]).toMatch(
    /Signature=fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543$/,
  );
});

test("listing with several parameters", async () => {
  const query = { prefix: "J", "max-keys": "2" };
  const signed = await signer.sign(
    { method: "GET", host, path: "/", query, headers: {}, sha256Hex: SHA256_EMPTY },
    nowMs,
  );
  expect(signed["authorization"]).toMatch(
    /Signature=34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7$/,
  );
  expect(encodeQuery(query)).toBe("max-keys=2&prefix=J");
});

test("a session token is sent and signed", async () => {
  const withToken = new Signer({ ...credentials, token: new Secret("the/token") }, "us-east-1");
  const signed = await withToken.sign(
    { method: "GET", host, path: "/", query: {}, headers: {}, sha256Hex: SHA256_EMPTY },
    nowMs,
  );
  expect(signed["x-amz-security-token"]).toBe("the/token");
  expect(signed["authorization"]).toContain("SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-security-token,");
});

test("a header's spaces are joined, and the program's name is not signed", async () => {
  const request = { method: "GET", host, path: "/", query: {}, sha256Hex: SHA256_EMPTY };
  const spaced = await signer.sign({ ...request, headers: { "x-amz-meta-a": "  b   c ", "user-agent": "one" } }, nowMs);
  const joined = await signer.sign({ ...request, headers: { "x-amz-meta-a": "b c", "user-agent": "two" } }, nowMs);
  expect(spaced["authorization"]).toBe(joined["authorization"]);
  expect(spaced).toMatchObject({ "x-amz-meta-a": "  b   c ", "user-agent": "one" });
});

test("names are encoded once, slashes of a path kept", () => {
  expect(encodePath("/a b/ü+(1)!*'~-._=&?#%/x")).toBe("/a%20b/%C3%BC%2B%281%29%21%2A%27~-._%3D%26%3F%23%25/x");
  expect(encodeQuery({ "a-b": "1", a: "2" })).toBe("a=2&a-b=1");
  expect(encodeQuery({ b: "1/2", a: "", "continuation-token": "x+y=" })).toBe("a=&b=1%2F2&continuation-token=x%2By%3D");
});
