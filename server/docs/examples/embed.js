// Node 18 or later.
import { readFile } from "node:fs/promises";

const form = new FormData();
form.append("images", new Blob([await readFile("cat.jpg")]), "cat.jpg");
const response = await fetch("http://localhost:7860/api/embed", { method: "POST", body: form });
const answer = await response.json();
if (!response.ok) throw new Error(answer.error.message);
for (const { image, embedding, error } of answer.data) {
  console.log(image, error ? error.message : embedding.slice(0, 4));
}
