/** Leases for tests about other topics. */
import { fail } from "../../runtime/base/errors";
import type { Lease, LeaseDomain } from "../../runtime/repository/lease";

/** A lease that only the test can mark as lost. */
export interface TestLease extends Lease {
  isLost: boolean;
}

/** Knows that every process with the same text has ended, and nothing about others. */
export function testDomain(text: string): LeaseDomain {
  return { text, stateOf: (other) => (other === text ? "ended" : "unknown") };
}

let count = 0;

/** Each call returns a lease of a different holder. Holders with the same domain are processes of one host. */
export function testLease(more: Partial<Lease> = {}): TestLease {
  count++;
  const lease: TestLease = {
    term: count,
    token: count.toString(16).padStart(32, "0"),
    domain: "test",
    isLost: false,
    isOver: (domain) => domain !== "" && domain === lease.domain,
    check: async () => {
      if (lease.isLost) throw fail("lockAcquire", `the lease of term ${lease.term} is lost`);
    },
    keep: () => lease.check(),
    release: async () => {},
    remove: () => lease.check(),
    ...more,
  };
  return lease;
}
