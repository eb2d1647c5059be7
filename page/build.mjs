// Builds the page's script and style into the Python package, or, with --tests, the tests for node.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { build } from "esbuild";

const tests = process.argv.includes("--tests");
const assets = "../replay/report/page/assets";
const shared = { bundle: true, charset: "ascii", legalComments: "none", logLevel: "warning" };

if (tests) {
  const entryPoints = readdirSync("tests").filter((name) => name.endsWith(".test.ts")).map((name) => `tests/${name}`);
  await build({ ...shared, entryPoints, outdir: "build/tests", format: "esm", platform: "node", outExtension: { ".js": ".mjs" } });
} else {
  const { metafile } = await build({ ...shared, metafile: true, entryPoints: ["src/main.ts"], outfile: `${assets}/page.js`, minify: true, format: "iife", target: "es2021" });
  writeFileSync(`${assets}/THIRD_PARTY.txt`, notices(Object.keys(metafile.inputs)));
  await build({ ...shared, entryPoints: ["src/page.css"], outfile: `${assets}/page.css`, minify: true });
}

/** The licences of the packages that are in the script. */
function notices(inputs) {
  const names = new Set(inputs.map((path) => path.match(/^node_modules\/((?:@[^/]+\/)?[^/]+)\//)?.[1]).filter(Boolean));
  return [...names].sort().map((name) => {
    const folder = `node_modules/${name}`;
    const { version } = JSON.parse(readFileSync(`${folder}/package.json`, "utf8"));
    const file = readdirSync(folder).find((entry) => /^licen[cs]e/i.test(entry));
    return `${name} ${version}\n\n${readFileSync(`${folder}/${file}`, "utf8").trim()}\n`;
  }).join(`\n${"-".repeat(80)}\n\n`);
}
