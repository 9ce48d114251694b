// Runs main.py in MicroPython: run.mjs MICROPYTHON.MJS HEAP_BYTES FOLDER SOCKET. The folder's files are in its file
// system, and what it writes comes back; /dev/uart there is the non-blocking socket with this file descriptor.
import fs from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";

const [module, heapBytes, folder, socket] = process.argv.slice(2);
const { loadMicroPython } = await import(pathToFileURL(module));
const micropython = await loadMicroPython({ heapsize: Number(heapBytes), stdout: (line) => console.log(line) });
const { FS } = micropython;

const line = Number(socket);
const EAGAIN = 11; // as MicroPython numbers it
const bell = new Int32Array(new SharedArrayBuffer(4));

// What has come, or a millisecond later the error of a line that would have to wait: as machine.UART does it.
function orAgain(transfer) {
  try {
    return transfer();
  } catch (error) {
    if (error.code !== "EAGAIN") throw error;
    Atomics.wait(bell, 0, 0, 1);
    throw new FS.ErrnoError(EAGAIN);
  }
}

const uart = FS.makedev(64, 0);
FS.registerDevice(uart, {
  read: (stream, bytes, at, n) => orAgain(() => fs.readSync(line, bytes, at, n, null)),
  write: (stream, bytes, at, n) => orAgain(() => fs.writeSync(line, bytes, at, n, null)),
});
FS.mkdev("/dev/uart", uart);
for (const name of fs.readdirSync(folder)) FS.writeFile(`/${name}`, fs.readFileSync(path.join(folder, name)));

// Garbage is collected between calls from outside only, so `step` is called until it returns false.
try {
  const { step } = micropython.pyimport("main");
  while (step()) {}
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
}
for (const name of FS.readdir("/").filter((name) => FS.isFile(FS.stat(`/${name}`).mode)))
  fs.writeFileSync(path.join(folder, name), FS.readFile(`/${name}`));
