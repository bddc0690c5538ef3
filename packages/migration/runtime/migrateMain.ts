/** The program on a host, in a Job and at a shell: `pgbackstop-migration [options] plan|copy|verify|release|finish`. */
import { migrate } from "./migrateCommand";
import { migrateHelp } from "./migrateOptions";
import { runProgram } from "./runProgram";

void runProgram(migrateHelp, migrate);
