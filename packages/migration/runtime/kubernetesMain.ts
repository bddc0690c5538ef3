/** The program of Jobs that change workloads and Secrets, or transfer a report: its steps are in kubernetesStep.ts. */
import { changeKubernetes, kubernetesHelp } from "./kubernetesStep";
import { runProgram } from "./runProgram";

void runProgram(kubernetesHelp, changeKubernetes);
