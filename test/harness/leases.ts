/** Leases for tests that are about something else. */
import type { Lease } from "../../runtime/repository/lease";

/** A lease that nobody else wants. */
export function testLease(more: Partial<Lease> = {}): Lease {
  return { term: 1, token: "00112233445566778899aabbccddeeff", domain: "test", check: async () => {}, release: async () => {}, ...more };
}
