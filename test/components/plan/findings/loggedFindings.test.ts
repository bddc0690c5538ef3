/** Findings in diagnostics, as the engine (3.250) writes them: warnings with a prefix, exceptions with colours. */
import { expect, test } from "vitest";
import {
  locatedFindings,
  parseErrors,
  parseLogged,
  severityOf,
} from "../../../../components/plan/findings/loggedFindings";

const FAILED = `error: Running program '/srv/shop/infra/program.ts' failed with an unhandled exception:
InputPropertiesError: PostgresHost ledger: 2 errors in the arguments
  PB013 stanza: "\u0000unknown:1\u0000" is not a stanza name; set a name such as "main"
  PB011 schedules.full.cron: "0 3 * *" has 4 fields: not five; write for instance "30 2 * * 0"
    at throwErrors (/srv/shop/infra/node_modules/pgbackstop/dist/components/internal/validate.js:52:11)
    at host \u001b[90m(/srv/shop/infra/\u001b[39mprogram.ts:11:44\u001b[90m)\u001b[39m
    at Object.<anonymous> (/srv/shop/infra/index.ts:15:1)
\u001b[90m    at Module._compile (node:internal/modules/cjs/loader:1929:14)\u001b[39m {
  errors: [ { propertyPath: 'stanza', reason: 'PB013 repeated; here' } ]
}
`;
const parse = (...messages: readonly string[]): ReturnType<typeof parseErrors> =>
  parseErrors(messages.map((message) => ({ severity: "error", message })));

test("an exception has one finding for each line, at the program's own line", () => {
  const errors = parse(FAILED);
  expect(errors.others).toEqual([]);
  expect(locatedFindings(errors, "/srv/shop")).toEqual([
    {
      database: "ledger",
      code: "PB013",
      path: "stanza",
      message: '"not known yet" is not a stanza name; set a name such as "main"',
      file: "infra/program.ts",
      line: 11,
    },
    {
      database: "ledger",
      code: "PB011",
      path: "schedules.full.cron",
      message: '"0 3 * *" has 4 fields: not five; write for instance "30 2 * * 0"',
      file: "infra/program.ts",
      line: 11,
    },
  ]);
});

test("a program outside of the repository has no position", () => {
  expect(locatedFindings(parse(FAILED), "/srv/sho").map(({ file }) => file)).toEqual([undefined, undefined]);
});

test("repeated exceptions count once, and other errors stay apart", () => {
  const other = "error: Running program failed: \u001b[31mError: planted\u001b[39m";
  const { components, others } = parse(FAILED, other, FAILED);
  expect([components.length, others]).toEqual([1, ["error: Running program failed: Error: planted"]]);
});

test("a component in a plugin, as programs in other languages use it, is reported in the engine's words", () => {
  const text = `error: pgbackstop:index:PostgresHost resource 'my Ledger' has a problem: PostgresHost my Ledger: 1 error in the arguments
  PB005 repositories.repo1.keepDays: 0 days would remove every backup; set at least 1
\t\t- property repositories.repo1.keepDays with value '{0}' has a problem: PB005 0 days would remove every backup
`;
  expect(parse(text)).toEqual({
    components: [
      {
        findings: [
          {
            database: "my Ledger",
            code: "PB005",
            path: "repositories.repo1.keepDays",
            message: "0 days would remove every backup; set at least 1",
          },
        ],
        trace: [],
      },
    ],
    others: [],
  });
});

test("components that put the path first are read too", () => {
  const text = "Migration move: 1 error in the arguments\n  from: PB120 it has no key; set one\n";
  expect(parse(text).components[0]?.findings).toEqual([
    { database: "move", code: "PB120", path: "from", message: "it has no key; set one" },
  ]);
});

test("warnings and notes are found with and without the engine's prefix", () => {
  const logged = { code: "PB003", path: "repositories", message: "there is one: losing it loses all; add one" };
  const text = "PB003 repositories: there is one: losing it loses all; add one\n";
  expect([parseLogged(text), parseLogged(`warning: ${text}`), parseLogged(`see ${text}`)]).toEqual([
    logged,
    logged,
    null,
  ]);
});

test("a severity is that of the table, and of a warning for a newer code", () => {
  expect(["PB011", "PB003", "PB042", "PB999"].map(severityOf)).toEqual(["error", "warning", "note", "warning"]);
});
