/** The rule about passphrases and the renderer of configurations agree. */
import { expect, test } from "vitest";
import { checkPassphrase } from "../../../../components/plan/rules/credentials";
import { findLineFault, renderConf } from "../../../../runtime/config/render";
import * as fc from "../../../harness/properties";

test("a passphrase without a finding can be written into a configuration, and no other one", () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.string({ unit: fc.constantFrom(" ", "\t", "\n", "\0", "a") })), (value) => {
      const render = (): string => renderConf([{ name: "global", options: [{ name: "repo1-cipher-pass", value }] }]);
      const faults = checkPassphrase("cipher", value).map(({ code, path }) => `${code} ${path}`);
      expect(["", "PB105 cipher"]).toContain(faults.join());
      if (faults.length === 0) expect(render()).toContain(value);
      else {
        expect(render).toThrow();
        expect(findLineFault(value)).not.toBeNull();
      }
    }),
  );
});
