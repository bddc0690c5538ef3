/** Setup of each test file: what it started ends with it, because other files go on in the same process. */
import { afterAll } from "vitest";
import { cleanUp } from "../../tools/parts/process";

afterAll(cleanUp);
