import { expect, test } from "vitest";
import { timerName, timerUnits } from "../../../../runtime/operations/clone/cloneTimer";

// claim: docs/clones.md: a timer of systemd closes a clone at its end, also after a restart of the machine
test("the timer fires once, at its time or at the next start of the machine, and its service tries again", () => {
  const at = "/srv/clones/pr 100%";
  const end = Date.UTC(2026, 10, 28, 2, 55, 0, 1);
  const argv = ["/usr/bin/node", "/opt/pg backstop/runtime.cjs", "--stanza=a$b", "close", `--at=${at}`];
  const units = timerUnits(at, end, argv);
  const name = timerName(at);
  expect(Object.keys(units)).toEqual([`${name}.service`, `${name}.timer`]);
  expect(units[`${name}.timer`]).toContain("OnCalendar=2026-11-28 02:55:01 UTC\nPersistent=true\n");
  expect(units[`${name}.timer`]).toContain("WantedBy=timers.target");
  expect(units[`${name}.service`]).toContain(
    'ExecStart=/usr/bin/node "/opt/pg backstop/runtime.cjs" --stanza=a$$b close "--at=/srv/clones/pr 100%%"\n',
  );
  expect(units[`${name}.service`]).toContain("Restart=on-failure\n");
  expect(name).toMatch(/^pgbackstop-clone-[0-9a-f]{12}$/);
});
