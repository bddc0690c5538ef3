import { expect, test } from "vitest";
import {
  destinationText,
  lackingFull,
  parseDestinations,
  renderDestinations,
} from "../../../components/host/hostDestinations";

const DOCUMENT = [
  {
    name: "main",
    repo: [
      {
        key: 1,
        full: { label: "20251217-034103F", stop: 1765943099 },
        wal: { name: "00000001000000000000000A", stored: 1765943200 },
      },
      { key: 2, full: null, wal: { name: "00000001000000000000000A", stored: 1765943201 } },
      { key: 3, error: "[HostConnectError] unable to connect" },
    ],
  },
];

test("the published situation: WAL in both buckets, the full backup in one", () => {
  const destinations = parseDestinations(DOCUMENT);
  expect(destinations.map(destinationText)).toEqual([
    "repo1: newest full backup 20251217-034103F of 2025-12-17T03:44:59Z, newest WAL 00000001000000000000000A of 2025-12-17T03:46:40Z",
    "repo2: NO FULL BACKUP, newest WAL 00000001000000000000000A of 2025-12-17T03:46:41Z",
    "repo3: cannot be read: [HostConnectError] unable to connect",
  ]);
  // An unreadable repository does not count as empty, so that an outage does not trigger a backup.
  expect(lackingFull(renderDestinations(destinations))).toEqual([2]);
  expect(lackingFull("")).toEqual([]);
  expect(lackingFull(undefined)).toEqual([]);
});

test("any other document is an error, not an empty list of repositories", () => {
  expect(() => parseDestinations([{ name: "main", repo: [{ key: "1" }] }])).toThrow(
    "info did not print a list of them",
  );
  expect(() => parseDestinations([...DOCUMENT, { name: "other", repo: [] }])).toThrow("several stanzas");
  expect(() => parseDestinations([])).toThrow("info printed no stanza");
});
