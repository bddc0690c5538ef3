import * as fc from "../../harness/properties";
import { describe, expect, test } from "vitest";
import { parseIni } from "../../../runtime/config/ini";
import { optionName } from "../../../runtime/config/optionName";
import { OPTIONS, type OptionRow } from "../../../runtime/config/options";
import { type ConfOption, type ConfSection, renderConf } from "../../../runtime/config/render";
import { widestRule } from "../../../runtime/config/resolve";
import type { Config } from "../../../runtime/config/types";
import { parseNumber } from "../../../runtime/config/values";
import { failure, load } from "./support";

const IN_FILES = OPTIONS.filter((row) => row.section !== "command-line");

/** One line of text without blanks at its ends. It may contain `#`, `=`, `[` and quotation marks. */
const plainText = fc.stringMatching(/^[!-~\u00e9]([ -~]{0,12}[!-~\u00e9])?$/);

function valueOf(row: OptionRow): fc.Arbitrary<ConfOption["value"]> {
  const rule = widestRule(row);
  if (row.type === "boolean") return fc.boolean();
  if (rule.allowed !== undefined) return fc.constantFrom(...rule.allowed);
  if (row.type === "path") return fc.stringMatching(/^(\/[a-zA-Z0-9 #=._-]{0,8}[a-z])+$/);
  if (row.type === "list") return fc.array(plainText, { minLength: 1, maxLength: 4 });
  if (row.type === "hash") {
    const pairs = fc.uniqueArray(fc.tuple(fc.stringMatching(/^[a-z0-9_]{1,6}$/), plainText), {
      minLength: 1,
      maxLength: 4,
      selector: ([key]) => key,
    });
    return pairs.map((items) => items.map(([key, value]) => `${key}=${value}`));
  }
  if (row.type === "string") return plainText;
  const unit = row.type === "time" ? 1000 : 1;
  const [least, most] = (rule.range ?? ["0", "99"]).map((text) => (parseNumber(row.type, text) ?? 0) / unit) as [
    number,
    number,
  ];
  return fc.integer({ min: Math.ceil(least), max: Math.min(most, 2 ** 31 - 1) });
}

function sectionOf(name: string): fc.Arbitrary<ConfSection> {
  const rows = IN_FILES.filter((row) => row.section === "global" || !name.startsWith("global"));
  const option = fc.constantFrom(...rows).chain((row) => {
    const key = row.group === undefined ? fc.constant(undefined) : fc.integer({ min: 1, max: 256 });
    return fc.record({ name: key.map((one) => optionName(row, one)), value: valueOf(row) });
  });
  return fc.record({
    name: fc.constant(name),
    options: fc.uniqueArray(option, { maxLength: 12, selector: (one) => one.name }),
  });
}

function textsOf(value: ConfOption["value"]): readonly string[] {
  return typeof value === "object" ? value : [typeof value === "boolean" ? (value ? "y" : "n") : String(value)];
}

interface Intended {
  readonly processMax: number;
  readonly archiveTimeoutS: number;
  readonly bufferSizeBytes: number;
  readonly compress: readonly [Config["compress"]["type"], number];
  readonly annotations: Readonly<Record<string, string>>;
  readonly exclude: readonly string[];
  readonly pgPath: string;
  readonly repos: readonly {
    readonly key: number;
    readonly s3: boolean;
    readonly pass: string | null;
    readonly verifyTls: boolean;
    readonly chunkSizeBytes: number;
  }[];
}

const intended: fc.Arbitrary<Intended> = fc.record({
  processMax: fc.integer({ min: 1, max: 999 }),
  archiveTimeoutS: fc.integer({ min: 1, max: 86_400 }),
  bufferSizeBytes: fc.constantFrom(16_384, 1_048_576, 16_777_216),
  compress: fc.oneof(
    fc.tuple(fc.constant("gz" as const), fc.integer({ min: -1, max: 9 })),
    fc.tuple(fc.constant("lz4" as const), fc.integer({ min: -5, max: 12 })),
    fc.tuple(fc.constant("zst" as const), fc.integer({ min: -7, max: 22 })),
  ),
  annotations: fc
    .dictionary(fc.stringMatching(/^[a-z]{1,6}$/), plainText, { maxKeys: 3 })
    .map((items) => Object.fromEntries(Object.entries(items))),
  exclude: fc.array(plainText, { maxLength: 3 }),
  pgPath: fc.stringMatching(/^\/[a-z]{1,9}$/),
  repos: fc.uniqueArray(
    fc.record({
      key: fc.integer({ min: 1, max: 256 }),
      s3: fc.boolean(),
      pass: fc.option(plainText),
      verifyTls: fc.boolean(),
      chunkSizeBytes: fc.integer({ min: 5 * 2 ** 20, max: 2 ** 30 }),
    }),
    { minLength: 1, maxLength: 4, selector: (repo) => repo.key },
  ),
});

function sectionsFor(want: Intended): readonly ConfSection[] {
  const repos = want.repos.flatMap(({ key, s3, pass, verifyTls, chunkSizeBytes }): ConfOption[] => [
    { name: `repo${key}-type`, value: s3 ? "s3" : "posix" },
    { name: `repo${key}-path`, value: `/repo/${key}` },
    ...(pass === null
      ? []
      : [
          { name: `repo${key}-cipher-type`, value: "aes-256-cbc" },
          { name: `repo${key}-cipher-pass`, value: pass },
        ]),
    ...(s3
      ? [
          { name: `repo${key}-s3-bucket`, value: `bucket-${key}` },
          { name: `repo${key}-s3-endpoint`, value: "s3.example.net" },
          { name: `repo${key}-s3-region`, value: "eu" },
          { name: `repo${key}-s3-key`, value: "k" },
          { name: `repo${key}-s3-key-secret`, value: "s" },
          { name: `repo${key}-storage-verify-tls`, value: verifyTls },
          { name: `repo${key}-storage-upload-chunk-size`, value: chunkSizeBytes },
        ]
      : []),
  ]);
  const lists = [
    { name: "annotation", value: Object.entries(want.annotations).map(([key, value]) => `${key}=${value}`) },
    { name: "exclude", value: want.exclude },
  ].filter(({ value }) => value.length > 0);
  return [
    {
      name: "global",
      options: [
        { name: "process-max", value: want.processMax },
        { name: "archive-timeout", value: want.archiveTimeoutS },
        { name: "buffer-size", value: want.bufferSizeBytes },
        ...repos,
      ],
    },
    {
      name: "global:backup",
      options: [
        { name: "compress-type", value: want.compress[0] },
        { name: "compress-level", value: want.compress[1] },
      ],
    },
    { name: "main", options: [{ name: "pg1-path", value: want.pgPath }, ...lists] },
  ];
}

describe("rendering pgbackrest.conf", () => {
  test("writes sections, lists and a comment", () => {
    const sections: ConfSection[] = [
      {
        name: "global",
        options: [
          { name: "repo1-path", value: "/nas/x # y" },
          { name: "process-max", value: 2 },
          { name: "archive-timeout", value: "1500ms" },
          { name: "repo1-bundle", value: true },
        ],
      },
      {
        name: "main:backup",
        options: [
          { name: "exclude", value: ["a", "b"] },
          { name: "backup-standby", value: false },
        ],
      },
    ];
    expect(renderConf(sections, "Written by pgbackstop.\n\nDo not edit.")).toBe(
      "# Written by pgbackstop.\n#\n# Do not edit.\n\n[global]\nrepo1-path=/nas/x # y\nprocess-max=2\narchive-timeout=1500ms\nrepo1-bundle=y\n\n[main:backup]\nexclude=a\nexclude=b\nbackup-standby=n\n",
    );
    expect(renderConf([])).toBe("");
  });

  test("what was rendered parses back to the same options, for every option of the table", () => {
    const names = ["global", "global:archive-push", "main", "main:backup"];
    fc.assert(
      fc.property(fc.tuple(...names.map(sectionOf)), fc.option(fc.string()), (sections, comment) => {
        const parsed = parseIni(renderConf(sections, comment ?? undefined), "/f");
        const expected = sections.flatMap((section) =>
          section.options.flatMap(({ name, value }) => textsOf(value).map((text) => [section.name, name, text])),
        );
        expect(parsed.map(({ section, key, value }) => [section, key, value])).toEqual(expected);
      }),
      { numRuns: 100 },
    );
  });

  test("what was rendered loads as intended", () => {
    fc.assert(
      fc.property(intended, (want) => {
        const { config } = load({
          argv: ["backup", "--stanza=main", "--config=/f"],
          files: { "/f": renderConf(sectionsFor(want), "x") },
        });
        expect({
          processMax: config.processMax,
          archiveTimeoutS: config.archive.timeoutMs / 1000,
          bufferSizeBytes: config.bufferSizeBytes,
          compress: [config.compress.type, config.compress.level],
          annotations: config.backup.annotations,
          exclude: config.backup.exclude,
          pgPath: config.pgs[0]?.path,
          repos: config.repos.map(({ key, type, cipherPass, s3 }) => ({
            key,
            s3: type === "s3",
            pass: cipherPass?.reveal() ?? null,
            verifyTls: s3?.verifyTls,
            chunkSizeBytes: s3?.uploadChunkSizeBytes,
          })),
        }).toEqual({
          ...want,
          repos: want.repos
            .toSorted((left, right) => left.key - right.key)
            .map((repo) => (repo.s3 ? repo : { ...repo, verifyTls: undefined, chunkSizeBytes: undefined })),
        });
      }),
      { numRuns: 100 },
    );
  });

  test("every option of the table takes its default", () => {
    for (const row of IN_FILES) {
      if (row.default === undefined) continue;
      const name = optionName(row, row.group === undefined ? undefined : 3);
      expect(renderConf([{ name: "main", options: [{ name, value: row.default }] }])).toBe(
        `[main]\n${name}=${row.default}\n`,
      );
    }
  });

  test.each([
    ["global", "nope", "1", "optionInvalid: invalid option 'nope' in section '[global]'"],
    [
      "global",
      "proces-max",
      1,
      "optionInvalid: invalid option 'proces-max' in section '[global]'\nHINT: did you mean process-max?",
    ],
    [
      "global",
      "repo-path",
      "/a",
      "optionInvalid: invalid option 'repo-path' in section '[global]'\nHINT: did you mean repo1-path?",
    ],
    [
      "global",
      "repo1-s3-verify-tls",
      true,
      "optionInvalid: invalid option 'repo1-s3-verify-tls' in section '[global]'\nHINT: did you mean repo1-storage-verify-tls?",
    ],
    [
      "global",
      "no-delta",
      true,
      "optionInvalid: invalid option 'no-delta' in section '[global]'\nHINT: did you mean delta?",
    ],
    ["global", "stanza", "x", "optionInvalid: command-line only option 'stanza' in section '[global]'"],
    ["global", "log-format", "json", "optionInvalid: command-line only option 'log-format' in section '[global]'"],
    [
      "global:backup",
      "pg1-path",
      "/pg",
      "optionInvalid: stanza-only option 'pg1-path' in global section '[global:backup]'",
    ],
    [
      "main",
      "process-max",
      1000,
      "optionInvalidValue: '1000' is out of range for 'process-max' option\nHINT: allowed range is 1 to 999 inclusive\nHINT: the value is for section [main].",
    ],
    [
      "main",
      "process-max",
      1.5,
      "optionInvalidValue: '1.5' is not valid for 'process-max' option\nHINT: allowed range is 1 to 999 inclusive\nHINT: the value is for section [main].",
    ],
    [
      "main",
      "process-max",
      true,
      "optionInvalidValue: option 'process-max' is no boolean\nHINT: the value is for section [main].",
    ],
    ["main", "delta", 1, "optionInvalidValue: option 'delta' is no number\nHINT: the value is for section [main]."],
    [
      "main",
      "delta",
      "yes",
      "optionInvalidValue: boolean option 'delta' must be 'y' or 'n'\nHINT: the value is for section [main].",
    ],
    [
      "main",
      "pg1-path",
      ["/a"],
      "optionInvalidValue: option 'pg1-path' takes one value, not a list\nHINT: the value is for section [main].",
    ],
    [
      "main",
      "exclude",
      [],
      "optionInvalidValue: option 'exclude' needs at least one value\nHINT: the value is for section [main].",
    ],
    [
      "main",
      "annotation",
      ["a=1", "a=2"],
      "optionInvalidValue: option 'annotation' has a key twice: key 'a' value '1' is overwritten with '2' for 'annotation' option\nHINT: the value is for section [main].",
    ],
    [
      "main",
      "annotation",
      ["a"],
      "optionInvalid: key/value 'a' not valid for 'annotation' option\nHINT: write key=value\nHINT: the value is for section [main].",
    ],
    [
      "main",
      "repo1-cipher-pass",
      "marker\nrepo2-path=/x",
      "optionInvalidValue: option 'repo1-cipher-pass' cannot have a value that has a line break\nHINT: the value is for section [main].",
    ],
    [
      "main",
      "repo1-cipher-pass",
      "marker ",
      "optionInvalidValue: option 'repo1-cipher-pass' cannot have a value that has a blank at its beginning or end\nHINT: the value is for section [main].",
    ],
    [
      "main",
      "repo1-cipher-pass",
      "",
      "optionInvalidValue: option 'repo1-cipher-pass' cannot have a value that is empty\nHINT: the value is for section [main].",
    ],
    ["a b", "delta", true, "optionInvalidValue: 'a b' is not valid as the name of a section"],
    ["a]\n[b", "delta", true, "optionInvalidValue: 'a]\n[b' is not valid as the name of a section"],
  ])("[%s] %s=%j fails", (section, name, value, message) => {
    expect(failure(() => renderConf([{ name: section, options: [{ name, value }] }]))).toBe(message);
  });

  test("fails on duplicates", () => {
    const delta = { name: "delta", value: true };
    expect(failure(() => renderConf([{ name: "main", options: [delta, delta] }]))).toBe(
      "optionInvalid: option 'delta' is given twice in section '[main]'",
    );
    expect(
      failure(() =>
        renderConf([
          { name: "main", options: [] },
          { name: "main", options: [] },
        ]),
      ),
    ).toBe("optionInvalid: section '[main]' is given twice");
  });
});
