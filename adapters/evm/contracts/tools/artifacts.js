#!/usr/bin/env node
// Compiles the contracts and writes artifacts/, or with --check compares it byte for byte.
//
// The artifacts are what is deployed and what the tests run: one compilation of these sources with the
// pinned compiler, so that anybody gets the same bytes.
const fs = require("fs");
const path = require("path");
const solc = require("solc");

const ROOT = path.join(__dirname, "..");
const OUT = path.join(ROOT, "artifacts");
const CONTRACTS = {
  "src/Gateway.sol": "Gateway",
  "src/AttestedGateway.sol": "AttestedGateway",
  "src/Control.sol": "Control",
  "src/Registry.sol": "Registry",
  "src/Vault.sol": "Vault",
  "src/Items.sol": "Items",
  "src/Htlc.sol": "Htlc",
};
const CODE_BYTES_MAX = 24576; // EIP-170
const INIT_BYTES_MAX = 49152; // EIP-3860
const SETTINGS = {
  viaIR: true,
  evmVersion: "london",
  optimizer: { enabled: true, runs: 200 },
  metadata: { bytecodeHash: "none" },
  remappings: ["@openzeppelin/=node_modules/@openzeppelin/"],
};

function read(file) {
  return fs.readFileSync(path.join(ROOT, file), "utf8");
}

// The sources that the contracts are made of: nothing of the tests changes a byte.
function compile() {
  const output = ["abi", "evm.bytecode", "evm.deployedBytecode", "storageLayout"];
  const input = {
    language: "Solidity",
    sources: Object.fromEntries(Object.keys(CONTRACTS).map((file) => [file, { content: read(file) }])),
    settings: { ...SETTINGS, outputSelection: { "*": { "*": output, "": ["ast"] } } },
  };
  const result = JSON.parse(solc.compile(JSON.stringify(input), { import: (file) => ({ contents: read(file) }) }));
  const errors = result.errors || [];
  for (const error of errors) console.error(error.formattedMessage);
  if (errors.length > 0) throw new Error("the compiler is not content");
  return result;
}

// The compiler numbers immutable words by their place in its tree; names last longer.
function namesOf(result) {
  const names = {};
  const walk = (node) => {
    if (Array.isArray(node)) return node.forEach(walk);
    if (node === null || typeof node !== "object") return;
    if (node.nodeType === "VariableDeclaration" && node.mutability === "immutable") names[node.id] = node.name;
    Object.values(node).forEach(walk);
  };
  Object.values(result.sources).forEach((source) => walk(source.ast));
  return names;
}

function artifact(result, names, file, name) {
  const contract = result.contracts[file][name];
  const { bytecode, deployedBytecode } = contract.evm;
  const immutables = {};
  for (const [id, places] of Object.entries(deployedBytecode.immutableReferences || {})) {
    if (immutables[names[id]]) throw new Error(`${name}: two immutable words are named ${names[id]}`);
    immutables[names[id]] = places;
  }
  if (Object.keys(bytecode.linkReferences).length > 0) throw new Error(`${name} must be linked`);
  const [init, code] = [bytecode.object.length / 2, deployedBytecode.object.length / 2];
  if (code > CODE_BYTES_MAX) throw new Error(`${name} has ${code} bytes of code, ${CODE_BYTES_MAX} are allowed`);
  if (init > INIT_BYTES_MAX) throw new Error(`${name} takes ${init} bytes to create, ${INIT_BYTES_MAX} are allowed`);
  const slots = contract.storageLayout.storage.map(({ label, slot, offset, type }) => {
    const { label: typeName, numberOfBytes } = contract.storageLayout.types[type];
    return { label, slot, offset, type: typeName, bytes: numberOfBytes };
  });
  return {
    contract: name,
    source: file,
    compiler: { version: solc.version(), settings: SETTINGS },
    abi: contract.abi,
    bytecode: "0x" + bytecode.object,
    deployedBytecode: "0x" + deployedBytecode.object,
    immutableReferences: Object.fromEntries(Object.entries(immutables).sort()),
    storageLayout: slots,
  };
}

const check = process.argv.includes("--check");
const result = compile();
const names = namesOf(result);
const wanted = new Set();
let differ = 0;
if (!check) fs.mkdirSync(OUT, { recursive: true });
for (const [file, name] of Object.entries(CONTRACTS)) {
  const made = artifact(result, names, file, name);
  const text = JSON.stringify(made, null, 1) + "\n";
  const to = path.join(OUT, name + ".json");
  wanted.add(name + ".json");
  const code = (made.deployedBytecode.length - 2) / 2;
  if (check) {
    const same = fs.existsSync(to) && fs.readFileSync(to, "utf8") === text;
    if (!same) differ += 1;
    console.log(`${name}: ${code} bytes of code, ${same ? "as committed" : "NOT as committed"}`);
  } else {
    fs.writeFileSync(to, text);
    console.log(`${name}: ${code} bytes of code`);
  }
}
for (const file of fs.readdirSync(OUT)) {
  if (!wanted.has(file)) {
    console.error(`artifacts/${file} is of no contract`);
    differ += 1;
  }
}
if (differ > 0) {
  console.error("the artifacts are not those of these sources; run: node tools/artifacts.js");
  process.exit(1);
}
