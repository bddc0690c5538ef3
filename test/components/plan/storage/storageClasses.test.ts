import { expect, test } from "vitest";
import { findClassFault } from "../../../../components/plan/storage/storageClasses";

test.each([
  ["GLACIER", "frozen"],
  ["DEEP_ARCHIVE", "frozen"],
  ["deep-archive", "frozen"],
  ["GLACIER_IR", "infrequent"],
  ["STANDARD_IA", "infrequent"],
  ["onezone_ia", "infrequent"],
  ["INTELLIGENT_TIERING", "infrequent"],
  ["InfrequentAccess", "infrequent"],
  ["STANDARD", null],
  ["", null],
])("class %j", (storageClass, fault) => {
  expect(findClassFault(storageClass)).toBe(fault);
});
