#!/usr/bin/env node
// Stands in for a native solc where forge expects one: the compiler itself is the npm package,
// pinned by package-lock.json, so that nothing is downloaded at build time.
const solc = require("solc");

if (process.argv.includes("--version")) {
  console.log("solc, the solidity compiler commandline interface");
  console.log("Version: " + solc.version());
} else {
  const chunks = [];
  process.stdin.on("data", (chunk) => chunks.push(chunk));
  process.stdin.on("end", () => process.stdout.write(solc.compile(Buffer.concat(chunks).toString())));
}
