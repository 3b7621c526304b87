// Starts the page.
document.getElementById("file").addEventListener("change", async (event) => {
  const file = event.target.files[0];
  const response = await fetch("v1/classify", { method: "POST", body: file });
  const answer = await response.json();
  const rows = (answer.predictions ?? []).map((found) => {
    const row = document.createElement("li");
    row.textContent = `${found.class_name} ${found.probability}`;
    return row;
  });
  document.getElementById("answer").replaceChildren(...rows);
  document.getElementById("status").textContent = answer.error?.message ?? "";
});
