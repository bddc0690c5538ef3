import * as fc from "../../../harness/properties";
import { describe, expect, it } from "vitest";
import { wholeText } from "../../../../runtime/base/bytes";
import { type JsonValue, parseJson } from "../../../../runtime/format/repository/json";
import type { ManifestFile } from "../../../../runtime/format/repository/manifest";
import {
  completeRow,
  FileRowReader,
  parseFileRow,
  renderFileRow,
} from "../../../../runtime/format/repository/manifestFile";
import { errorOf, vectorText } from "../vectors";

const DEFAULTS = { user: "postgres", group: "postgres", mode: 0o600 };

function entryOf(valueText: string): { section: string; key: string; valueText: string; value: JsonValue } {
  return { section: "target:file", key: "pg_data/x", valueText, value: parseJson(valueText) };
}

/** Reads a row in the middle of a text. */
function readRow(valueText: string): ManifestFile | null {
  const row = new FileRowReader().read(
    "pg_data/x",
    wholeText(`pg_data/x=${valueText}\npg_data/y={}`),
    10,
    10 + valueText.length,
  );
  return row === null ? null : completeRow(row, DEFAULTS, "m");
}

describe("file rows", () => {
  const rows = ["v2.45/encrypted/manifest-rows.txt", "v2.60/block-zst-encrypted/manifest-rows.txt"].flatMap((path) =>
    vectorText(path)
      .split("\n")
      .filter((line) => line.startsWith("pg_data/")),
  );

  it.each(rows)("of stock are rewritten to the same text: %s", (row) => {
    const valueText = row.slice(row.indexOf("=") + 1);
    expect(renderFileRow(parseFileRow(entryOf(valueText), DEFAULTS, "m"), DEFAULTS)).toBe(valueText);
  });

  it.each(rows)("of stock are read without a JSON parser: %s", (row) => {
    const valueText = row.slice(row.indexOf("=") + 1);
    expect(readRow(valueText)).toStrictEqual(parseFileRow(entryOf(valueText), DEFAULTS, "m"));
  });

  it("are left to the JSON parser, or read with its result, after any change", () => {
    const usual =
      '{"bi":4,"bic":7,"bim":40,"bni":1,"bno":112,"checksum":"56c5e28a7f5fd92b41e8f868c32fc467f1aec1c3","checksum-page":true,"group":"dba","mode":"0640",' +
      '"rck":"2b03032b24cdeab8897a70ee61095ba4ee288dc2","reference":"20261120-065325F","repo-size":208,"size":24576,"szo":8192,"timestamp":1795158254,"user":"me"}';
    expect(readRow(usual)).toStrictEqual(parseFileRow(entryOf(usual), DEFAULTS, "m"));
    const change = fc.record({
      at: fc.nat(usual.length),
      drop: fc.integer({ min: 0, max: 30 }),
      put: fc.oneof(
        fc.string({ maxLength: 2 }),
        fc.constantFrom("0", "1", '"', "{", "}", ",", ":", "a", "null", '}"size":1'),
      ),
    });
    fc.assert(
      fc.property(change, ({ at, drop, put }) => {
        const text = usual.slice(0, at) + put + usual.slice(at + drop);
        const read = readRow(text);
        if (read !== null) expect(read).toStrictEqual(parseFileRow(entryOf(text), DEFAULTS, "m"));
      }),
      { numRuns: 3000 },
    );
  });

  it.each([
    '{"size":01,"timestamp":1}',
    '{"size":1,"timestamp":1}}',
    '{"size":1}"timestamp":1}',
    '{"size":1,"timestamp":1,"user":"a\\"b"}',
    '{"size":1,"timestamp":-5}',
    "[1]",
  ])("%s is not a row for the reader", (valueText) => expect(readRow(valueText)).toBeNull());

  it("hold every field at its position", () => {
    const valueText =
      '{"bi":4,"bic":7,"bim":40,"bni":1,"bno":112,"checksum":"56c5e28a7f5fd92b41e8f868c32fc467f1aec1c3","checksum-page":false,"checksum-page-error":[1,[4,7]],' +
      '"group":"dba","mode":"0640","rck":"2b03032b24cdeab8897a70ee61095ba4ee288dc2","reference":"20261120-065325F","repo-size":208,"size":24576,"szo":8192,"timestamp":1795158254,"user":false}';
    const file = parseFileRow(entryOf(valueText), DEFAULTS, "m");
    expect([file.user, file.mode, file.pageErrors]).toEqual([null, 0o640, [1, [4, 7]]]);
    expect(renderFileRow(file, DEFAULTS)).toBe(valueText);
  });

  it("of empty files have no checksum, stored bytes or not", () => {
    const stored = '{"rck":"46c6f2e0d1b2e1f8a7e5e6d8b0c9a1b2c3d4e5f6","repo-size":20,"size":0,"timestamp":1}';
    expect(renderFileRow(parseFileRow(entryOf(stored), DEFAULTS, "m"), DEFAULTS)).toBe(stored);
  });

  it.each([
    ["[]", "'m': file 'pg_data/x': expected an object"],
    ['{"timestamp":1}', "'m': file 'pg_data/x': required 'size' is missing"],
    ['{"size":1}', "'m': file 'pg_data/x': required 'timestamp' is missing"],
    ['{"size":-1,"timestamp":1}', "'m': file 'pg_data/x': expected an integer in 'size'"],
    [
      '{"checksum":"abc","size":1,"timestamp":1}',
      "'m': file 'pg_data/x': expected 40 hexadecimal digits in 'checksum'",
    ],
    [
      '{"checksum-page-error":[[1]],"size":1,"timestamp":1}',
      "'m': file 'pg_data/x': expected block numbers and ranges in 'checksum-page-error'",
    ],
    ['{"reference":7,"size":1,"timestamp":1}', "'m': file 'pg_data/x': expected a label in 'reference'"],
    ['{"size":1,"timestamp":1,"user":true}', "'m': file 'pg_data/x': expected a name or false as owner"],
  ])("%s is refused", async (valueText, message) => {
    expect((await errorOf("format", () => parseFileRow(entryOf(valueText), DEFAULTS, "m"))).message).toBe(message);
  });
});
