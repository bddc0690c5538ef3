import { createHmac } from "node:crypto";
import { expect, test } from "vitest";
import { Secret } from "../../../../runtime/base/secret";
import {
  sasAuthority,
  sharedKeyAuthority,
  textToSign,
  type UnsignedAzureRequest,
} from "../../../../runtime/storage/azure/azureKey";

const request = (more: Partial<UnsignedAzureRequest>): UnsignedAzureRequest => ({
  method: "GET",
  path: "/mycontainer",
  query: {},
  headers: { "x-ms-date": "Fri, 26 Jun 2015 23:39:12 GMT", "x-ms-version": "2015-02-21" },
  bodySizeBytes: 0,
  ...more,
});

test("the signed text is the one of Microsoft's example, with sorted parameters", () => {
  expect(textToSign("myaccount", request({ query: { timeout: "20", restype: "container", comp: "metadata" } }))).toBe(
    "GET\n\n\n\n\n\n\n\n\n\n\n\nx-ms-date:Fri, 26 Jun 2015 23:39:12 GMT\nx-ms-version:2015-02-21\n/myaccount/mycontainer\ncomp:metadata\nrestype:container\ntimeout:20",
  );
});

test("length, MD5, condition and range are signed, and a length of 0 is not", () => {
  const headers = { "content-md5": "bWQ1", "if-match": '"1"', "if-none-match": "*", range: "bytes=1-2", host: "h" };
  const lines = (bodySizeBytes: number): string[] =>
    textToSign("a", request({ method: "PUT", path: "/c/x%20y", headers, bodySizeBytes })).split("\n");
  expect(lines(7)).toEqual(["PUT", "", "", "7", "bWQ1", "", "", "", '"1"', "*", "", "bytes=1-2", "/a/c/x%20y"]);
  expect(lines(0)[3]).toBe("");
});

test("the account's key signs: HMAC-SHA256 with the decoded key", async () => {
  const key = Buffer.from([0xff, 0xfe, 1, 2]);
  const asked = request({ query: { comp: "list" } });
  const { headers, path } = await sharedKeyAuthority("myaccount", new Secret(key.toString("base64"))).authorize(asked);
  const signature = createHmac("sha256", key).update(textToSign("myaccount", asked)).digest("base64");
  expect(headers).toEqual({ ...asked.headers, authorization: `SharedKey myaccount:${signature}` });
  expect(path).toBe("/mycontainer?comp=list");
});

test("a shared access signature joins the query, with or without its question mark", async () => {
  for (const mark of ["", "?"]) {
    const authority = sasAuthority(new Secret(`${mark}sv=2021-06-08&sig=a%2Fb%3D`));
    const { headers, path } = await authority.authorize(request({ query: { comp: "list" } }));
    expect(path).toBe("/mycontainer?comp=list&sig=a%2Fb%3D&sv=2021-06-08");
    expect(headers).not.toHaveProperty("authorization");
  }
});
