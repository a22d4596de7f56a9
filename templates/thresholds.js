
// The confusion matrix at any threshold and the predictive values at any prevalence. Thresholds and
// logits are whole hundredths, so that what is counted here is what Python counts.
const tool = document.querySelector(".tool");
if (tool) {
  const { labels, models } = JSON.parse(document.getElementById("threshold-data").textContent);
  const part = name => tool.querySelector(`[data-part=${name}]`);
  const [model, seed, threshold, prevalence] = ["model", "seed", "threshold", "prevalence"].map(part);
  const rules = [...tool.querySelectorAll("[data-rule]")], given = [...labels].filter(label => label === "1").length / labels.length;
  let run, logits, cut = 0, rule = 0, share = given;

  const percent = value => isNaN(value) ? "–" : (100 * value).toFixed(1);
  const counts = at => {
    const found = { tp: 0, fn: 0, fp: 0, tn: 0 };
    logits.forEach((logit, i) => { found[labels[i] === "1" ? logit > at ? "tp" : "fn" : logit > at ? "fp" : "tn"]++; });
    return found;
  };
  const rates = ({ tp, fn, fp, tn }) => [tp / (tp + fn), tn / (tn + fp)];
  const place = ([sensitivity, specificity]) => [100 * (1 - specificity), 100 * (1 - sensitivity)];

  const show = () => {
    const found = counts(cut), [sensitivity, specificity] = rates(found);
    const sick = [share * sensitivity, share * (1 - sensitivity)];
    const well = [(1 - share) * (1 - specificity), (1 - share) * specificity];
    const logit = (cut / 100).toFixed(2).replace("-", "\u2212"), chance = percent(1 / (1 + Math.exp(-cut / 100)));
    for (const [name, count] of Object.entries(found)) part(name).textContent = count;
    part("sensitivity").textContent = percent(sensitivity);
    part("specificity").textContent = percent(specificity);
    part("ppv").textContent = percent(sick[0] / (sick[0] + well[0]));
    part("npv").textContent = percent(well[1] / (well[1] + sick[1]));
    part("threshold-shown").textContent = `logit ${logit}, probability ${chance} %`;
    part("prevalence-shown").textContent = `${percent(share)} %`;
    threshold.value = cut;
    prevalence.value = 100 * share;
    threshold.setAttribute("aria-valuetext", part("threshold-shown").textContent);
    prevalence.setAttribute("aria-valuetext", part("prevalence-shown").textContent);
    const ill = Math.round(1000 * share), hit = Math.round(1000 * sick[0]), alarms = Math.round(1000 * well[0]);
    part("thousand").textContent = `Of 1,000 people examined, ${ill} have pneumonia: ${hit} are found, ${ill - hit} missed. ` +
      `Of the ${1000 - ill} without it, ${alarms} are called ill too.`;
    const [x, y] = place([sensitivity, specificity]);
    part("point").setAttribute("cx", x);
    part("point").setAttribute("cy", y);
    rules.forEach((button, i) => button.setAttribute("aria-pressed", i === rule));
  };
  const follow = () => {  // a chosen rule holds for the next run too, at that run's threshold
    rules.forEach((button, i) => { button.disabled = run.thresholds[i] === null; });
    if (rule !== null && run.thresholds[rule] !== null) cut = run.thresholds[rule];
    show();
  };
  const take = () => {
    run = models[model.value][seed.value];
    logits = new Int16Array(Uint8Array.from(atob(run.logits), sign => sign.charCodeAt(0)).buffer);
    const steps = [...new Set(logits)].sort((a, b) => b - a), ends = run.thresholds.concat(steps[0], steps.at(-1) - 1);
    threshold.min = 5 * Math.floor(Math.min(...ends.filter(end => end !== null)) / 5);
    threshold.max = 5 * Math.ceil(Math.max(...ends) / 5);
    const curve = [...steps, steps.at(-1) - 1].map(step => place(rates(counts(step))).map(value => value.toFixed(1)).join(" "));
    part("curve").setAttribute("d", `M${curve.join("L")}`);
    follow();
  };
  const choose = () => {
    seed.replaceChildren(...models[model.value].map((one, i) => new Option(one.seed, i)));
    take();
  };
  model.addEventListener("change", choose);
  seed.addEventListener("change", take);
  threshold.addEventListener("input", () => { cut = Number(threshold.value); rule = null; show(); });
  prevalence.addEventListener("input", () => { share = prevalence.value / 100; show(); });
  part("given").addEventListener("click", () => { share = given; show(); });
  rules.forEach((button, i) => button.addEventListener("click", () => { rule = i; follow(); }));
  choose();
  tool.hidden = false;
}
