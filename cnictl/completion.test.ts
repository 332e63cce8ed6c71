import { execFileSync, spawnSync } from "node:child_process";
import { chmodSync, existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import { completion } from "./completion.ts";
import { buildProgram } from "./program.ts";
import { fakeContext } from "./testdata/cluster.ts";

async function scriptFor(shell: "bash" | "zsh" | "fish"): Promise<string> {
  const context = fakeContext();
  const program = buildProgram({ ...context, defaultServer: "127.0.0.1:7444" }, () => {});
  await completion(context, shell, program);
  return context.printed;
}

t.test("the scripts are ones that their shells can read", async (t) => {
  for (const [shell, flag] of [
    ["bash", "-n"],
    ["zsh", "-n"],
    ["fish", "--no-execute"],
  ] as const) {
    const script = await scriptFor(shell);
    t.match(script, /release/, `${shell} knows the commands`);
    const file = join(t.testdir({}), `cnictl.${shell}`);
    writeFileSync(file, script);
    const { error, stderr, status } = spawnSync(shell, [flag, file], { encoding: "utf8" });
    if (error !== undefined && shell !== "bash") t.comment(`${shell} is not installed`);
    else t.strictSame({ status, stderr }, { status: 0, stderr: "" }, `${shell} ${flag}`);
  }
});

t.test("every command and option is in every script", async (t) => {
  const program = buildProgram({ ...fakeContext(), defaultServer: "127.0.0.1:7444" }, () => {});
  for (const shell of ["bash", "zsh", "fish"] as const) {
    const script = await scriptFor(shell);
    for (const command of program.commands.flatMap((one) => [one, ...one.commands])) {
      t.ok(script.includes(command.name()), `${shell}: ${command.name()}`);
      for (const { long } of command.options)
        t.ok(script.includes(long?.replace(/^--/, "") ?? ""), `${shell}: ${long}`);
    }
  }
});

t.test("S3: names from the controller are never run by the shell, nor put on the command line unquoted", async (t) => {
  const dir = t.testdir({});
  const proof = join(dir, "proof");
  const fake = join(dir, "cnictl");
  const names = [`$(touch ${proof})`, `\`touch ${proof}\``, `;touch ${proof};`, "*", "node-1"];
  writeFileSync(fake, `#!/bin/sh\ncat <<'EOF'\n${names.map((name) => `node/${name}\n`).join("")}EOF\n`);
  chmodSync(fake, 0o755);
  const script = await scriptFor("bash");
  const drive = `${script}\nCOMP_LINE="cnictl get nodes " COMP_POINT=17\n_cnictl\nprintf '%s\\n' "\${COMPREPLY[@]}"`;
  const printed = execFileSync("bash", ["--norc", "-c", drive], {
    encoding: "utf8",
    env: { ...process.env, PATH: `${dir}:${process.env.PATH}` },
  });
  const offered = printed.trimEnd().split("\n");
  t.equal(offered.length, names.length);
  t.ok(offered.includes("node-1"));
  t.notOk(existsSync(proof), "nothing ran while completing");
  const again = execFileSync("bash", ["--norc", "-c", `printf '%s\\n' ${offered.join(" ")}`], { encoding: "utf8" });
  t.strictSame(again.trimEnd().split("\n"), names, "what is put on the command line means the name and nothing else");
  t.notOk(existsSync(proof), "nothing ran from the command line");
});

t.test("pods are completed from the journal, with no controller named", async (t) => {
  const dir = t.testdir({});
  const fake = join(dir, "cnictl");
  writeFileSync(
    fake,
    '#!/bin/sh\n[ "$*" = "calls --limit 0 -o name --timeout 2s" ] && printf "pod/shop/web-0\\npod/4f2d0c8e7a1b\\n"\n',
  );
  chmodSync(fake, 0o755);
  const script = await scriptFor("bash");
  const drive = `${script}\nCOMP_LINE="cnictl calls " COMP_POINT=13\n_cnictl\nprintf '%s\\n' "\${COMPREPLY[@]}"`;
  const env = { ...process.env, PATH: `${dir}:${process.env.PATH}` };
  t.equal(execFileSync("bash", ["--norc", "-c", drive], { encoding: "utf8", env }), "shop/web-0\n4f2d0c8e7a1b\n");
});
