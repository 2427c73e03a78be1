// Where npm put the binaries of forge and anvil: in the package for this platform, which needs no script
// to have run.
const path = require("path");

const PLATFORMS = { linux: "linux", darwin: "darwin" };
const MACHINES = { x64: "amd64", arm64: "arm64" };

function tool(name) {
  const [platform, machine] = [PLATFORMS[process.platform], MACHINES[process.arch]];
  if (!platform || !machine) throw new Error(`no ${name} for ${process.platform} on ${process.arch}`);
  const home = path.dirname(require.resolve(`@foundry-rs/${name}-${platform}-${machine}/package.json`));
  return path.join(home, "bin", name);
}

module.exports = { tool };
if (require.main === module) console.log(tool(process.argv[2]));
