/**
 * How containers of the plugin start the program. Data only: components read it too.
 *
 * These texts are part of pods, and the operator replaces a pod that differs from what the plugin asks for. A changed
 * text therefore restarts every instance when the plugin is updated: programStart.test.ts holds their digests.
 */
import { BUNDLE_FILE, PATHS } from "./names";

/** The program as the plugin serves it, or as a ConfigMap of several versions holds it. */
export interface PinnedProgram {
  /** SHA-256 of the program: 64 hexadecimal digits. */
  readonly sha256: string;
  /** Address of the plugin, without a path; empty if the program is in `kept`. */
  readonly url: string;
  /** Directory that may have it as a file of this name, and gets a copy; empty for none. */
  readonly kept: string;
}

/** Where the plugin serves programs. */
export const PROGRAM_PORT = 9091;

/** Name of a compressed program in a ConfigMap, and of the copy on an instance's volume. */
export function programFile(sha256: string): string {
  return `runtime-${sha256}`;
}

/** Path of a program below the plugin's URL. */
export function programPath(sha256: string): string {
  return `/runtime/${sha256}`;
}

const PROGRAM = `${PATHS.run}/runtime.cjs`;

/** Unpacks the program where nothing else can write, and replaces the shell. */
const START = `set -e; gzip -dc ${PATHS.bundle}/${BUNDLE_FILE} > ${PROGRAM}; exec node ${PROGRAM} "$@"`;

/**
 * Puts the program of one digest at `target`: what an earlier start of this pod has put there, else the file in `kept`,
 * else what the plugin serves. Nothing runs that has another digest. It retries until it has the program.
 *
 * PostgreSQL's account can write in `kept`, so a file there is read only if it is a regular one of a bounded size.
 * Neither `$(` nor `\${` may occur: Kubernetes and Flux replace them.
 */
export const FETCH = `const fs=require("fs"),http=require("http"),zlib=require("zlib"),crypto=require("crypto");
const [sha,target,url,kept]=process.argv.slice(1),file=kept+"/runtime-"+sha,MAX=1<<24;
const log=(level,text)=>process.stderr.write(new Date().toISOString().replace(/T(.*)Z/," $1 P00 ")+level+": "+text+"\\n");
const hash=(bytes)=>crypto.createHash("sha256").update(bytes).digest("hex");
const unpack=(bytes)=>{
const out=(bytes[0]===31?zlib.gunzipSync:zlib.brotliDecompressSync)(bytes,{maxOutputLength:4*MAX}),is=hash(out);
if(is!==sha)throw new Error("refused: its SHA-256 is "+is);
return out};
const read=(path)=>{const fd=fs.openSync(path,fs.constants.O_RDONLY|fs.constants.O_NONBLOCK);
try{const at=fs.fstatSync(fd);if(!at.isFile()||at.size>4*MAX)throw new Error("no file");return fs.readFileSync(fd)}finally{fs.closeSync(fd)}};
const put=(path,bytes)=>{const part=path+"."+crypto.randomUUID();
try{fs.writeFileSync(part,bytes,{flag:"wx"});fs.renameSync(part,path)}finally{fs.rmSync(part,{force:true})}};
const keep=(bytes)=>{try{fs.mkdirSync(kept,{recursive:true});
for(const name of fs.readdirSync(kept))if(/^runtime-[0-9a-f]{64}/.test(name))fs.rmSync(kept+"/"+name);
put(file,bytes)}catch(error){log("  WARN","no copy of the runtime for a start without the plugin: "+error.message)}};
const get=()=>new Promise((done,no)=>{const parts=[];let size=0;
const call=http.get(url+"/runtime/"+sha,{agent:false,timeout:1e4},(answer)=>{
if(answer.statusCode!==200)call.destroy(new Error("it answers "+answer.statusCode+(answer.statusCode===404?": it does not serve this runtime":"")));
answer.on("data",(part)=>{size+=part.length;size>MAX?call.destroy(new Error("refused: it is too large")):parts.push(part)});
answer.on("error",no).on("end",()=>done(Buffer.concat(parts)))});
const end=setTimeout(()=>call.destroy(new Error("no answer in a minute")),6e4);
call.on("timeout",()=>call.destroy(new Error("no answer in 10 s"))).on("error",no).on("close",()=>{clearTimeout(end);no(new Error("it ended early"))})});
(async()=>{
try{if(hash(read(target))===sha)return}catch{}
if(kept)try{return put(target,unpack(read(file)))}catch(error){if(!url){log(" ERROR",file+": "+error.message);process.exit(1)}}
for(let pause=1;;pause=Math.min(30,2*pause))try{const bytes=await get();put(target,unpack(bytes));if(kept)keep(bytes);return}
catch(error){log(" ERROR","no runtime "+sha+" from "+url+": "+error.message+"; next try in "+pause+" s");await new Promise((done)=>setTimeout(done,pause*1e3))}
})()`;

/** The first process of a container ignores signals that it does not handle: a pod could not end while it waits. */
const START_PINNED = `set -e
node -e "$1" -- "$2" ${PROGRAM} "$3" "$4" &
own=$!
trap 'kill $own; exit 143' TERM INT
wait $own
trap - TERM INT
shift 4
exec node ${PROGRAM} "$@"`;

/**
 * For the plugin's own pods: puts the first program at `target`, and next to it what it serves to pods of clusters.
 * Each comes from a URL that the user chose, as the package of npm, as the program, or compressed. Nothing runs or is
 * served that has another digest. It retries until it has the first one. The plugin starts without any of the others.
 */
export const FETCH_SOURCES = `const fs=require("fs"),zlib=require("zlib"),crypto=require("crypto"),path=require("path");
const [target,list]=process.argv.slice(1),MAX=1<<25,words=list.split(" ");
const log=(level,text)=>process.stderr.write(new Date().toISOString().replace(/T(.*)Z/," $1 P00 ")+level+": "+text+"\\n");
const hash=(bytes)=>crypto.createHash("sha256").update(bytes).digest("hex"),limit={maxOutputLength:2*MAX};
const text=(bytes,at,size)=>bytes.toString("latin1",at,at+size).split("\\0")[0];
const inTar=(bytes)=>{for(let at=0;at+512<=bytes.length;){
const name=text(bytes,at,100),size=parseInt(text(bytes,at+124,12),8)||0;
if(/^[^/]+\\/dist\\/runtime\\.cjs$/.test(name))return bytes.subarray(at+512,at+512+size);
at+=512+Math.ceil(size/512)*512}
throw new Error("refused: the archive has no dist/runtime.cjs")};
const program=(bytes,sha)=>{if(hash(bytes)===sha)return bytes;
const out=(bytes[0]===31?zlib.gunzipSync:zlib.brotliDecompressSync)(bytes,limit);
const found=text(out,257,5)==="ustar"?inTar(out):out,is=hash(found);
if(is!==sha)throw new Error("refused: its SHA-256 is "+is);
return found};
const get=async(url)=>{const answer=await fetch(url,{signal:AbortSignal.timeout(12e4)});
if(!answer.ok)throw new Error("it answers "+answer.status);
const parts=[];let size=0;
for await(const part of answer.body){size+=part.length;if(size>MAX)throw new Error("refused: it is too large");parts.push(part)}
return Buffer.concat(parts)};
const put=(file,bytes)=>{const part=file+"."+crypto.randomUUID();
try{fs.writeFileSync(part,bytes,{flag:"wx"});fs.renameSync(part,file)}finally{fs.rmSync(part,{force:true})}};
(async()=>{for(let at=0;at+1<words.length;at+=2){const sha=words[at],url=words[at+1],file=path.dirname(target)+"/runtime-"+sha;
if(fs.existsSync(file))continue;
for(let pause=1;;pause=Math.min(30,2*pause))try{const found=program(await get(url),sha);
if(at===0)put(target,found);
put(file,zlib.gzipSync(found));break}
catch(error){const why="no runtime "+sha+" from "+url+": "+(error.cause?error.message+": "+error.cause.message:error.message);
if(at>0){log("  WARN",why+"; clusters that name it get no new pods before this pod restarts");break}
log(" ERROR",why+"; next try in "+pause+" s");await new Promise((done)=>setTimeout(done,pause*1e3))}}
})()`;

const START_SOURCES = `set -e
node -e "$1" -- ${PROGRAM} "$2" &
own=$!
trap 'kill $own; exit 143' TERM INT
wait $own
trap - TERM INT
shift 2
exec node ${PROGRAM} "$@"`;

/** Where a program comes from, and its SHA-256. */
export interface ProgramSource {
  readonly sha256: string;
  /** Without spaces. */
  readonly url: string;
}

/** The command of a container of the plugin that fetches its program, and others that it serves. */
export function sourceCommand(sources: readonly ProgramSource[]): string[] {
  const list = sources.map(({ sha256, url }) => `${sha256} ${url}`).join(" ");
  return ["/bin/sh", "-c", START_SOURCES, "sh", FETCH_SOURCES, list];
}

/** {@link START} without the program's start, with a copy of Node.js for a container that has none. */
const UNPACK = `set -e; gzip -dc ${PATHS.bundle}/${BUNDLE_FILE} > ${PROGRAM}; cp "$(command -v node)" ${PATHS.run}/node`;
const UNPACK_PINNED = `set -e; node -e "$1" -- "$2" ${PROGRAM} "$3" "$4"; cp "$(command -v node)" ${PATHS.run}/node`;

/**
 * The command of a container whose arguments are the program's.
 * @param pinned null for `runtime.cjs.gz` in PATHS.bundle
 */
export function startCommand(pinned: PinnedProgram | null): string[] {
  return commandOf(START, START_PINNED, pinned);
}

/** The command of a container that only puts the program and `node` into PATHS.run. */
export function unpackCommand(pinned: PinnedProgram | null): string[] {
  return pinned === null ? ["/bin/sh", "-c", UNPACK] : commandOf(UNPACK, UNPACK_PINNED, pinned);
}

function commandOf(packed: string, pinned: string, program: PinnedProgram | null): string[] {
  if (program === null) return ["/bin/sh", "-c", packed, "sh"];
  return ["/bin/sh", "-c", pinned, "sh", FETCH, program.sha256, program.url, program.kept];
}
