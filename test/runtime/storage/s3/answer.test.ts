import { expect, test } from "vitest";
import { parseDeleteResult, parseListPage } from "../../../../runtime/storage/s3/answer";

const setting = { repoIndex: 2, bucket: "b", endpoint: "e", connection: "e:443", doing: "list 's3://b'" };
const list = (inner: string) =>
  parseListPage(
    `<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">${inner}</ListBucketResult>`,
    setting,
  );
const contents = (key: string) =>
  `<Contents><Key>${key}</Key><LastModified>2026-11-20T06:40:59.000Z</LastModified><ETag>&quot;x&quot;</ETag><Size>7</Size></Contents>`;

test("a page has objects, prefixes and the token of the next page", () => {
  const page = list(
    `<Prefix>p/</Prefix>${contents("p/a&amp;b")}<CommonPrefixes><Prefix>p/d/</Prefix></CommonPrefixes><IsTruncated>true</IsTruncated><NextContinuationToken>t+=</NextContinuationToken>`,
  );
  expect(page).toEqual({
    objects: [{ key: "p/a&b", sizeBytes: 7, modifiedAtMs: Date.UTC(2026, 10, 20, 6, 40, 59) }],
    commonPrefixes: ["p/d/"],
    next: { "continuation-token": "t+=" },
  });
  expect(list("<IsTruncated>false</IsTruncated>").next).toBeNull();
  expect(list("")).toEqual({ objects: [], commonPrefixes: [], next: null });
});

test("without a token the next page starts after the greatest name, and after all of a prefix", () => {
  expect(list(`${contents("a")}${contents("b")}<IsTruncated>true</IsTruncated>`).next).toEqual({ "start-after": "b" });
  const prefix = "<CommonPrefixes><Prefix>c/</Prefix></CommonPrefixes>";
  expect(list(`${contents("a")}${contents("b")}${prefix}<IsTruncated>true</IsTruncated>`).next).toEqual({
    "start-after": "c/\u{10FFFF}",
  });
});

test("any other answer is an error of the service", () => {
  const thrown = expect.objectContaining({ kind: "service", repoIndex: 2 });
  expect(() => parseListPage("<html></html>", setting)).toThrow("unable to list 's3://b': the answer is 'html'");
  expect(() => parseListPage("nothing", setting)).toThrow(thrown);
  expect(() => list("<Contents><Key>a</Key><Size>x</Size><LastModified>y</LastModified></Contents>")).toThrow(
    "unable to list 's3://b': the listing has an object without a valid size or time",
  );
  expect(() => list("<Contents><Size>1</Size></Contents>")).toThrow(
    "unable to list 's3://b': 'Contents' without 'LastModified'",
  );
});

test("a batch deletion reports which keys stayed; an empty error does not count", () => {
  const error = (key: string) => `<Error><Key>${key}</Key><Code>AccessDenied</Code><Message>no\n way</Message></Error>`;
  expect(parseDeleteResult(`<DeleteResult>${error("a&lt;b")}<Error></Error><Error/></DeleteResult>`, setting)).toEqual([
    { key: "a<b", code: "AccessDenied", message: "no way" },
  ]);
  expect(parseDeleteResult("<DeleteResult/>", setting)).toEqual([]);
  expect(() => parseDeleteResult("<Error><Code>x</Code></Error>", setting)).toThrow("the answer is 'Error'");
});
