/**
 * A double of `zfs` for tests: file systems are directories, snapshots are copies. It implements the subcommands that
 * the runtime uses, with the outputs, refusals and effects that OpenZFS documents ("zfs-list", "zfs-get",
 * "zfs-snapshot", "zfs-rename", "zfs-set", "zfs-clone", "zfs-promote"). A snapshot is consistent only if nobody writes
 * meanwhile; the test ensures that.
 * Called as `zfsDouble.mjs STATE-FILE arguments…`.
 */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const [stateFile = "", verb, ...words] = process.argv.slice(2);
/**
 * `{store, datasets: {name: {mountpoint, origin, local}}, snapshots: [{name, created}]}`, the oldest snapshot first.
 */
const state = JSON.parse(readFileSync(stateFile, "utf8"));

function refuse(text) {
  process.stderr.write(`${text}\n`);
  process.exit(1);
}

const datasetOf = (name) => state.datasets[name] ?? refuse(`cannot open '${name}': dataset does not exist`);
const snapshotPath = (snapshot) => join(state.store, snapshot.replaceAll("/", "_"));

function showSnapshot(snapshot) {
  const [dataset, name] = snapshot.split("@");
  const folder = join(datasetOf(dataset).mountpoint, ".zfs", "snapshot");
  mkdirSync(folder, { recursive: true });
  if (!existsSync(join(folder, name))) symlinkSync(snapshotPath(snapshot), join(folder, name));
}

/** Keeps owners, modes, times and links. Leaves out `.zfs`, which the file system itself adds. */
function copy(path, to) {
  execFileSync("cp", ["-a", path, to]);
  rmSync(join(to, ".zfs"), { recursive: true, force: true });
}

function move(path, to) {
  renameSync(path, to);
}

const verbs = {
  list() {
    const last = words.at(-1);
    if (!words.includes("snapshot")) {
      const isThere = last.includes("@") ? state.snapshots.some(({ name }) => name === last) : last in state.datasets;
      return isThere ? `${last}\n` : refuse(`cannot open '${last}': dataset does not exist`);
    }
    datasetOf(last);
    return state.snapshots
      .filter(({ name }) => name.startsWith(`${last}@`))
      .map(({ created, name }) => `${name}\t${created}\n`)
      .join("");
  },
  get() {
    const dataset = datasetOf(words.at(-1));
    if (words.includes("local"))
      return Object.entries({ ...dataset.local, mountpoint: dataset.mountpoint })
        .map((row) => `${row.join("\t")}\n`)
        .join("");
    return `${words.at(-2) === "origin" ? (dataset.origin ?? "-") : dataset.mountpoint}\n`;
  },
  snapshot() {
    const [name] = words;
    const dataset = datasetOf(name.split("@")[0]);
    if (state.snapshots.some((other) => other.name === name))
      refuse(`cannot create snapshot '${name}': dataset already exists`);
    copy(dataset.mountpoint, snapshotPath(name));
    state.snapshots.push({ name, created: Math.floor(Date.now() / 1000) });
    showSnapshot(name);
  },
  rename() {
    const [from, to] = words;
    if (to in state.datasets) refuse(`cannot rename '${from}': dataset already exists`);
    state.datasets[to] = datasetOf(from);
    delete state.datasets[from];
    for (const snapshot of state.snapshots.filter(({ name }) => name.startsWith(`${from}@`))) {
      const old = snapshotPath(snapshot.name);
      snapshot.name = `${to}@${snapshot.name.split("@")[1]}`;
      move(old, snapshotPath(snapshot.name));
    }
  },
  set() {
    const dataset = datasetOf(words[1]);
    const path = words[0].slice("mountpoint=".length);
    move(dataset.mountpoint, path);
    dataset.mountpoint = path;
  },
  clone() {
    const [snapshot, name] = words.slice(-2);
    const options = Object.fromEntries(
      words.filter((_, at) => words[at - 1] === "-o").map((word) => word.split(/=(.*)/s).slice(0, 2)),
    );
    if (!state.snapshots.some((other) => other.name === snapshot))
      refuse(`cannot open '${snapshot}': dataset does not exist`);
    if (["encryption", "keyformat", "keylocation", "pbkdf2iters"].some((property) => property in options))
      refuse(`cannot create '${name}': Encryption properties must inherit from origin dataset.`);
    const { mountpoint, ...local } = options;
    if (existsSync(mountpoint)) refuse(`cannot mount '${mountpoint}': directory is not empty`);
    copy(snapshotPath(snapshot), mountpoint);
    state.datasets[name] = { mountpoint, origin: snapshot, local };
  },
  promote() {
    const [name] = words;
    const dataset = datasetOf(name);
    if (dataset.origin === undefined) refuse(`cannot promote '${name}': not a cloned filesystem`);
    const [from] = dataset.origin.split("@");
    const last = state.snapshots.findIndex((other) => other.name === dataset.origin);
    // The clone takes over the snapshots up to its origin. Its former parent becomes its clone.
    for (const snapshot of state.snapshots.slice(0, last + 1).filter((other) => other.name.startsWith(`${from}@`))) {
      const old = snapshotPath(snapshot.name);
      snapshot.name = `${name}@${snapshot.name.split("@")[1]}`;
      move(old, snapshotPath(snapshot.name));
      showSnapshot(snapshot.name);
    }
    datasetOf(from).origin = `${name}@${dataset.origin.split("@")[1]}`;
    delete dataset.origin;
  },
};

const run = verbs[verb] ?? refuse(`unrecognized command '${verb}'`);
const text = run() ?? "";
writeFileSync(stateFile, JSON.stringify(state));
process.stdout.write(text);
