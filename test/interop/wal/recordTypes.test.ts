/** The list of WAL record types that the unit tests classify is PostgreSQL's own. */
import { expect, test } from "vitest";
import { findServerHeaders } from "../../../tools/parts/postgres/postgres";
import { LISTED_MAJORS, listedTypes, recordTypesOf } from "../../harness/recordTypes";

// claim: docs/find.md: each type of WAL record of PostgreSQL 14 to 19 is in a class: what `find` takes from it, or why
//   nothing; the list of types is that of PostgreSQL's headers
test.for(LISTED_MAJORS)(
  "the listed WAL record types are those of the headers of PostgreSQL %i",
  async (major, context) => {
    const headers = await findServerHeaders(major);
    if ("missing" in headers) return context.skip(headers.missing);
    expect(listedTypes(major)).toEqual(recordTypesOf(headers.folder));
  },
);
