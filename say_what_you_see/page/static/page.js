// The page in the browser: asks the server that it came from.

import { mountDemo } from "./demo.js";

const token = new URLSearchParams(location.search).get("token") ?? "";

async function ask(question, content = {}) {
  let answer;
  try {
    answer = await fetch(`api/${question}`, {
      method: "POST",
      headers: { Authorization: `token ${token}` },
      body: content instanceof Blob ? content : JSON.stringify(content),
    });
  } catch {
    throw new Error("The program behind this page does not answer. If it has ended, start it again (make demo).");
  }
  const result = await answer.json().catch(() => ({ error: "The program's answer cannot be read." }));
  if (!answer.ok) throw new Error(result.error);
  return result;
}

mountDemo(document.getElementById("demo"), ask, { dropTarget: document });
