/** Pages of runbooks as they are written, and as data. */
import { describe, expect, test } from "vitest";
import { markdown, marked, only } from "../../../../components/plan/runbook/markdown";
import { readPage } from "../../../../components/plan/runbook/page";

const HOSTILE = "x\n\n1. y\n   - z → #a\n### b {#c}\n       rm -rf /";

describe("a page", () => {
  test("becomes sections, questions and scenarios with their steps", () => {
    const after = markdown`
      1. *repeat:* Prove it.
             check
    `;
    expect(
      readPage(markdown`
        A host,
        and its data

        ## Where commands are run

        - here, or
          there

        ## Which scenario?

        1. Is it lost?
           - yes → #lost
           ${only(false)}- no → #kept

        ### It is lost {#lost}

        It does not
        answer.

        ${only(false)}1. Not this step,
           nor its command.
               rm x
        1. In the program:
           ~~~ts
           new Database("x", {
             a: 1,
             ${false}
           });
           ~~~
        ${[marked("not always", after), after]}

        ## Keys and passphrases

        - a key
      `),
    ).toEqual({
      what: "A host, and its data",
      where: ["here, or there"],
      decisions: [{ question: "Is it lost?", answers: [{ answer: "yes", scenario: "lost" }] }],
      scenarios: [
        {
          id: "lost",
          title: "It is lost",
          when: "It does not answer.",
          steps: [
            { text: "In the program:", language: "ts", commands: ['new Database("x", {', "  a: 1,", "});"] },
            { text: "Prove it.", commands: ["check"], isOptional: true, isRepeated: true },
            { text: "Prove it.", commands: ["check"], isRepeated: true },
          ],
        },
      ],
      keys: ["a key"],
    });
  });

  test("takes a value as text, whatever it contains", () => {
    const { scenarios, what } = readPage(markdown`
      ${HOSTILE}

      ### ${HOSTILE} {#a}

      When ${HOSTILE}

      1. Step ${HOSTILE}
             run ${HOSTILE}
    `);
    expect(what).toBe(HOSTILE);
    expect(scenarios).toEqual([
      {
        id: "a",
        title: HOSTILE,
        when: `When ${HOSTILE}`,
        steps: [{ text: `Step ${HOSTILE}`, commands: [`run ${HOSTILE}`] }],
      },
    ]);
  });
});
