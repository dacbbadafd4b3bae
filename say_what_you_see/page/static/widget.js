// The widget in a notebook: asks the kernel. This text is put behind that of demo.js.

const PART_BYTES = 1_000_000; // messages to a kernel are limited to a few megabytes

function render({ model, el }) {
  const waiting = new Map();
  let count = 0;

  const onMessage = (message) => {
    const { resolve, reject } = waiting.get(message.id) ?? {};
    waiting.delete(message.id);
    if (message.error !== undefined) reject?.(new Error(message.error));
    else resolve?.(message.answer);
  };
  model.on("msg:custom", onMessage);

  async function ask(question, content = {}) {
    const id = `${performance.now()}-${count++}`;
    const parts = content instanceof Blob ? new Uint8Array(await content.arrayBuffer()) : undefined;
    const answer = new Promise((resolve, reject) => waiting.set(id, { resolve, reject }));
    if (parts === undefined) {
      model.send({ id, question, content });
    } else {
      for (let start = 0; start === 0 || start < parts.length; start += PART_BYTES) {
        const part = parts.slice(start, start + PART_BYTES);
        model.send({ id, question, start, last: start + PART_BYTES >= parts.length }, undefined, [part.buffer]);
      }
    }
    return answer;
  }

  mountDemo(el, ask, { dropTarget: el, headingLevel: 4 });
  return () => model.off("msg:custom", onMessage);
}

export default { render };
