#!/usr/bin/env node
// Sends the scenarios to anvil and reads gas from the receipts of real transactions. Writes gas.json and
// docs/gas.md; with --check compares both with what is committed.
const { spawn, spawnSync } = require("child_process");
const fs = require("fs");
const net = require("net");
const path = require("path");
const { tool } = require("./tool");

const ROOT = path.join(__dirname, "..");
const TABLE = path.join(ROOT, "../../../docs/gas.md");
const FIGURES = path.join(ROOT, "gas.json");
const VALIDATORS = [4, 7, 20];
// What a message may cost in a batch of 50 under 4 validators.
const MESSAGE_GAS_MAX = 40_000;
const START = 1_800_000_000; // seconds; the scenarios' first moment
const GAS = "0xe4e1c0"; // 15,000,000 for each transaction: more than any takes, less than a block has

function freePort() {
  return new Promise((resolve) => {
    const server = net.createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

class Node {
  static async start() {
    const port = await freePort();
    const args = ["--port", port, "--silent", "--no-mining", "--timestamp", START, "--gas-limit", 60_000_000];
    const child = spawn(tool("anvil"), args.map(String), { stdio: "ignore" });
    const node = new Node(port, child);
    for (let left = 200; ; left -= 1) {
      try {
        await node.call("eth_chainId");
        return node;
      } catch (error) {
        if (left === 0) throw error;
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    }
  }

  constructor(port, child) {
    this.url = `http://127.0.0.1:${port}`;
    this.child = child;
    this.id = 0;
    this.time = START;
  }

  stop() {
    this.child.kill();
  }

  async call(method, ...params) {
    this.id += 1;
    const body = JSON.stringify({ jsonrpc: "2.0", id: this.id, method, params });
    const headers = { "content-type": "application/json" };
    const answer = await (await fetch(this.url, { method: "POST", headers, body })).json();
    if (answer.error) throw new Error(`${method}: ${JSON.stringify(answer.error)}`);
    return answer.result;
  }

  // One transaction in a block of its own, at a time of its own: nothing depends on the host's clock.
  async send(transaction) {
    const hash = await this.call("eth_sendTransaction", { ...transaction, gas: GAS });
    this.time += 1;
    await this.call("evm_setNextBlockTimestamp", this.time);
    await this.call("evm_mine");
    const receipt = await this.call("eth_getTransactionReceipt", hash);
    if (receipt === null || receipt.status !== "0x1") throw new Error("the transaction failed");
    return receipt;
  }
}

// Gas of each label, in order of the receipts; events show that nothing ended another way than meant.
async function measure(validators) {
  const scenario = JSON.parse(fs.readFileSync(path.join(ROOT, `out/bench/${validators}.json`), "utf8"));
  const node = await Node.start();
  try {
    const [from] = await node.call("eth_accounts");
    // So many that the EVM has forgotten block 1, which the hub says it follows.
    await node.call("anvil_mine", "0x12c");
    const used = {};
    for (const { label, to, value, data } of scenario) {
      if (label === "refund") node.time += 86_400;
      const transaction = { from, data, value: "0x" + value.toString(16), ...(to === "" ? {} : { to }) };
      const receipt = await node.send(transaction).catch((error) => {
        throw new Error(`${label}: ${error.message}`);
      });
      if (label !== "-") (used[label] ||= []).push({ gas: Number(receipt.gasUsed), logs: receipt.logs.length });
    }
    return used;
  } finally {
    node.stop();
  }
}

function figuresOf(used) {
  const figures = {};
  for (const [label, all] of Object.entries(used)) {
    const gas = all.map((one) => one.gas);
    figures[label] = { gas: Math.round(gas.reduce((a, b) => a + b) / gas.length), logs: all[0].logs };
    if (gas.length > 1) Object.assign(figures[label], { least: Math.min(...gas), most: Math.max(...gas) });
  }
  return figures;
}

function table(figures) {
  const number = (value) => value.toLocaleString("en-US");
  const of = (label) => figures[4][label];
  const each = (n, count) => number(Math.round(figures[n][`shares x${count}`].gas / count));
  const rows = (labels) => labels.map((label) => `| ${label} | ${number(of(label).gas)} |`).join("\n");
  const labels = Object.keys(figures[4]);
  const starting = (...words) => labels.filter((label) => words.some((word) => label.startsWith(word)));
  return `# Gas on EVM chains

Figures of \`adapters/evm/contracts/tools/gas.js\`: receipts of real transactions on anvil 1.7.1, everything included (21,000, calldata, refunds). Written by that script and compared by \`adapters/evm/contracts/test.sh\`; do not edit.

A *message* is a share with an envelope of 231 bytes (a real one, of one reading), 1,088 bytes in all; its effect is an anchor, one new word of storage. The hub's lanes tree has 64 leaves, the lane 1,000 messages; each delivery moves the client to a new header. The ring of remembered headers is full, and the lane's words are not new: the state that a deployment is in after its first minutes.

## A delivered message

| validators | batch 1 | batch 10 | batch 50 |
|---|---|---|---|
${VALIDATORS.map((n) => `| ${n} | ${each(n, 1)} | ${each(n, 10)} | ${each(n, 50)} |`).join("\n")}

The aim is below ${number(MESSAGE_GAS_MAX)} for a batch of 50 under 4 validators. Of such a batch about 12,000 a message are its calldata and 22,100 its effect.

A request that is refused with an answer, in a batch of 10: ${number(Math.round(of("refusals x10").gas / 10))}.

## A message sent

A share out, with its signature, its event and its place in the log: ${number(of("share out").gas)} on average over 32, ${number(of("share out").least)} to ${number(of("share out").most)}.

## Two-phase commit, each leg delivered alone (4 validators)

| leg | gas |
|---|---|
${rows(starting("prepare ", "commit ", "abort "))}

## Hash-timelocks

| step | gas |
|---|---|
${rows(["lock coins", "claim", "pay out coins", "lock an ERC-20", "refund", "pay out an ERC-20"])}

## Once, or seldom

| what | gas |
|---|---|
${rows([...starting("create "), "hello", "take the hub's Hello", "update the client", "bind an identity"])}
`;
}

async function main() {
  const forge = ["test", "--match-contract", "ScenarioTest"];
  const made = spawnSync(tool("forge"), forge, { cwd: ROOT, encoding: "utf8" });
  if (made.status !== 0) throw new Error(made.stdout + made.stderr);
  const figures = {};
  for (const validators of VALIDATORS) figures[validators] = figuresOf(await measure(validators));
  const texts = [
    [FIGURES, JSON.stringify(figures, null, 1) + "\n"],
    [TABLE, table(figures)],
  ];
  if (figures[4]["shares x50"].gas >= 50 * MESSAGE_GAS_MAX) throw new Error(`a message costs more than ${MESSAGE_GAS_MAX}`);
  let differ = 0;
  for (const [file, text] of texts) {
    if (!process.argv.includes("--check")) {
      fs.writeFileSync(file, text);
    } else if (!fs.existsSync(file) || fs.readFileSync(file, "utf8") !== text) {
      console.error(`${path.relative(ROOT, file)} is not what was measured; run: node tools/gas.js`);
      differ += 1;
    }
  }
  for (const n of VALIDATORS) {
    const each = (count) => Math.round(figures[n][`shares x${count}`].gas / count);
    console.log(`${n} validators: ${each(1)} / ${each(10)} / ${each(50)} gas a message in batches of 1, 10, 50`);
  }
  if (differ > 0) process.exit(1);
}

main().catch((error) => {
  console.error(error.message);
  process.exit(1);
});
