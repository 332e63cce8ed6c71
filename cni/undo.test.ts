import t from "tap";
import { UndoStack } from "./undo.ts";

t.test("without commit everything is undone, last first, failures told and survived", async (t) => {
  const order: string[] = [];
  const warnings: unknown[] = [];
  const operation = async () => {
    await using undo = new UndoStack({ warn: (...line) => void warnings.push(line) });
    undo.add(() => void order.push("first"));
    undo.add(() => {
      throw new Error("stuck");
    });
    undo.add(async () => {
      await Promise.resolve();
      order.push("third");
    });
    throw new Error("half-way");
  };
  await t.rejects(operation(), { message: "half-way" }, "the failure of the operation travels on");
  t.strictSame(order, ["third", "first"]);
  t.match(warnings, [[/could not undo/, { error: /stuck/ }]]);
});

t.test("after commit nothing is undone", async (t) => {
  const order: string[] = [];
  {
    await using undo = new UndoStack();
    undo.add(() => void order.push("first"));
    undo.commit();
  }
  t.strictSame(order, []);
});

t.test("what could not be undone can be asked for", async (t) => {
  const undo = new UndoStack();
  undo.add(() => Promise.reject(new Error("stuck")));
  await undo[Symbol.asyncDispose]();
  t.match(undo.failures, [{ message: "stuck" }]);
});
