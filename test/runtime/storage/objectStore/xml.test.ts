import { expect, test } from "vitest";
import { escapeXml, findChild, findText, parseXml } from "../../../../runtime/storage/objectStore/xml";

test("reads elements, text, entities, CDATA, comments and name spaces", () => {
  const root = parseXml(
    '\uFEFF<?xml version="1.0" encoding="UTF-8"?>\n<!-- c > --><s3:Root xmlns:s3="http://x/?a>b" a=\'"\'>\n <Key>a &amp;&lt;&gt;&quot;&apos;&#10;&#x1F642; <![CDATA[<raw> & ]]>z</Key><Empty/><Empty a="/"/><B><C> x </C></B>\n</s3:Root>\n',
  );
  expect(root.name).toBe("Root");
  expect(findText(root, "Key")).toBe("a &<>\"'\n🙂 <raw> & z");
  expect(root.children.map((child) => child.name)).toEqual(["Key", "Empty", "Empty", "B"]);
  expect(findText(root, "Empty")).toBe("");
  expect(findText(findChild(root, "B") ?? root, "C")).toBe(" x ");
  expect(findText(root, "Missing")).toBeUndefined();
});

test("escaped text reads back", () => {
  const text = "a&b<c>d\"e'f\r\ng\u0001 ü🙂%20+";
  expect(findText(parseXml(`<R><K>${escapeXml(text)}</K></R>`), "K")).toBe(text);
});

test.each([
  ["", "no element"],
  ["not xml", "text outside of the root element at character 0"],
  ["<html><body><p>hello<br></body></html>", "an end of 'body' where 'br' is open"],
  ["<A>", "no end of element 'A'"],
  ["<A><B></A>", "an end of 'A' where 'B' is open"],
  ["</A>", "an end of 'A' where 'nothing' is open"],
  ["<A/><B/>", "a second root element"],
  ["<A/>tail", "text outside of the root element at character 4"],
  ["<A>&unknown;</A>", "the unknown entity '&unknown;'"],
  ["<A>a & b</A>", "the unknown entity '&'"],
  ["<A>&#x110000;</A>", "the unknown entity '&#x110000;'"],
  ['<!DOCTYPE a [<!ENTITY x "y">]><A>&x;</A>', "a document type"],
  ["<A>a < b</A>", "a '<' that begins no tag at character 5"],
  ["<A>" + "<B>".repeat(40), "more than 32 levels"],
  ["<A><B", "a '<' that begins no tag"],
  ["<A><!-- ", "no '-->'"],
  ["<A><![CDATA[ ]]", "no ']]>'"],
])("refuses %j", (text, reason) => {
  expect(() => parseXml(text)).toThrow(`the answer is not XML of an S3 service: ${reason}`);
});

test("stays linear on hostile text", () => {
  const startedMs = performance.now();
  for (const text of [
    `<A ${'x="'.repeat(200_000)}`,
    "<".repeat(200_000),
    "<!--".repeat(50_000),
    "</".repeat(100_000),
    `<${"a".repeat(200_000)}`,
    `<A>${"<!--".repeat(50_000)}`,
  ]) {
    expect(() => parseXml(text)).toThrow();
  }
  expect(performance.now() - startedMs).toBeLessThan(2_000);
});
